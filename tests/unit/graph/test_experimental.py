"""Operators that ONNX withdrew are computed by standard ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, helper

from edgekd.core.errors import InputError
from edgekd.graph.evaluate import run_onnx
from edgekd.graph.experimental import rewrite_experimental
from edgekd.graph.model import load_onnx, save_onnx

X = np.random.default_rng(0).random((1, 3, 8, 8), np.float32)


def model_of(*nodes: NodeProto, opset: int = 7, shape: tuple[int, ...] = (1, 3, 8, 8)) -> ModelProto:
    ends = [helper.make_tensor_value_info(*value) for value in (("x", 1, X.shape), ("y", 1, shape))]
    graph = helper.make_graph(list(nodes), "old", ends[:1], ends[1:])
    return helper.make_model(graph, ir_version=3, opset_imports=[helper.make_opsetid("", opset)])


def rewritten(model: ModelProto) -> ModelProto:
    rewrite_experimental(model.graph, model.opset_import[0].version)
    onnx.checker.check_model(model)
    return model


BIAS = np.array([1, 2, 3], np.float32)[:, None, None]
CASES: list[tuple[str, dict[str, Any], np.ndarray]] = [
    ("Affine", {"alpha": 3.0, "beta": -1.0}, 3 * X - 1),
    ("Affine", {}, X),
    ("Scale", {"scale": 0.25}, X / 4),
    ("Scale", {}, X),
    ("ScaledTanh", {"alpha": 2.0, "beta": 0.5}, 2 * np.tanh(X / 2)),
    ("ScaledTanh", {}, np.tanh(X)),
    ("ImageScaler", {"scale": 2.0, "bias": [1.0, 2.0, 3.0]}, 2 * X + BIAS),
    ("ImageScaler", {}, X),
    ("Crop", {"border": [1, 2, 0, 1]}, X[:, :, 2:7, 1:]),
    ("Crop", {"border": [0, 0, 3, 0]}, X[:, :, :, :5]),
    ("Crop", {}, X),
    ("Crop", {"border": [1, 2, 9, 9], "scale": [4, 5]}, X[:, :, 2:6, 1:6]),
]


@pytest.mark.parametrize(("operator", "attributes", "expected"), CASES)
def test_the_standard_form_computes_the_same(operator: str, attributes: dict[str, Any], expected: np.ndarray) -> None:
    node = helper.make_node(operator, ["x"], ["y"], **attributes)
    model = rewritten(model_of(node, shape=expected.shape))
    assert operator not in {node.op_type for node in model.graph.node}
    np.testing.assert_allclose(run_onnx(model, {"x": X})["y"], expected, rtol=1e-6, atol=1e-7)


def chain() -> ModelProto:
    return model_of(
        helper.make_node("ImageScaler", ["x"], ["a"], scale=2.0, bias=[1.0, 2.0, 3.0]),
        helper.make_node("Crop", ["a"], ["b"], border=[1, 2, 0, 1]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Affine", ["c"], ["d"], alpha=3.0, beta=-1.0),
        helper.make_node("Affine", ["d"], ["y"], alpha=0.5, beta=1.0),
        shape=(1, 3, 5, 7),
    )


def test_a_file_is_rewritten_when_it_is_read_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save_onnx(chain(), tmp_path / "old.onnx")
    model = load_onnx(tmp_path / "old.onnx")
    assert capfd.readouterr() == ("", "")
    expected = 0.5 * (3 * (2 * X + BIAS)[:, :, 2:7, 1:] - 1) + 1
    np.testing.assert_allclose(run_onnx(model, {"x": X})["y"], expected, rtol=1e-6)
    # onnxruntime still knows the operators themselves.
    np.testing.assert_allclose(run_onnx(tmp_path / "old.onnx", {"x": X})["y"], expected, rtol=1e-6)


def test_new_names_are_unique_and_other_nodes_stay() -> None:
    model = rewritten(chain())
    written = [name for node in model.graph.node for name in node.output]
    assert len(written) == len(set(written))
    named = [node.name for node in model.graph.node if node.name]
    assert len(named) == len(set(named))
    assert [node.op_type for node in model.graph.node].count("Relu") == 1


def test_a_graph_without_them_is_not_touched() -> None:
    model = model_of(helper.make_node("Relu", ["x"], ["y"]))
    before = model.SerializeToString()
    rewrite_experimental(model.graph, 7)
    assert model.SerializeToString() == before


def test_an_operator_of_another_domain_is_not_theirs() -> None:
    model = model_of(helper.make_node("Scale", ["x"], ["y"], domain="com.example"))
    rewrite_experimental(model.graph, 7)
    assert model.graph.node[0].op_type == "Scale"


@pytest.mark.parametrize(("operator", "opset"), [("GRUUnit", 7), ("Affine", 6), ("Affine", 10), ("Crop", 13)])
def test_what_has_no_standard_form_is_named_with_its_opset(operator: str, opset: int) -> None:
    model = model_of(helper.make_node(operator, ["x"], ["y"]), opset=opset)
    with pytest.raises(InputError, match=f"{operator} in opset {opset}"):
        rewrite_experimental(model.graph, opset)


@pytest.mark.parametrize("opset", [7, 8, 9])
def test_every_opset_that_had_them_is_served(opset: int) -> None:
    model = model_of(helper.make_node("Scale", ["x"], ["y"], scale=2.0), opset=opset)
    np.testing.assert_allclose(run_onnx(rewritten(model), {"x": X})["y"], 2 * X)
