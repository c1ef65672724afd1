"""Running a graph as written, and holding one graph's outputs against another's."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, helper

from edgekd.core.errors import BuildError, InputError, ParityError
from edgekd.graph.evaluate import run_onnx
from edgekd.graph.experimental import rewrite_experimental
from edgekd.graph.model import load_onnx, save_onnx
from edgekd.graph.parity import compare, kinds, moved, to_facts
from tests.unit.graph.networks import branches, convolutions


def test_a_python_scalar_is_a_feed_too() -> None:
    feeds = {"input": np.ones((1, 3), np.float32), "sr": np.int64(16000)}
    assert run_onnx(branches(), feeds)["output"].tolist() == [[2, 2, 2]]


def test_wrong_feeds_and_impossible_graphs_are_one_line() -> None:
    with pytest.raises(InputError, match=r"cannot be run on picture \[2\]"):
        run_onnx(convolutions(), {"picture": np.ones(2, np.float32)})
    model = convolutions()
    model.graph.node[0].op_type = "Nonsense"
    with pytest.raises(BuildError, match="does not take the graph"):
        run_onnx(model, {})


def test_a_probability_is_held_against_one() -> None:
    tiny, double = {"p": np.full(4, 1e-6)}, {"p": np.full(4, 2e-6)}
    assert compare([tiny], [double], {})["p"].relative == pytest.approx(1)
    assert compare([tiny], [double], {"p": "probability"})["p"].relative == pytest.approx(1e-6)
    assert compare([tiny], [double], {"p": "probability"})["p"].snr_db == pytest.approx(120)


def test_the_worst_feed_counts_and_exact_has_no_snr() -> None:
    one, off = {"y": np.array([1.0])}, {"y": np.array([1.5])}
    assert compare([one, one, one], [one, off, one], {})["y"].relative == 0.5
    assert to_facts(compare([one], [one], {}))["y"] == {"max_abs": 0, "relative": 0, "snr_db": None}
    with pytest.raises(ParityError, match="outputs z; y were expected"):
        compare([one], [{"z": one["y"]}], {})


def test_probability_outputs_are_found_through_reshapes() -> None:
    model = convolutions()
    assert kinds(model) == {}
    model.graph.node[-1].output[0] = "logits"
    model.graph.node.append(helper.make_node("Softmax", ["logits"], ["p"]))
    model.graph.node.append(helper.make_node("Cast", ["p"], ["scores"], to=1))
    assert kinds(model) == {"scores": "probability"}


def test_labels_are_counted_not_subtracted() -> None:
    labels = np.arange(200) % 10
    other = labels.copy()
    other[7] = 0
    apart = compare([{"y": labels}], [{"y": other}], {"y": "label"})["y"]
    assert (apart.relative, apart.max_abs) == (0.005, 0.005)
    assert apart.snr_db == pytest.approx(20)
    assert moved("y", apart, {"y": "label"}) == "changed 0.5 % of the labels of output 'y'"
    assert moved("y", apart, {}) == "moved output 'y' by 0.005 of its peak"
    assert compare([{"y": labels}], [{"y": other}], {})["y"].relative > 0.5
    assert to_facts(compare([{"y": labels}], [{"y": labels}], {"y": "label"}))["y"]["snr_db"] is None
    assert compare([{"y": labels}] * 2, [{"y": labels}, {"y": other}], {"y": "label"})["y"].relative == 0.0025
    assert compare([{"y": labels}], [{"y": labels[1:]}], {"y": "label"})["y"].relative == np.inf


def test_label_outputs_are_found_by_their_maker_or_their_type() -> None:
    model = convolutions()
    model.graph.node[-1].output[0] = "logits"
    model.graph.node.append(helper.make_node("ArgMax", ["logits"], ["best"], axis=1))
    model.graph.node.append(helper.make_node("Cast", ["best"], ["scores"], to=2))
    model.graph.output.append(helper.make_tensor_value_info("mask", 9, [1]))
    assert kinds(model) == {"scores": "label", "mask": "label"}


def experimental() -> ModelProto:
    nodes = [
        helper.make_node("ImageScaler", ["x"], ["a"], scale=2.0, bias=[1.0, 2.0, 3.0]),
        helper.make_node("Crop", ["a"], ["b"], border=[1, 2, 0, 1]),
        helper.make_node("Affine", ["b"], ["y"], alpha=3.0, beta=-1.0),
    ]
    edge = [helper.make_tensor_value_info(n, 1, s) for n, s in (("x", [1, 3, 8, 8]), ("y", [1, 3, 5, 7]))]
    graph = helper.make_graph(nodes, "old", edge[:1], edge[1:])
    return helper.make_model(graph, ir_version=3, opset_imports=[helper.make_opsetid("", 7)])


def test_withdrawn_operators_are_rewritten_and_nothing_is_printed(tmp_path, capfd) -> None:
    save_onnx(experimental(), tmp_path / "old.onnx")
    model = load_onnx(tmp_path / "old.onnx")
    assert capfd.readouterr() == ("", "")
    x = np.random.default_rng(0).random((1, 3, 8, 8), np.float32)
    expected = ((x * 2 + np.array([1, 2, 3], np.float32)[:, None, None])[:, :, 2:7, 1:]) * 3 - 1
    np.testing.assert_allclose(run_onnx(model, {"x": x})["y"], expected, rtol=1e-6)
    assert run_onnx(tmp_path / "old.onnx", {"x": x})["y"] == pytest.approx(expected)  # onnxruntime still knows them


def test_a_withdrawn_operator_without_a_standard_form_is_named() -> None:
    graph = experimental().graph
    graph.node[0].op_type = "GRUUnit"
    with pytest.raises(InputError, match="GRUUnit in opset 7"):
        rewrite_experimental(graph, 7)
