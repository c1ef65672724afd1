"""INT8: what it is calibrated on, what it refuses, and the form of its Q/DQ nodes."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from edgekd.core.errors import BuildError, CalibrationError, InputError, RecipeError
from edgekd.core.samples import Sample, Samples
from edgekd.core.schema import parse as parse_config
from edgekd.graph.evaluate import run_onnx
from edgekd.quantize.scheme import Context, Quantized
from edgekd.quantize.schemes import int8
from tests.unit.graph.networks import convolutions, parse, real_samples


def quantize(model: ModelProto | None = None, samples: Samples | None = None, **options: Any) -> Quantized:
    model = convolutions() if model is None else model
    excluded = options.pop("exclude_nodes", ())
    context = Context(Path("net.onnx"), samples or real_samples(model), excluded)
    return int8.quantize(model, int8.Config(**options), context)


def with_value(value: float) -> Samples:
    """Return samples of which the sixth has ``value`` in one place."""
    samples = real_samples(convolutions())
    samples[5].feeds["picture"][0, 1, 2, 3] = value
    return samples


def constants(model: ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def nodes(model: ModelProto, operator: str) -> Iterator[onnx.NodeProto]:
    return (node for node in model.graph.node if node.op_type == operator)


def activation_scales(model: ModelProto) -> dict[str, float]:
    values = constants(model)
    return {node.input[0]: float(values[node.input[1]]) for node in nodes(model, "QuantizeLinear")}


def weights(model: ModelProto) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return weight name → (int8 values, scales)."""
    values = constants(model)
    return {
        node.input[0]: (values[node.input[0]], values[node.input[1]])
        for node in nodes(model, "DequantizeLinear")
        if node.input[0] in values
    }


def test_weights_are_int8_per_channel_and_biases_stay_float() -> None:
    model = quantize().model
    found = weights(model)
    assert len(found) == 3
    for array, scales in found.values():
        assert array.dtype == np.int8
        assert scales.size == (8 if array.ndim == 4 else 5)
    values = constants(model)
    biases = [values[node.input[2]] for node in model.graph.node if node.op_type in ("Conv", "Gemm") and node.input[2:]]
    assert [bias.dtype for bias in biases] == [np.dtype(np.float32)] * 2


def test_each_weights_scale_is_its_channels_largest_magnitude_over_127() -> None:
    original = constants(convolutions())["w1"]
    scales = next(scales for array, scales in weights(quantize().model).values() if array.shape == original.shape)
    np.testing.assert_allclose(scales, np.abs(original).max(axis=(1, 2, 3)) / 127, rtol=1e-2)


def test_quantization_is_symmetric() -> None:
    model = quantize().model
    values = constants(model)
    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    zero_points = [values[node.input[2]] for node in pairs]
    assert zero_points
    assert all(zero_point.dtype == np.int8 and not zero_point.any() for zero_point in zero_points)


def test_outputs_of_convolutions_are_not_quantized_before_their_relu() -> None:
    model = quantize().model
    readers = {name: node.op_type for node in model.graph.node for name in node.input}
    assert {readers[node.output[0]] for node in nodes(model, "Conv")} == {"Relu", "GlobalAveragePool"}


def test_facts_say_on_what_and_how_much() -> None:
    samples = real_samples(convolutions())
    made = quantize(samples=samples)
    assert made.facts["quantized"] == {
        "operators": {"Conv": 2, "Gemm": 1},
        "operators_left_fp32": {},
        "weights": 3,
        "activations": 3,
        "int8_weight_bytes": 8 * 27 + 8 * 36 + 40,
    }
    assert made.facts["calibration"] == {
        "source": samples.source,
        "count": 8,
        "sha256": samples.digest,
        "method": "minmax",
    }
    assert made.summary.startswith("2 Conv, 1 Gemm between Q/DQ")
    assert "minmax" in made.summary


def test_excluded_nodes_are_left_in_fp32() -> None:
    made = quantize(exclude_nodes=("sec*",))
    second = next(node for node in made.model.graph.node if node.name == "second")
    producers = {name: node for node in made.model.graph.node for name in node.output}
    assert "w2" in second.input
    assert constants(made.model)["w2"].dtype == np.float32
    assert producers[second.input[0]].op_type == "Relu"
    assert made.facts["quantized"]["operators_left_fp32"] == {"Conv": 1}
    with pytest.raises(InputError, match=r"'thrid\*' matches none"):
        quantize(exclude_nodes=("thrid*",))


def test_minmax_covers_the_largest_value_of_all_samples() -> None:
    scales = activation_scales(quantize(samples=with_value(-12.7)).model)
    assert scales["picture"] == pytest.approx(12.7 / 127, rel=0.01)


@pytest.mark.parametrize("calibration", ["percentile", "entropy"])
def test_other_methods_cut_an_outlier(calibration: str) -> None:
    options = {"percentile": 99.0} if calibration == "percentile" else {}
    made = quantize(samples=with_value(50.0), calibration=calibration, **options)
    assert activation_scales(made.model)["picture"] < 0.5 * 50 / 127
    assert made.facts["calibration"]["method"] == calibration


def test_a_smaller_percentile_cuts_more() -> None:
    cuts = [
        activation_scales(quantize(samples=with_value(50.0), calibration="percentile", percentile=p).model)["picture"]
        for p in (100, 99.9, 50)
    ]
    assert cuts == sorted(cuts, reverse=True)
    assert cuts[0] > 10 * cuts[2]


@pytest.mark.parametrize("calibration", ["minmax", "entropy", "percentile"])
def test_onnxruntime_is_given_one_sample_at_a_time(calibration: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ranges: list[tuple[int, int]] = []
    set_range = int8._Reader.set_range

    def spy(self: int8._Reader, start_index: int, end_index: int) -> None:
        ranges.append((start_index, end_index))
        set_range(self, start_index, end_index)

    monkeypatch.setattr(int8._Reader, "set_range", spy)
    quantize(calibration=calibration)
    assert ranges[1:] == [(index, index + 1) for index in range(8)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"percentile": 0.5}, "percentile = 0.5"),
        ({"percentile": 100.1}, "percentile = 100.1"),
        ({"percentile": "most"}, "a number was expected"),
        ({"calibration": "percntile"}, "did you mean 'percentile'"),
        ({"scheme": "int8"}, "unknown key quantize.options.int8.scheme"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_config(int8.Config, options, "quantize.options.int8")
    assert message in str(caught.value)


def test_the_ends_of_the_percentile_are_allowed() -> None:
    assert [int8.Config(percentile=value).percentile for value in (1, 100)] == [1, 100]


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(CalibrationError, match=r"7 calibration samples .images of the test.; at least 8"):
        quantize(samples=real_samples(convolutions(), int8.MIN_SAMPLES - 1))


def test_synthetic_samples_are_refused_by_their_origin_and_not_by_their_name() -> None:
    samples = dataclasses.replace(real_samples(convolutions()), source="synthetic weather of Bremen")
    assert quantize(samples=samples).facts["calibration"]["count"] == 8
    samples = dataclasses.replace(samples, source="random numbers", origin="synthetic")
    with pytest.raises(CalibrationError, match=r"synthetic samples .random numbers."):
        quantize(samples=samples)


@pytest.mark.parametrize("origin", ["user", "shipped"])
def test_images_of_the_user_and_of_edgekd_are_taken(origin: Any) -> None:
    samples = dataclasses.replace(real_samples(convolutions()), origin=origin)
    assert quantize(samples=samples).facts["calibration"]["count"] == 8


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_not_finite_is_named(value: float) -> None:
    with pytest.raises(CalibrationError, match="'5' has NaN or infinity in 'picture'"):
        quantize(samples=with_value(value))


def test_integer_inputs_need_not_be_finite() -> None:
    model = parse("net (float[1,4] x, int64[1] i) => (float[1,5] y) { a = Gather <axis = 1> (w, i) y = MatMul (x, w) }")
    model.graph.initializer.append(numpy_helper.from_array(np.ones((4, 5), np.float32), "w"))
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.random((1, 4), np.float32), "i": np.array([1])} for _ in range(8)]
    samples = Samples(tuple(Sample(str(index), each) for index, each in enumerate(feeds)), "two inputs")
    assert quantize(model, samples).facts["quantized"]["operators"] == {"MatMul": 1}


def test_an_old_opset_is_refused() -> None:
    model = convolutions()
    model.opset_import[0].version = int8.MIN_OPSET - 1
    with pytest.raises(InputError, match=r"net.onnx has opset 12; INT8 needs 13"):
        quantize(model)


def test_a_graph_without_weights_is_refused() -> None:
    with pytest.raises(BuildError, match="nothing to quantize"):
        quantize(parse("net (float[2] x) => (float[2] y) { y = Relu (x) }"))


def test_what_the_quantizer_fails_on_is_a_build_error() -> None:
    model = parse("net (float[1,4] x) => (float[1,4] y) { y = MatMul (x, w) }")
    model.graph.initializer.append(numpy_helper.from_array(np.ones((4, 4), np.float32), "w"))
    wrong = Samples.of({"nobody": np.ones((8, 1, 4), np.float32)}, "of another network")
    with pytest.raises(BuildError, match=r"quantizer failed on the graph .*use fp16"):
        quantize(model, wrong)


def test_a_weight_in_a_constant_node_is_still_per_channel() -> None:
    model = convolutions()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w1")
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["w1"], value=weight))
    model.graph.initializer.remove(weight)
    made = quantize(model)
    assert made.facts["quantized"]["weights"] == 3
    assert {scales.size for _, scales in weights(made.model).values()} == {8, 5}


def test_the_maker_of_the_graph_and_its_metadata_stay() -> None:
    model = convolutions()
    model.producer_name, model.producer_version = "a_tool", "1.2"
    made = quantize(model).model
    assert (made.producer_name, made.producer_version) == ("a_tool", "1.2")
    assert [entry.key for entry in made.metadata_props] == ["edgekd.pair"]
    assert not made.graph.value_info


def test_the_graph_computes_what_numpy_computes_with_rounded_operands() -> None:
    """For y = x @ w: with x and w on their int8 grids, accumulated in float."""
    model = parse("net (float[4,16] x) => (float[4,8] y) { y = MatMul (x, w) }")
    rng = np.random.default_rng(1)
    weight = rng.normal(0, 1, (16, 8)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    x = rng.normal(0, 1, (8, 4, 16)).astype(np.float32)
    made = quantize(model, Samples.of({"x": x}, "real")).model
    scale = activation_scales(made)["x"]
    grid = np.clip(np.round(x[0] / scale), -128, 127) * scale
    quantized, scales = next(iter(weights(made).values()))
    np.testing.assert_allclose(run_onnx(made, {"x": x[0]})["y"], grid @ (quantized * scales), rtol=1e-4, atol=1e-4)


def test_nothing_is_printed_and_logging_is_left_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    level = logging.getLogger().level
    quantize()
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().level == level
    with pytest.raises(BuildError):
        quantize(samples=Samples.of({"nobody": np.ones((8, 1), np.float32)}, "real"))
    assert logging.getLogger().level == level
