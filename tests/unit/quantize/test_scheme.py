"""Context: which nodes the patterns of exclude_nodes name."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.core.errors import InputError
from edgekd.quantize.scheme import Context
from tests.unit.graph.networks import branches, convolutions, parse, real_samples


def context(*patterns: str) -> Context:
    return Context(Path("net.onnx"), real_samples(convolutions()), patterns)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ((), set()),
        (("second",), {"second"}),
        (("f*",), {"first", "flat"}),
        (("[fp]*", "dense"), {"first", "flat", "pool", "dense"}),
        (("*",), {"first", "relu", "second", "pool", "flat", "dense"}),
    ],
)
def test_patterns_are_names_or_wildcards(patterns: tuple[str, ...], expected: set[str]) -> None:
    assert context(*patterns).excluded_nodes(convolutions()) == expected


def test_nodes_in_branches_are_found() -> None:
    model = branches()
    inner = model.graph.node[1].attribute[0].g.node[0]
    inner.name = "inside"
    assert context("ins*").excluded_nodes(model) == {"inside"}


def test_a_pattern_that_matches_nothing_is_named() -> None:
    with pytest.raises(InputError, match=r"'thrid\*'.*6 named nodes"):
        context("second", "thrid*").excluded_nodes(convolutions())


def test_nodes_without_a_name_are_never_matched() -> None:
    model = parse("net (float[2] x) => (float[2] y) { [named] a = Relu (x) y = Neg (a) }")
    assert context("*").excluded_nodes(model) == {"named"}
    with pytest.raises(InputError, match="1 named nodes"):
        context("y").excluded_nodes(model)


def test_matching_is_by_whole_names() -> None:
    with pytest.raises(InputError, match="'sec'"):
        context("sec").excluded_nodes(convolutions())
