"""Operators counted from an ONNX file's bytes agree with the onnx package, and appended metadata is read by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from edgekd.backends._onnx_ops import append_metadata, op_counts
from tests.unit.backends import tiny


def _nodes(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            for subgraph in [attribute.g, *attribute.graphs]:
                yield from _nodes(subgraph)


@pytest.mark.parametrize("write", [tiny.write_conv, tiny.write_int8_conv, tiny.write_if])
def test_counts_what_onnx_counts(write, tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx")
    assert op_counts(path) == Counter(_nodes(onnx.load(path).graph))


def test_counts_nodes_of_subgraphs(tmp_path: Path) -> None:
    assert op_counts(tiny.write_if(tmp_path / "if.onnx"))["Conv"] == 2


def test_most_frequent_first(tmp_path: Path) -> None:
    assert next(iter(op_counts(tiny.write_int8_conv(tmp_path / "net.onnx")))) == "DequantizeLinear"


@pytest.mark.parametrize("value", ["x", "é" * 200, ""])
def test_appended_metadata_is_metadata(tmp_path: Path, value: str) -> None:
    path = tiny.write_conv(tmp_path / "net.onnx")
    append_metadata(path, "edgekd.word", value)
    model = onnx.load(path)
    onnx.checker.check_model(model)
    assert {entry.key: entry.value for entry in model.metadata_props} == {"edgekd.word": value}
