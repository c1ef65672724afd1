"""FP16: which nodes become half, which stay in FP32, and what the simulation rounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgekd.core.config import QuantizeConfig
from edgekd.core.errors import ParityError
from edgekd.core.samples import Samples
from edgekd.graph.evaluate import run_onnx
from edgekd.graph.model import input_specs
from edgekd.quantize import stage
from edgekd.quantize.scheme import Context, Quantized
from edgekd.quantize.schemes import fp16
from tests.unit.graph.networks import artifact_of, branches, convolutions, parse, real_samples

HEAD = "net (float[1,2,4,4] x) => "
HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


def half(model: ModelProto | str, *excluded: str) -> Quantized:
    """Convert a model, or the text of one, and check the types of the result."""
    model = parse(model) if isinstance(model, str) else model
    made = fp16.quantize(model, fp16.Config(), Context(Path("net.onnx"), real_samples(convolutions()), excluded))
    for graph in (made.model, made.simulation):
        onnx.checker.check_model(graph, full_check=True)
    return made


def operators(made: Quantized) -> list[str]:
    return [node.op_type for node in made.model.graph.node]


def constants(made: Quantized) -> Mapping[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in made.model.graph.initializer}


def node_of(made: Quantized, operator: str) -> onnx.NodeProto:
    return next(node for node in made.model.graph.node if node.op_type == operator)


def types_inside(model: ModelProto) -> set[int]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    return {value.type.tensor_type.elem_type for value in inferred.graph.value_info}


def test_every_weight_and_activation_is_half() -> None:
    made = half(convolutions())
    assert {array.dtype for array in constants(made).values()} == {np.dtype(np.float16)}
    assert types_inside(made.model) == {HALF}
    assert made.facts == {"kept_fp32": {}, "fp16_nodes": 6, "rounded_to_zero": 0}
    assert made.summary == "6 nodes in FP16, 0 in FP32"


def test_excluded_nodes_keep_their_weights_and_get_casts() -> None:
    made = half(convolutions(), "sec*")
    second = next(node for node in made.model.graph.node if node.name == "second")
    producers = {name: node for node in made.model.graph.node for name in node.output}
    assert constants(made)[second.input[1]].dtype == np.float32
    assert producers[second.input[0]].op_type == "Cast"
    assert made.facts["kept_fp32"] == {"second": "named in quantize.exclude_nodes"}


def test_resize_keeps_its_scales_float_and_shares_nothing() -> None:
    made = half(HEAD + "(float[1,2,8,8] y) <float[4] s = {1,1,2,2}> { a = Resize (x, , s) b = Shape (a) y = Relu (a) }")
    assert constants(made)[node_of(made, "Resize").input[2]].dtype == np.float32


def test_scales_that_are_computed_are_cast_back() -> None:
    made = half(
        HEAD + "(float[1,2,N,M] y) <float[4] s = {1,1,2,2}, float[1] one = {1.0}> "
        "{ t = Mul (s, one) a = Resize (x, , t) y = Relu (a) }"
    )
    resize = node_of(made, "Resize")
    cast = next(node for node in made.model.graph.node if node.output[0] == resize.input[2])
    assert (cast.op_type, cast.attribute[0].i) == ("Cast", FLOAT)


def test_a_constant_beyond_the_range_keeps_its_node() -> None:
    made = half(
        HEAD + "(float[1,2,4,4] y) <float[1] big = {1e6}> { [m] a = Div (x, big) [n] b = Mul (a, big) y = Relu (b) }"
    )
    assert made.facts["kept_fp32"] == dict.fromkeys("mn", "constant 'big' is beyond half's range")
    assert constants(made)["big"].dtype == np.float32
    # Div reads the float32 input and passes its float32 result on to Mul.
    assert operators(made) == ["Div", "Mul", "Cast", "Relu", "Cast"]


@pytest.mark.parametrize("operator", ["Clip", "Pad"])
def test_a_bound_or_a_filling_beyond_the_range_becomes_its_end(operator: str) -> None:
    call = {"Clip": "Clip (x, , big)", "Pad": "Pad (x, pads, big)"}[operator]
    made = half(
        HEAD + f"(float[1,2,N,M] y) <float big = {{1e9}}, int64[8] pads = {{0,0,0,0,0,0,1,1}}> "
        f"{{ a = {call} y = Relu (a) }}"
    )
    assert made.facts["kept_fp32"] == {}
    assert constants(made)["big"] == np.float16(65504)


def test_a_masks_minus_infinity_becomes_halfs_lowest() -> None:
    made = half(
        HEAD + "(float[1,2,4,4] y) <float[4] mask = {0,0,0,-3e38}> { a = Add (x, mask) y = Softmax <axis = -1> (a) }"
    )
    assert made.facts["kept_fp32"] == {}
    assert constants(made)["mask"].tolist() == [0, 0, 0, -65504]


def test_infinities_stay_infinite() -> None:
    model = parse(HEAD + "(float[1,2,4,4] y) <float[2] ends = {0, 0}> { y = Mul (x, k) }".replace("k)", "ends)"))
    model.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.array([[-np.inf], [np.inf], [1], [2]], np.float32), "ends")
    )
    assert constants(half(model))["ends"].ravel().tolist() == [-np.inf, np.inf, 1, 2]


def test_elements_that_become_zero_are_counted() -> None:
    made = half(HEAD + "(float[1,2,4,4] y) <float[4] k = {0, 1e-9, -1e-9, 1}> { y = Mul (x, k) }")
    assert made.facts["rounded_to_zero"] == 2


def test_operators_that_take_float_only_are_surrounded_by_casts() -> None:
    made = half(HEAD + "(float[1,2,4,4] y) <int64 axis = {3}> { a = Relu (x) [sum] b = CumSum (a, axis) y = Neg (b) }")
    assert made.facts["kept_fp32"] == {"sum": "accumulates; half loses its low bits"}
    assert operators(made) == ["Cast", "Relu", "Cast", "CumSum", "Cast", "Neg", "Cast"]


def test_a_node_that_touches_no_float_needs_no_reason() -> None:
    made = half(
        HEAD + "(float[1,2,4,4] y, int64[4] z) <int64 zero = {0}, int64 four = {4}, int64 one = {1}> "
        "{ y = Relu (x) z = Range (zero, four, one) }"
    )
    assert made.facts["kept_fp32"] == {}
    assert made.facts["fp16_nodes"] == 1


def test_fp32_nodes_pass_on_float32_among_themselves() -> None:
    """(x * x) * 1e-4 for x near 300: the square is beyond half's range, the result is not."""
    text = (
        HEAD
        + "(float[1,2,4,4] y) <float[1] k = {1e-4}> { [square] a = Mul (x, x) [shrink] b = Mul (a, k) y = Relu (b) }"
    )
    made = half(text, "square", "shrink")
    x = np.full((1, 2, 4, 4), 300, np.float32)
    for model in (made.model, made.simulation):
        np.testing.assert_allclose(run_onnx(model, {"x": x})["y"], x * x * 1e-4, rtol=1e-3)
    assert operators(made) == ["Mul", "Mul", "Cast", "Relu", "Cast"]
    assert np.isinf(run_onnx(half(text).simulation, {"x": x})["y"]).all()


def test_an_fp32_node_writes_the_networks_output_itself() -> None:
    made = half(HEAD + "(float[1,2,4,4] y) { a = Relu (x) [last] y = Neg (a) }", "last")
    assert operators(made) == ["Cast", "Relu", "Cast", "Neg"]
    assert node_of(made, "Neg").output[0] == "y"


def test_an_output_that_is_read_inside_as_well() -> None:
    made = half(HEAD + "(float[1,2,4,4] y, float[1,2,4,4] z) { y = Relu (x) z = Neg (y) }")
    x = np.linspace(-1, 1, 32, dtype=np.float32).reshape(1, 2, 4, 4)
    found = run_onnx(made.model, {"x": x})
    np.testing.assert_allclose(found["y"], np.maximum(x, 0), rtol=1e-3)
    np.testing.assert_array_equal(found["z"], -found["y"])


def test_an_input_that_is_an_output_too() -> None:
    model = parse(HEAD + "(float[1,2,4,4] y, float[1,2,4,4] x) { y = Relu (x) }")
    made = half(model)
    x = np.ones((1, 2, 4, 4), np.float32)
    assert run_onnx(made.model, {"x": x})["x"].tolist() == x.tolist()


def test_a_constant_that_half_and_fp32_nodes_read_is_there_twice() -> None:
    made = half(
        HEAD
        + "(float[1,2,4,4] y) <float[4] k = {1.1, 2, 3, 4}> { a = Mul (x, k) [exact] b = Mul (a, k) y = Relu (b) }",
        "exact",
    )
    assert {name: array.dtype.name for name, array in constants(made).items()} == {"k": "float16", "k_float": "float32"}
    assert next(node for node in made.model.graph.node if node.name == "exact").input[1] == "k_float"


def test_casts_constants_and_shapes_inside_follow() -> None:
    made = half(
        HEAD + "(float[1,2,4,4] y) { s = Shape (x) z = ConstantOfShape (s) c = Cast <to = 1> (s)"
        " k = Constant <value_float = 2.0> ()"
        " r = ReduceMax (c) a = Add (x, z) b = Mul (a, r) y = Div (b, k) }"
    )
    assert made.facts["kept_fp32"] == {}
    assert operators(made).count("Div") == 1
    assert types_inside(made.model) <= {HALF, TensorProto.INT64}


@pytest.mark.parametrize(
    ("call", "dtype"),
    [
        ("RandomNormal <shape = [1,2,4,4]> ()", HALF),
        ("RandomUniform <shape = [1,2,4,4], dtype = 1> ()", HALF),
        ("RandomNormalLike (x)", None),
    ],
)
def test_operators_that_make_floats_make_halves(call: str, dtype: int | None) -> None:
    made = half(HEAD + f"(float[1,2,4,4] y) {{ r = {call} y = Add (x, r) }}")
    node = node_of(made, call.partition(" ")[0])
    assert {attribute.name: attribute.i for attribute in node.attribute}.get("dtype") == dtype
    assert types_inside(made.model) == {HALF}


def test_branches_are_converted_with_the_tensors_around_them(tmp_path: Path) -> None:
    model = branches()
    for value in (model.graph.input[0], model.graph.output[0]):
        for dim, size in zip(value.type.tensor_type.shape.dim, (1, 4), strict=True):
            dim.dim_value = size
    samples = real_samples(model, 2)
    made = stage.run(artifact_of(model, tmp_path / "in.onnx"), "fp16", QuantizeConfig(), samples, tmp_path / "out.onnx")
    for rate in (16000, 8000):
        feeds = {**samples[0].feeds, "sr": np.array(rate)}
        expected = run_onnx(model, feeds)["output"]
        np.testing.assert_allclose(run_onnx(made.path, feeds)["output"], expected, rtol=1e-3)


def then_branch(model: ModelProto) -> onnx.GraphProto:
    return next(node for node in model.graph.node if node.op_type == "If").attribute[0].g


def convert(model: ModelProto, *excluded: str) -> Quantized:
    return fp16.quantize(model, fp16.Config(), Context(Path("x"), real_samples(convolutions()), excluded))


def test_a_branchs_own_constants_become_half() -> None:
    model = branches()
    then_branch(model).initializer.append(numpy_helper.from_array(np.array(1.1, np.float32), "factor"))
    then_branch(model).node[0].input[1] = "factor"
    inside = then_branch(convert(model).model)
    assert inside.initializer[0].data_type == HALF
    assert inside.output[0].type.tensor_type.elem_type == HALF


def test_an_excluded_if_is_converted_from_the_inside_all_the_same() -> None:
    model = branches()
    model.graph.node[1].name = "choice"
    made = convert(model, "choice")
    assert made.facts["kept_fp32"] == {}
    assert made.model.SerializeToString() == convert(model).model.SerializeToString()


def test_a_constant_that_a_branch_returns_is_read_by_half() -> None:
    """An FP32 node reads the same constant, so that it must be there in both types."""
    model = parse(
        "net (float[2] x, bool c) => (float[2] y) <float[2] k = {1.5, 2}> { [exact] a = Mul (x, k) b = If (c) <"
        " then_branch = yes () => (float[2] k) { unused = Neg (x) },"
        " else_branch = no () => (float[2] z) { z = Neg (x) }"
        " > y = Add (a, b) }"
    )
    made = convert(model, "exact")
    types = {tensor.name: tensor.data_type for tensor in made.model.graph.initializer}
    assert types == {"k": HALF, "k_float": FLOAT}


def test_a_branchs_own_integers_hide_a_float_of_the_same_name_outside() -> None:
    model = branches()
    inside = then_branch(model)
    inside.node.insert(0, helper.make_node("Shape", ["input"], ["two"]))
    inside.node.insert(1, helper.make_node("CumSum", ["two", "sr"], ["sums"], name="integers"))
    inside.node[2].input[1] = "input"
    inside.value_info.append(helper.make_tensor_value_info("two", TensorProto.INT64, [2]))
    assert convert(model).facts["kept_fp32"] == {}


PREPROCESSED = (
    "net (uint8[1,4,4,2] x) => (uint8[1,2,4,4] y) <float[1] k = {255.0}, float[1] w = {1.5}> {"
    " [merged] f = Cast <to = 1> (x) [edgekd_preprocess_scale] s = Div (f, k) [edgekd_preprocess_order] a ="
    " Transpose <perm = [0,3,1,2]> (s) [net] b = Mul (a, w) [edgekd_postprocess_scale] c = Mul (b, k)"
    " [clip] d = Clip (c) [out] y = Cast <to = 2> (d) }"
)


def test_preprocessing_and_postprocessing_stay_in_fp32_whatever_a_simplifier_called_them() -> None:
    made = half(PREPROCESSED)
    assert set(made.facts["kept_fp32"]) == {
        *("merged", "edgekd_preprocess_scale", "edgekd_preprocess_order"),
        *("edgekd_postprocess_scale", "clip", "out"),
    }
    assert made.facts["fp16_nodes"] == 1
    assert made.summary.endswith("6 of them preprocessing and postprocessing")
    # One cast into half before the network, one out of it.
    assert sum(node.name.startswith("edgekd_cast_") for node in made.model.graph.node) == 2


def test_overflow_is_found_though_this_cpu_computes_in_float32(tmp_path: Path) -> None:
    model = parse(HEAD + "(float[1,2,4,4] y) { a = Mul (x, x) y = Sqrt (a) }")
    feeds = {spec.name: np.full((1, *spec.at("opt")), 1000, np.float32) for spec in input_specs(model)}
    with pytest.raises(ParityError, match="fp16 broke output 'y'"):
        stage.run(
            artifact_of(model, tmp_path / "in.onnx"),
            "fp16",
            QuantizeConfig(),
            Samples.of(feeds, "test"),
            tmp_path / "out.onnx",
        )
    assert not (tmp_path / "out.onnx").exists()


def test_rounding_of_activations_is_found_in_labels(tmp_path: Path) -> None:
    """1 + x / 8192 is 1 in FP16 for every x of the feed, so that every label becomes the first."""
    text = "(int64[1,4,4] y) <float[1,1,1,1] k = {0.0001220703125}, float[1,1,1,1] one = {1.0}> "
    model = parse(HEAD + text + "{ a = Mul (x, k) b = Add (a, one) y = ArgMax <axis=1, keepdims=0> (b) }")
    given = artifact_of(model, tmp_path / "in.onnx")
    feed = np.zeros((2, 1, 2, 4, 4), np.float32)
    feed[:, :, -1] = 1
    feed[1, :, 0] = 2
    with pytest.raises(ParityError, match="fp16 broke output 'y': 100% of its labels changed"):
        stage.run(given, "fp16", QuantizeConfig(), Samples.of({"x": feed[:1]}, "test"), tmp_path / "out.onnx")
    made = stage.run(given, "fp16", QuantizeConfig(), Samples.of({"x": feed}, "test"), tmp_path / "out.onnx")
    assert made.facts["difference"]["y"]["relative"] == 0.5


FINITE = st.floats(-200, 200, width=32)


@settings(max_examples=30, deadline=None)
@for_all(
    x=st.lists(FINITE, min_size=4, max_size=4),
    k=st.lists(FINITE, min_size=4, max_size=4),
    c=FINITE,
    exclude=st.booleans(),
)
def test_the_simulation_rounds_as_numpy_does_step_by_step(x, k, c, exclude) -> None:
    """For y = x * k + c: constants and results rounded to half; k is not where the product is excluded."""
    model = parse(
        "net (float[4] x) => (float[4] y) <float[4] k = {0,0,0,0}, float[1] c = {0}> "
        "{ [m] a = Mul (x, k) y = Add (a, c) }"
    )
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array(k, np.float32), "k"))
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.array([c], np.float32), "c"))
    made = fp16.quantize(model, fp16.Config(), Context(Path("x"), real_samples(model), ("m",) if exclude else ()))
    feed, weight = np.array(x, np.float32), np.array(k, np.float32)
    if not exclude:
        weight = rounded(weight)
    expected = rounded(rounded(feed * weight) + rounded(np.array([c], np.float32)))
    found = run_onnx(made.simulation, {"x": feed})["y"]
    np.testing.assert_array_equal(found, expected)


def rounded(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return array.astype(np.float16).astype(np.float32)


def test_casts_of_the_model_itself_are_not_taken_for_the_converters() -> None:
    model = parse(HEAD + "(float[1,2,4,4] y) { y = Relu (x) }")
    model.graph.node.append(helper.make_node("Cast", ["x"], ["unused"], name="users_cast", to=TensorProto.INT32))
    made = half(model)
    assert "users_cast" in {node.name for node in made.model.graph.node}
