"""INT8: Q/DQ nodes after training, in the form TensorRT takes: symmetric int8, weights per channel, float bias.

Only what enters a convolution or a matrix product is quantized, not what leaves it: TensorRT then fuses the bias, the
activation and the next layer's Q into one INT8 kernel. A Q/DQ pair right after a Conv would stand before its ReLU.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from edgekd.core import provenance
from edgekd.core.artifact import Artifact
from edgekd.core.config import QuantizeConfig
from edgekd.core.errors import BuildError, CalibrationError, InputError
from edgekd.core.samples import Samples
from edgekd.graph.constants import lift_constants
from edgekd.graph.evaluate import ORT_ERRORS
from edgekd.graph.model import load_onnx, opset_of, save_onnx
from edgekd.quantize.write import Scheme, kept_nodes, write

OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
MIN_SAMPLES = 8
MIN_OPSET = 13  # the first with per-channel QuantizeLinear
_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}


def quantize(onnx: Artifact, config: QuantizeConfig, samples: Samples, out: Path) -> Artifact:
    """Calibrate on ``samples`` and put Q/DQ into the graph of ``onnx``.

    Args:
        onnx: The graph, opset 13 or newer.
        config: ``calibration`` and ``percentile`` choose the ranges, ``keep`` names nodes that stay in FP32.
        samples: Real feeds, at least ``MIN_SAMPLES``.
        out: The file to write.

    Raises:
        CalibrationError: The samples are too few, made up, or not finite.
        InputError: The file cannot be read, its opset is too old, or ``keep`` names no node.
        BuildError: The graph has nothing to quantize, or onnxruntime's quantizer fails on it.
        ParityError: INT8 breaks this network.
    """
    _check_samples(samples)
    before = load_onnx(onnx.path)
    if opset_of(before) < MIN_OPSET:
        raise InputError(
            f"{onnx.path} has opset {opset_of(before)}; INT8 needs {MIN_OPSET} or newer "
            "(per-channel Q/DQ): export it again"
        )
    if not any(node.op_type in OPERATORS for node in before.graph.node):
        raise BuildError(
            f"{onnx.path} has none of {', '.join(OPERATORS)} in its main graph: there is nothing to quantize; use fp16"
        )
    after = _quantized(before, config, samples)
    facts = {
        "calibration": {
            "source": samples.source,
            "count": len(samples),
            "sha256": provenance.digest_of_samples(samples),
            "method": config.calibration,
        },
        "quantized": (census := _census(after)),
        "summary": _summary(census, samples, config),
    }
    return write(Scheme("int8", onnx, config, samples, out), before, after, facts)


# What its Python raises on graphs it did not expect, beside onnxruntime's own.
_FAILURES: tuple[type[Exception], ...] = (*ORT_ERRORS, TypeError, KeyError, IndexError, AttributeError)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds one after another; onnxruntime asks for a stretch at a time, so that it holds one sample's tensors only."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self.set_range(0, len(samples))

    def get_next(self) -> dict[str, Any] | None:
        """Return the next sample's feeds, None at the end of the stretch."""
        index = next(self._indices, None)
        return (
            None if index is None else {name: np.asarray(array) for name, array in self._samples.feeds(index).items()}
        )

    def set_range(self, start_index: int, end_index: int) -> None:
        """Begin a stretch."""
        self._indices = iter(range(start_index, end_index))

    def __len__(self) -> int:
        return len(self._samples)


def _quantized(before: ModelProto, config: QuantizeConfig, samples: Samples) -> ModelProto:
    options = {
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "QuantizeBias": False,  # TensorRT's parser takes no INT32 DequantizeLinear
        "QDQDisableWeightAdjustForInt32Bias": True,  # for a bias that is not quantized it would only coarsen weights
        "OpTypesToExcludeOutputQuantization": list(OPERATORS),
        "CalibStridedMinMax": 1,  # one sample at a time, whatever the method: memory does not grow with their number
        "CalibPercentile": config.percentile,
    }
    with tempfile.TemporaryDirectory(prefix="edgekd-int8-") as folder, _quiet():
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        lifted = ModelProto()
        lifted.CopyFrom(before)
        lift_constants(lifted.graph)  # a weight in a Constant node would be quantized as an activation
        save_onnx(lifted, source)
        try:
            quantize_static(
                source,
                target,
                _Reader(samples),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(OPERATORS),
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=sorted(kept_nodes(before, config.keep)),
                calibrate_method=_METHODS[config.calibration],
                extra_options=options,
            )
        except _FAILURES as err:
            reason = " ".join(str(err).split())[:240]
            raise BuildError(
                f"onnxruntime's quantizer failed on the graph ({type(err).__name__}: {reason}); use fp16"
            ) from err
        after = load_onnx(target)
    after.producer_name, after.producer_version = before.producer_name, before.producer_version
    del after.metadata_props[:]
    after.metadata_props.extend(before.metadata_props)
    del after.graph.value_info[:]
    return after


def _check_samples(samples: Samples) -> None:
    if samples.source.startswith("synthetic"):
        raise CalibrationError(
            f"INT8 cannot be calibrated on {samples.source!r}: made-up feeds give meaningless ranges; "
            "give --images FOLDER"
        )
    if len(samples) < MIN_SAMPLES:
        raise CalibrationError(
            f"INT8 was given {len(samples)} calibration samples ({samples.source}); "
            f"at least {MIN_SAMPLES} were expected"
        )
    for name, array in samples.inputs.items():
        if array.dtype.kind != "f":
            continue
        for index, sample in enumerate(array):
            if not np.all(np.isfinite(sample)):
                raise CalibrationError(
                    f"calibration sample {samples.names[index]!r} has NaN or infinity in {name!r}; take it out"
                )


def _summary(census: dict[str, Any], samples: Samples, config: QuantizeConfig) -> str:
    operators = ", ".join(f"{count} {name}" for name, count in census["operators"].items())
    return f"{operators} between Q/DQ, calibrated ({config.calibration}) on {samples.source}"


def _census(model: ModelProto) -> dict[str, Any]:
    """Count what is quantized: nodes per operator (all their tensors come through a DQ), weights, activations."""
    constants = {tensor.name for tensor in model.graph.initializer}
    dequantized = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    operators: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for node in model.graph.node:
        if node.op_type in OPERATORS:
            (operators if all(name in dequantized for name in node.input[:2]) else left)[node.op_type] += 1
    return {
        "operators": dict(sorted(operators.items())),
        "operators_left_fp32": dict(sorted(left.items())),
        "weights": sum(n.op_type == "DequantizeLinear" and n.input[0] in constants for n in model.graph.node),
        "activations": sum(n.op_type == "QuantizeLinear" for n in model.graph.node),
        "int8_weight_bytes": sum(len(t.raw_data) for t in model.graph.initializer if t.data_type == TensorProto.INT8),
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the quantizer's advice, which it gives through the root logger: it is not for our users."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        root.setLevel(before)
