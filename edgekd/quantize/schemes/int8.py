"""INT8: Q/DQ nodes placed after training, in the form TensorRT takes: symmetric int8, weights per channel, float bias.

The inputs of convolutions and matrix products are quantized, their outputs are not: TensorRT then fuses the bias, the
activation and the next layer's Q into one INT8 kernel. A Q/DQ pair right after a Conv would separate it from its ReLU.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from edgekd.core.errors import BuildError, CalibrationError, InputError, RecipeError
from edgekd.core.samples import SampleSource
from edgekd.graph.constants import lift_constants
from edgekd.graph.evaluate import ORT_ERRORS
from edgekd.graph.model import load_onnx, opset_of, save_onnx
from edgekd.quantize.scheme import Context, Quantized

LIBRARIES = ("onnx", "onnxruntime")

OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# Fewer samples leave the ranges to chance: one dark image among four decides them.
MIN_SAMPLES = 8
MIN_OPSET = 13  # the first with per-channel QuantizeLinear
_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
# What onnxruntime's quantizer, written in Python, raises on graphs it did not expect, besides onnxruntime's own errors.
_FAILURES: tuple[type[Exception], ...] = (*ORT_ERRORS, TypeError, KeyError, IndexError, AttributeError)


@dataclass(frozen=True, slots=True)
class Config:
    """How activation ranges are read from the samples.

    Attributes:
        calibration: "minmax" covers every value, "entropy" minimises the KL divergence of the histograms,
            "percentile" cuts outliers.
        percentile: Share of values that calibration = "percentile" covers, in percent.
    """

    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"
    percentile: float = 99.99

    def __post_init__(self) -> None:
        if not 1 <= self.percentile <= 100:
            raise RecipeError(f"percentile = {self.percentile!r}; 1 to 100 was expected")


def quantize(model: ModelProto, config: Config, context: Context) -> Quantized:
    """Calibrate on the samples and insert Q/DQ nodes into a copy of ``model``.

    Args:
        model: The graph, opset 13 or newer.
        config: The calibration.
        context: Real samples, at least ``MIN_SAMPLES``; excluded nodes stay in FP32.

    Raises:
        CalibrationError: The samples are too few, synthetic, or not finite.
        InputError: The opset is too old, or an excluded node does not exist.
        BuildError: The graph has nothing to quantize, or onnxruntime's quantizer fails on it.
    """
    samples = context.samples
    _check_samples(samples)
    if opset_of(model) < MIN_OPSET:
        raise InputError(
            f"{context.path} has opset {opset_of(model)}; INT8 needs {MIN_OPSET} or newer "
            "(per-channel Q/DQ): export it again"
        )
    if not any(node.op_type in OPERATORS for node in model.graph.node):
        raise BuildError(
            f"{context.path} has none of {', '.join(OPERATORS)} in its main graph: there is nothing to quantize; "
            "use fp16"
        )
    quantized = _with_qdq(model, config, context)
    counts = _counts(quantized)
    calibration = {
        "source": samples.source,
        "count": len(samples),
        "sha256": samples.digest,
        "method": config.calibration,
    }
    operators = ", ".join(f"{count} {name}" for name, count in counts["operators"].items())
    return Quantized(
        quantized,
        {"calibration": calibration, "quantized": counts},
        f"{operators} between Q/DQ, calibrated ({config.calibration}) on {samples.source}",
    )


def _check_samples(samples: SampleSource) -> None:
    if samples.origin == "synthetic":
        raise CalibrationError(
            f"INT8 cannot be calibrated on synthetic samples ({samples.source}): their ranges are not those of real "
            "inputs; give --calibration-images FOLDER"
        )
    if len(samples) < MIN_SAMPLES:
        raise CalibrationError(
            f"INT8 was given {len(samples)} calibration samples ({samples.source}); at least {MIN_SAMPLES} were "
            "expected"
        )
    for sample in samples:
        for name, array in sample.feeds.items():
            if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
                raise CalibrationError(
                    f"calibration sample {sample.name!r} has NaN or infinity in {name!r}; remove it from the samples"
                )


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds samples one after another; onnxruntime asks for one range of them after the other."""

    def __init__(self, samples: SampleSource) -> None:
        self._samples = samples
        self.set_range(0, len(samples))

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the next sample's feeds, input name → array; None at the end of the range."""
        index = next(self._indices, None)
        if index is None:
            return None
        return {name: np.asarray(array) for name, array in self._samples[index].feeds.items()}

    def set_range(self, start_index: int, end_index: int) -> None:
        """Start a range; ``end_index`` is not part of it."""
        self._indices = iter(range(start_index, end_index))

    def __len__(self) -> int:
        return len(self._samples)


def _with_qdq(model: ModelProto, config: Config, context: Context) -> ModelProto:
    options = {
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "QuantizeBias": False,  # TensorRT's parser takes no INT32 DequantizeLinear
        "QDQDisableWeightAdjustForInt32Bias": True,  # it would coarsen weights for the sake of a quantized bias
        "OpTypesToExcludeOutputQuantization": list(OPERATORS),
        # One sample at a time, whatever the method (the key's name is misleading): memory does not grow with them.
        "CalibStridedMinMax": 1,
        "CalibPercentile": config.percentile,
    }
    with tempfile.TemporaryDirectory(prefix="edgekd-int8-") as folder, _silent_logging():
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        lifted = ModelProto()
        lifted.CopyFrom(model)
        lift_constants(lifted.graph)  # a weight in a Constant node would be quantized as an activation
        save_onnx(lifted, source)
        try:
            quantize_static(
                source,
                target,
                _Reader(context.samples),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(OPERATORS),
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=sorted(context.excluded_nodes(model)),
                calibrate_method=_METHODS[config.calibration],
                extra_options=options,
            )
        except _FAILURES as err:
            reason = " ".join(str(err).split())[:240]
            raise BuildError(
                f"onnxruntime's quantizer failed on the graph ({type(err).__name__}: {reason}); use fp16"
            ) from err
        quantized = load_onnx(target)
    # The quantizer signs the graph and drops its metadata.
    quantized.producer_name, quantized.producer_version = model.producer_name, model.producer_version
    del quantized.metadata_props[:]
    quantized.metadata_props.extend(model.metadata_props)
    del quantized.graph.value_info[:]
    return quantized


def _counts(model: ModelProto) -> dict[str, Any]:
    """Count what is quantized: nodes per operator (all of whose inputs come through a DQ), weights, activations."""
    constants = {tensor.name for tensor in model.graph.initializer}
    dequantized = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    quantized_operators: Counter[str] = Counter()
    fp32_operators: Counter[str] = Counter()
    for node in model.graph.node:
        if node.op_type in OPERATORS:
            is_quantized = all(name in dequantized for name in node.input[:2])  # the third input is the bias
            counter = quantized_operators if is_quantized else fp32_operators
            counter[node.op_type] += 1
    weights = [node for node in model.graph.node if node.op_type == "DequantizeLinear" and node.input[0] in constants]
    int8_tensors = [tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.INT8]
    return {
        "operators": dict(sorted(quantized_operators.items())),
        "operators_left_fp32": dict(sorted(fp32_operators.items())),
        "weights": len(weights),
        "activations": sum(node.op_type == "QuantizeLinear" for node in model.graph.node),
        "int8_weight_bytes": sum(len(tensor.raw_data) for tensor in int8_tensors),
    }


@contextlib.contextmanager
def _silent_logging() -> Iterator[None]:
    """Silence the quantizer's advice, which it gives to its callers' developers through the root logger."""
    root = logging.getLogger()
    level_before = root.level
    root.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        root.setLevel(level_before)
