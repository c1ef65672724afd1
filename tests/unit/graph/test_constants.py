"""Float Constant nodes become initializers, and nothing else changes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

from edgekd.graph.constants import lift_constants, set_nodes
from edgekd.graph.evaluate import run_onnx
from tests.unit.graph.networks import branches, convolutions, parse

X = {"x": np.array([1, -2, 3], np.float32)}


def lifted(model: ModelProto) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model)
    lift_constants(copy.graph)
    onnx.checker.check_model(copy)
    return copy


def operators(model: ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize(
    ("constant", "expected"),
    [
        ("value = float[3] {1, 2, 3}", [1, 2, 3]),
        ("value = float {4}", 4),
        ("value_float = 2.5", 2.5),
        ("value_floats = [1.5, 2.0, 0.25]", [1.5, 2.0, 0.25]),
    ],
)
def test_every_form_of_a_float_constant_is_lifted(constant: str, expected: object) -> None:
    model = parse(f"net (float[3] x) => (float[3] y) {{ k = Constant <{constant}> () y = Mul (x, k) }}")
    made = lifted(model)
    assert operators(made) == ["Mul"]
    assert made.graph.initializer[0].name == "k"
    assert numpy_helper.to_array(made.graph.initializer[0]).tolist() == expected
    np.testing.assert_array_equal(run_onnx(made, X)["y"], run_onnx(model, X)["y"])


@pytest.mark.parametrize(
    "constant", ["value_int = 7", "value_ints = [1, 2]", "value = int64[1] {3}", 'value_string = "a"']
)
def test_constants_that_are_no_floats_stay_nodes(constant: str) -> None:
    model = parse(f"net (float[3] x) => (float[3] y) {{ k = Constant <{constant}> () y = Neg (x) }}")
    assert operators(lifted(model)) == ["Constant", "Neg"]
    assert not lifted(model).graph.initializer


def test_half_constants_stay_nodes() -> None:
    model = parse("net (float16[3] x) => (float16[3] y) { k = Constant <value = float16 {2}> () y = Mul (x, k) }")
    assert operators(lifted(model)) == ["Constant", "Mul"]


def test_a_constant_that_is_an_output_is_still_written_by_a_node() -> None:
    model = parse(
        "net (float[3] x) => (float[3] y, float k) { [two] k = Constant <value_float = 2.0> () y = Mul (x, k) }"
    )
    made = lifted(model)
    assert operators(made) == ["Identity", "Mul"]
    assert made.graph.node[0].name == "two"
    found = run_onnx(made, X)
    assert found["k"].tolist() == 2
    assert found["y"].tolist() == [2, -4, 6]


def test_constants_of_subgraphs_stay_where_they_are() -> None:
    model = branches()
    then = model.graph.node[1].attribute[0].g
    then.node.insert(0, helper.make_node("Constant", [], ["three"], value_float=3.0))
    then.node[1].input[1] = "three"
    made = lifted(model)
    assert len(made.graph.initializer) == len(model.graph.initializer)
    feeds = {"input": np.ones((1, 2), np.float32), "sr": np.int64(16000)}
    assert run_onnx(made, feeds)["output"].tolist() == [[3, 3]]


def test_a_graph_without_constants_is_not_changed() -> None:
    assert lifted(convolutions()) == convolutions()


def test_set_nodes_takes_the_graphs_own_nodes_in_another_order() -> None:
    graph = convolutions().graph
    names = [node.name for node in graph.node]
    set_nodes(graph, reversed(list(graph.node)))
    assert [node.name for node in graph.node] == names[::-1]
    assert graph.node[0].op_type == "Gemm"
    set_nodes(graph, [node for node in graph.node if node.op_type == "Conv"])
    assert [node.name for node in graph.node] == ["second", "first"]
    assert [attribute.name for attribute in graph.node[0].attribute] == ["kernel_shape", "pads", "group"]
