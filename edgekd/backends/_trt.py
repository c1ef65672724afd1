"""What TensorRT and TensorRT-RTX share: one Python interface, handed over as the module ``trt``.

Only names that are there from TensorRT 10.3 to 11.4 and in TensorRT-RTX 1.7 are used, so that one path serves them all:
a strongly typed network, precision written in the ONNX graph, the tensor API.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd.core.errors import BuildError, InputError
from edgekd.core.tensor import TensorSpec

_LAST_MESSAGES = 3
_UNREADABLE = "Failed to parse the ONNX model"
# The driver's absence is said once by require_driver; repeated in every message it hides the cause.
_NOISE = ("cudaError 35", "CUDA initialization failure")
# What to do about refusals that quantizers of other houses cause.
_HINTS = (
    ("has type Int32", "its biases are quantised: leave biases in floating point (QuantizeBias=False)"),
    ("UINT8", "quantise to signed int8, symmetric (ActivationSymmetric, WeightSymmetric)"),
    ("zero point", "quantise symmetrically, with every zero point 0 (ActivationSymmetric, WeightSymmetric)"),
    ("Plugin not found", "TensorRT has no such operator: export or simplify it away"),
    ("graphScope", "TensorRT cannot follow its control flow (If, Loop): fix the input that decides it, and simplify"),
    ("Quantized constant", "a constant is quantised on its own: quantise the inputs of Conv, Gemm and MatMul alone"),
)


@dataclass(frozen=True, slots=True)
class Built:
    """A finished build.

    Attributes:
        engine: The serialised engine.
        convolutions: How many convolutions, transposed ones included, the parser made.
        network_layers: How many layers it made in all.
        messages: The library's log, in order.
        warnings: Those of its messages that were warnings, each once.
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
            """Keep what the library says."""
            self.entries.append((severity, message))

    return Log()


def last_errors(trt: Any, log: Any) -> str:
    """Return the library's last error messages on one line."""
    severities = (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR)
    errors = [_clean(message) for severity, message in log.entries if severity in severities]
    return "; ".join([error for error in errors if error][-_LAST_MESSAGES:]) or "it gave no reason"


def build(trt: Any, onnx: Path, inputs: Sequence[TensorSpec], configure: Callable[[Any, Any], None]) -> Built:
    """Build a strongly typed engine from an ONNX file.

    Args:
        trt: The module, ``tensorrt`` or ``tensorrt_rtx``.
        onnx: The graph; its precision is what it says.
        inputs: Its inputs; the ranges of dynamic dimensions become one optimization profile.
        configure: Called with (builder, config) before the build.

    Raises:
        BuildError: The parser or the builder refused; the message has its node and words.
        InputError: The file is not whole, or a dynamic input has no range.
    """
    log = make_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(onnx)):
        words = _parser_errors(trt, parser, log)
        if _UNREADABLE in words:
            raise InputError(f"{onnx} is not a readable ONNX file ({words}); give a whole one")
        raise BuildError(f"TensorRT's parser refuses {onnx.name}: {words}")
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    configure(builder, config)
    _add_profile(builder, config, network, inputs)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        words = last_errors(trt, log)
        raise BuildError(f"TensorRT's builder refuses {onnx.name}: {words}{_hint(words)}")
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    convolutions = sum(layer.type in (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION) for layer in layers)
    warnings = (_clean(message) for severity, message in log.entries if severity == trt.ILogger.WARNING)
    messages = tuple(message for _, message in log.entries)
    return Built(bytes(engine), convolutions, len(layers), messages, tuple(dict.fromkeys(filter(None, warnings))))


def _add_profile(builder: Any, config: Any, network: Any, inputs: Sequence[TensorSpec]) -> None:
    specs = {spec.name: spec for spec in inputs}
    profile = builder.create_optimization_profile()
    dynamic = False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if not any(size < 0 for size in tensor.shape):
            continue
        if tensor.name not in specs:
            raise InputError(f"input {tensor.name!r} is dynamic and not described; known: {', '.join(specs) or 'none'}")
        dynamic = True
        spec = specs[tensor.name]
        profile.set_shape(tensor.name, spec.at("min"), spec.at("opt"), spec.at("max"))
    if dynamic:
        config.add_optimization_profile(profile)


def _parser_errors(trt: Any, parser: Any, log: Any) -> str:
    if parser.num_errors == 0:
        return last_errors(trt, log)
    error = parser.get_error(0)
    words = _clean(error.desc())
    node = f"node {error.node_name()!r} ({error.node_operator()}): " if error.node_operator() else ""
    more = f" (and {parser.num_errors - 1} more)" if parser.num_errors > 1 else ""
    return f"{node}{words}{more}{_hint(words)}"


def _hint(words: str) -> str:
    return next((f". To do: {hint}" for mark, hint in _HINTS if mark.lower() in words.lower()), "")


def _clean(message: str) -> str:
    lines = (line.strip() for line in message.splitlines())
    return " ".join(line for line in lines if line and not any(noise in line for noise in _NOISE))[:400]
