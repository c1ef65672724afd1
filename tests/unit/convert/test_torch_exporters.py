"""torch's exporters: the fallback, its reason, what they may not print, and files that are not what was asked for."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from edgekd.convert import _torch_exporters
from edgekd.convert._torch_exporters import Part, export_parts, one_line
from edgekd.convert.compose import NETWORK_INPUT, NETWORK_OUTPUT
from edgekd.core.errors import BuildError
from edgekd.core.tensor import DimRange, TensorSpec
from edgekd.graph.model import opset_of

INPUT = TensorSpec("input", (1, 3, 4, 4), "float32")


class Chooser(nn.Module):
    """Control flow on values: the dynamo exporter refuses it, the TorchScript exporter follows the path it takes."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if float(x.sum()) > 0 else x - 3


class Add(nn.Module):
    """Adds a constant."""

    def __init__(self, constant: float = 1.0) -> None:
        super().__init__()
        self.constant = constant

    def forward(self, x: Tensor) -> Tensor:
        return x + self.constant


def test_auto_falls_back_and_records_why() -> None:
    part = Part(Chooser().eval(), INPUT, ["output"])
    _, facts = export_parts([part], 17, "auto")
    assert facts["exporter"] == "torchscript"
    assert facts["fallback_reason"].startswith("dynamo: ")
    assert "\n" not in facts["fallback_reason"]
    with pytest.raises(BuildError, match="dynamo: "):
        export_parts([part], 17, "dynamo")


def test_auto_takes_dynamo_where_it_can() -> None:
    model, facts = export_parts([Part(Add().eval(), INPUT, ["output"])], 18, "auto")
    assert facts == {"exporter": "dynamo", "opset": 18}
    assert opset_of(model) == 18


class Refuser(nn.Module):
    """Fails in every exporter."""

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError("not\non this machine")


def test_every_exporters_reason_is_given() -> None:
    with pytest.raises(BuildError) as caught:
        export_parts([Part(Refuser().eval(), INPUT, ["output"])], 17, "auto")
    text = str(caught.value)
    assert "dynamo: " in text
    assert "torchscript: NotImplementedError: not" in text
    assert "opset 17" in text


def test_an_opset_that_the_exporter_does_not_write_is_an_error() -> None:
    with pytest.raises(BuildError, match="opset 99"):
        export_parts([Part(Add().eval(), INPUT, ["output"])], 99, "torchscript")


def negation(opset: int, output: str) -> str:
    signature = f"(float[1,3,4,4] input) => (float[1,3,4,4] {output})"
    return f'<ir_version: 8, opset_import: ["" : {opset}]> g {signature} {{ {output} = Neg (input) }}'


def written(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let torch's exporter write this model, whatever it is given."""

    def export(module, example, path, **options) -> None:
        Path(path).write_bytes(onnx.parser.parse_model(text).SerializeToString() if text else b"rubbish")

    monkeypatch.setattr(torch.onnx, "export", export)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "the exporter's file"),
        (negation(16, "output"), "opset 16"),
        (negation(17, "y"), "outputs y"),
    ],
    ids=["no ONNX file", "another opset", "another output"],
)
def test_a_file_that_was_not_asked_for_is_refused(monkeypatch: pytest.MonkeyPatch, text: str, found: str) -> None:
    written(monkeypatch, text)
    with pytest.raises(BuildError) as caught:
        export_parts([Part(Add().eval(), INPUT, ["output"])], 17, "torchscript")
    assert found in str(caught.value)


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_dims_keep_the_recipes_names(exporter: str) -> None:
    ranges = {"n": DimRange(1, 1, 4), "s": DimRange(4, 8, 16), "one": DimRange(2, 2, 2)}
    part = Part(Add().eval(), TensorSpec("input", ("n", "one", "s", "s"), "float32", ranges), ["output"])
    model, _ = export_parts([part], 18, exporter)
    dims = [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["n", "one", "s", "s"]


def test_three_parts_become_one_graph() -> None:
    inner, outer = (TensorSpec(name, INPUT.shape, "float32") for name in (NETWORK_INPUT, NETWORK_OUTPUT))
    parts = [
        Part(Add(1).eval(), INPUT, [NETWORK_INPUT]),
        Part(Add(2).eval(), inner, [NETWORK_OUTPUT]),
        Part(Add(3).eval(), outer, ["output"]),
    ]
    model, _ = export_parts(parts, 17, "torchscript")
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["input", "output"]
    assert [node.op_type for node in model.graph.node if node.op_type != "Constant"] == ["Add"] * 3


class Loud(nn.Module):
    """Prints, warns, logs and writes on the file descriptors while it is exported."""

    def forward(self, x: Tensor) -> Tensor:
        sys.stdout.write("print")
        sys.stderr.write("print")
        warnings.warn("warning", stacklevel=1)
        logging.getLogger("loud").critical("log")
        os.write(1, b"descriptor 1")
        os.write(2, b"descriptor 2")
        return x + 1


def test_exporters_are_quiet_and_the_terminal_is_given_back(capfd) -> None:
    export_parts([Part(Loud().eval(), INPUT, ["output"])], 17, "torchscript")
    assert capfd.readouterr() == ("", "")
    os.write(1, b"out")
    os.write(2, b"err")
    assert capfd.readouterr() == ("out", "err")
    assert logging.root.manager.disable < logging.CRITICAL


def test_the_terminal_is_given_back_after_a_failure(capfd) -> None:
    with pytest.raises(ZeroDivisionError), _torch_exporters._quiet():
        _ = 1 / 0
    os.write(1, b"out")
    assert capfd.readouterr().out == "out"
    assert logging.root.manager.disable < logging.CRITICAL


@pytest.mark.parametrize(
    ("err", "text"),
    [
        (ValueError("\n\n  first  \nsecond"), "ValueError: first"),
        (KeyError(), "KeyError: no message"),
        (TypeError("x" * 1000), "TypeError: " + "x" * 189),
    ],
)
def test_one_line(err: Exception, text: str) -> None:
    assert one_line(err) == text
