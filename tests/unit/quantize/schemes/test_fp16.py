"""FP16: where half cannot be, and what the walk does about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgekd.core.config import QuantizeConfig
from edgekd.core.errors import ParityError
from edgekd.core.samples import Samples
from edgekd.graph.evaluate import run_onnx
from edgekd.graph.model import input_specs
from edgekd.quantize.schemes import fp16
from tests.unit.graph.networks import artifact_of, branches, real_samples


def half(text: str, tmp_path: Path) -> tuple[onnx.ModelProto, dict[str, object]]:
    model = onnx.parser.parse_model(text)
    given = artifact_of(model, tmp_path / "in.onnx")
    made = fp16.quantize(given, QuantizeConfig(), real_samples(model), tmp_path / "out.onnx")
    checked = onnx.load(made.path)
    onnx.shape_inference.infer_shapes(checked, check_type=True, strict_mode=True)
    return checked, dict(made.facts)


HEAD = '<ir_version: 8, opset_import: ["" : 17]> net (float[1,2,4,4] x) => '


def test_resize_keeps_its_scales_float_and_shares_nothing(tmp_path: Path) -> None:
    model, _ = half(
        HEAD + "(float[1,2,8,8] y) <float[4] s = {1,1,2,2}> { a = Resize (x, , s) b = Shape (a) y = Relu (a) }",
        tmp_path,
    )
    resize = next(node for node in model.graph.node if node.op_type == "Resize")
    assert {t.name: t.data_type for t in model.graph.initializer}[resize.input[2]] == TensorProto.FLOAT


def test_a_constant_beyond_the_range_keeps_its_node(tmp_path: Path) -> None:
    model, facts = half(
        HEAD + "(float[1,2,4,4] y) <float[1] big = {1e6}> { [m] a = Div (x, big) [n] b = Mul (a, big) y = Relu (b) }",
        tmp_path,
    )
    assert facts["kept_fp32"] == dict.fromkeys("mn", "constant 'big' is beyond half's range")
    assert {t.name: t.data_type for t in model.graph.initializer}["big"] == TensorProto.FLOAT


def test_a_masks_minus_infinity_becomes_halfs_least(tmp_path: Path) -> None:
    model, facts = half(
        HEAD + "(float[1,2,4,4] y) <float[4] mask = {0,0,0,-3e38}> { a = Add (x, mask) y = Softmax <axis = -1> (a) }",
        tmp_path,
    )
    assert facts["kept_fp32"] == {}
    assert onnx.numpy_helper.to_array(model.graph.initializer[0]).tolist() == [0, 0, 0, -65504]


def test_operators_that_take_float_only_are_surrounded_by_casts(tmp_path: Path) -> None:
    model, facts = half(
        HEAD + "(float[1,2,4,4] y) <int64 axis = {3}> { a = Relu (x) [sum] b = CumSum (a, axis) y = Neg (b) }", tmp_path
    )
    assert facts["kept_fp32"] == {"sum": "accumulates; half loses its low bits"}
    assert [node.op_type for node in model.graph.node] == ["Cast", "Relu", "Cast", "CumSum", "Cast", "Neg", "Cast"]


def test_casts_constants_and_shapes_inside_follow(tmp_path: Path) -> None:
    model, facts = half(
        HEAD + "(float[1,2,4,4] y) { s = Shape (x) z = ConstantOfShape (s) c = Cast <to = 1> (s)"
        " k = Constant <value_float = 2.0> ()"
        " r = ReduceMax (c) a = Add (x, z) b = Mul (a, r) y = Div (b, k) }",
        tmp_path,
    )
    assert facts["kept_fp32"] == {}
    assert [node.op_type for node in model.graph.node].count("Div") == 1


def test_branches_are_converted_with_what_they_see(tmp_path: Path) -> None:
    model = branches()
    for value in (model.graph.input[0], model.graph.output[0]):
        for dim, size in zip(value.type.tensor_type.shape.dim, (1, 4), strict=True):
            dim.dim_value = size
    given = artifact_of(model, tmp_path / "in.onnx")
    samples = real_samples(model, 2)
    made = fp16.quantize(given, QuantizeConfig(), samples, tmp_path / "out.onnx")
    for rate in (16000, 8000):
        feeds = {**samples.feeds(0), "sr": np.array(rate)}
        expected = run_onnx(given.path, feeds)["output"]
        np.testing.assert_allclose(run_onnx(made.path, feeds)["output"], expected, rtol=1e-3)


def test_overflow_is_a_parity_error(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(HEAD + "(float[1,2,4,4] y) { a = Mul (x, x) y = Sqrt (a) }")
    given = artifact_of(model, tmp_path / "in.onnx")
    feeds = {spec.name: np.full((1, *spec.at("opt")), 1000, np.float32) for spec in input_specs(model)}
    with pytest.raises(ParityError, match="fp16 broke output 'y'"):
        fp16.quantize(given, QuantizeConfig(), Samples(feeds, ("one",), "test"), tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_labels_are_broken_where_most_changed(tmp_path: Path) -> None:
    """1 + x / 8192 is 1 in FP16 for all x of the feed, so that every label becomes the first."""
    text = "(int64[1,4,4] y) <float[1,1,1,1] k = {0.0001220703125}, float[1,1,1,1] one = {1.0}> "
    model = onnx.parser.parse_model(
        HEAD + text + "{ a = Mul (x, k) b = Add (a, one) y = ArgMax <axis=1, keepdims=0> (b) }"
    )
    given = artifact_of(model, tmp_path / "in.onnx")
    spec = input_specs(model)[0]
    feed = np.zeros((2, *spec.at("opt")), np.float32)
    feed[:, :, -1] = 1
    feed[1, :, 0] = 2
    with pytest.raises(ParityError, match="fp16 broke output 'y': 100% of its labels changed, at most 50% was"):
        fp16.quantize(given, QuantizeConfig(), Samples({spec.name: feed[:1]}, ("a",), "test"), tmp_path / "out.onnx")
    made = fp16.quantize(given, QuantizeConfig(), Samples({spec.name: feed}, ("a", "b"), "test"), tmp_path / "out.onnx")
    assert made.facts["difference"]["y"]["relative"] == 0.5
