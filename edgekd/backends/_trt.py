"""Building an engine with TensorRT or TensorRT-RTX, whose Python interface is the same; it is passed as ``trt``.

Only names that exist in TensorRT 10.3 to 11.4 and in TensorRT-RTX 1.7 are used, so one code path serves all of them: a
strongly typed network, whose precision is written in the ONNX graph, and the tensor API.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd.core.errors import BuildError, InputError
from edgekd.core.tensor import TensorSpec

_LAST_MESSAGES = 3
_MESSAGE_MAX = 400  # characters
_UNREADABLE = "Failed to parse the ONNX model"
# Logged without a driver. TensorRT-RTX builds without one, so these lines would only hide the cause of an error.
_NOISE = ("cudaError 35", "CUDA initialization failure")
# Part of an error message → what to do. Most are caused by graphs that other tools have quantized.
_HINTS = (
    ("has type Int32", "its biases are quantized: keep biases in floating point (QuantizeBias=False)"),
    ("UINT8", "quantize symmetrically to signed int8 (ActivationSymmetric, WeightSymmetric)"),
    ("zero point", "quantize symmetrically, with every zero point 0 (ActivationSymmetric, WeightSymmetric)"),
    ("Plugin not found", "TensorRT has no such operator: export or simplify it away"),
    (
        "graphScope",
        "TensorRT cannot convert its control flow (If, Loop): make the deciding input constant and simplify",
    ),
    ("Quantized constant", "a constant is quantized alone: quantize only the inputs of Conv, Gemm and MatMul"),
)


@dataclass(frozen=True, slots=True)
class Built:
    """A finished build.

    Attributes:
        engine: The serialized engine.
        convolutions: Convolutions in the parsed network, including transposed ones.
        network_layers: Layers in the parsed network.
        messages: The library's log, in order.
        warnings: Its distinct warnings.
    """

    engine: bytes
    convolutions: int
    network_layers: int
    messages: tuple[str, ...]
    warnings: tuple[str, ...]


def make_log(trt: Any) -> Any:
    """Return a TensorRT logger that keeps (severity, message) in ``entries`` and prints nothing."""

    class Log(trt.ILogger):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.entries: list[tuple[Any, str]] = []

        def log(self, severity: Any, message: str) -> None:
            """Keep a message."""
            self.entries.append((severity, message))

    return Log()


def last_errors(trt: Any, log: Any) -> str:
    """Return the library's last error messages on one line."""
    severities = (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR)
    errors = [_clean(message) for severity, message in log.entries if severity in severities]
    return "; ".join(list(filter(None, errors))[-_LAST_MESSAGES:]) or "it gave no reason"


def build(trt: Any, onnx: Path, inputs: Sequence[TensorSpec], configure: Callable[[Any, Any], None]) -> Built:
    """Build a strongly typed engine from an ONNX file.

    Args:
        trt: The module, ``tensorrt`` or ``tensorrt_rtx``.
        onnx: The graph, which decides the precision.
        inputs: Its inputs; the ranges of dynamic dimensions become one optimization profile.
        configure: Called with (builder, config) before the build.

    Raises:
        BuildError: The parser or the builder refused the graph; the message has the node and the library's errors.
        InputError: The file is damaged, or a dynamic input has no range.
    """
    log = make_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(onnx)):
        error = _parser_error(trt, parser, log)
        if _UNREADABLE in error:
            raise InputError(f"{onnx} is not a readable ONNX file ({error}); give a complete one")
        raise BuildError(f"TensorRT's parser refuses {onnx.name}: {error}")
    config = builder.create_builder_config()
    # With less verbosity neither the log nor the inspector tells the layers' element types.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    configure(builder, config)
    _add_profile(builder, config, network, inputs)
    engine = builder.build_serialized_network(network, config)
    if engine is None:  # TensorRT does not raise; its reason is in the log
        error = last_errors(trt, log)
        raise BuildError(f"TensorRT's builder refuses {onnx.name}: {error}{_hint(error)}")
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    convolutions = sum(layer.type in (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION) for layer in layers)
    messages = tuple(message for _, message in log.entries)
    warnings = [_clean(message) for severity, message in log.entries if severity == trt.ILogger.WARNING]
    distinct = tuple(dict.fromkeys(filter(None, warnings)))
    return Built(bytes(engine), convolutions, len(layers), messages, distinct)


def _add_profile(builder: Any, config: Any, network: Any, inputs: Sequence[TensorSpec]) -> None:
    specs = {spec.name: spec for spec in inputs}
    profile = builder.create_optimization_profile()
    has_dynamic = False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if not any(size < 0 for size in tensor.shape):  # TensorRT writes -1 for a dynamic dimension
            continue
        if tensor.name not in specs:
            raise InputError(
                f"input {tensor.name!r} is dynamic and its range is not given; given: {', '.join(specs) or 'none'}"
            )
        has_dynamic = True
        spec = specs[tensor.name]
        profile.set_shape(tensor.name, spec.at("min"), spec.at("opt"), spec.at("max"))
    if has_dynamic:
        config.add_optimization_profile(profile)


def _parser_error(trt: Any, parser: Any, log: Any) -> str:
    if parser.num_errors == 0:
        return last_errors(trt, log)
    error = parser.get_error(0)  # the later ones usually follow from the first
    description = _clean(error.desc())
    node = f"node {error.node_name()!r} ({error.node_operator()}): " if error.node_operator() else ""
    more = f" (and {parser.num_errors - 1} more)" if parser.num_errors > 1 else ""
    return f"{node}{description}{more}{_hint(description)}"


def _hint(message: str) -> str:
    for part, advice in _HINTS:
        if part.lower() in message.lower():
            return f". To do: {advice}"
    return ""


def _clean(message: str) -> str:
    """Return a message on one line, without the lines about a missing driver."""
    lines = [line.strip() for line in message.splitlines() if not any(noise in line for noise in _NOISE)]
    return " ".join(filter(None, lines))[:_MESSAGE_MAX]
