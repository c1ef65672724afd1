"""The layers of a built engine, read from TensorRT-RTX's build log or TensorRT's engine inspector."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# The first two are the log's words, the others the inspector's.
_CONVOLUTION_KINDS = ("correlation", "deconv", "convolution", "deconvolution")
# A fused kernel's name holds four letters of each operator: __myl_CorrSilu is a convolution with SiLU.
_FUSED_CONVOLUTION = re.compile(r"__myl_\w*(Corr|Deco)")
_BOOKKEEPING = frozenset(("signal", "wait"))  # stream synchronisation, not work
# Name: conv_myl0_1, LayerType: correlation, Inputs: [{ ..., Datatype: Int8, ...}], Constants: [...], Outputs: ...
_LOG_LAYER = re.compile(
    r"^\s*Name: (?P<name>.*?), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], "
    r"Constants: \[(?P<constants>.*?)\], Outputs: "
)
_LOG_DTYPE = re.compile(r"Datatype: (\w+)")
# The inspector's words for an element type → the log's.
_DTYPE_WORDS = {"int8": "Int8", "fp16": "Half", "half": "Half", "fp32": "Float", "float": "Float"}


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a built engine.

    Attributes:
        name: The engine's name for it.
        kind: The engine's word for its type.
        inputs: Element type of each input in TensorRT's words ("Float", "Half", "Int8").
        constants: Element type of each constant; the first is the weights.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    constants: tuple[str, ...]

    @property
    def is_convolution(self) -> bool:
        """Whether it computes a convolution or a transposed convolution, alone or fused with the operators after it."""
        return self.kind.lower() in _CONVOLUTION_KINDS or (
            self.kind == "runtime_fusion" and _FUSED_CONVOLUTION.match(self.name) is not None
        )

    @property
    def is_int8(self) -> bool:
        """Whether data and weights are both INT8, so that it multiplies in INT8."""
        weights_are_int8 = not self.constants or self.constants[0] == "Int8"
        return "Int8" in self.inputs and weights_are_int8

    @property
    def is_fp16(self) -> bool:
        """Whether it reads FP16 data."""
        return "Half" in self.inputs


def layers_in_log(messages: Iterable[str]) -> list[Layer]:
    """Return the layers that TensorRT-RTX lists in its build log.

    Args:
        messages: The log of a build with a verbose logger and detailed profiling verbosity.
    """
    layers = []
    for message in messages:
        for line in message.splitlines():
            found = _LOG_LAYER.match(line)
            if found is None or found["kind"] in _BOOKKEEPING:
                continue
            inputs, constants = _LOG_DTYPE.findall(found["inputs"]), _LOG_DTYPE.findall(found["constants"])
            layers.append(Layer(found["name"], found["kind"], tuple(inputs), tuple(constants)))
    return layers


def layers_in_inspection(text: str) -> list[Layer]:
    """Return the layers in the JSON of ``EngineInspector.get_engine_information``.

    Args:
        text: The JSON. An engine that was built without detailed profiling verbosity lists only names.
    """
    return [_inspected(layer) for layer in json.loads(text).get("Layers", [])]


def layer_facts(layers: Sequence[Layer]) -> dict[str, int]:
    """Count an engine's layers, and its convolutions and layers by precision, for its manifest."""
    convolutions = [layer for layer in layers if layer.is_convolution]
    return {
        "engine_layers": len(layers),
        "engine_convolutions": len(convolutions),
        "int8_convolutions": sum(layer.is_int8 for layer in convolutions),
        "fp16_convolutions": sum(layer.is_fp16 for layer in convolutions),
        "int8_layers": sum(layer.is_int8 for layer in layers),
        "fp16_layers": sum(layer.is_fp16 for layer in layers),
    }


def summary(facts: Mapping[str, Any]) -> str:
    """Return the counts of an engine's convolutions in one line.

    Args:
        facts: As ``layer_facts`` returns them, with ``convolutions`` of the graph.
    """
    total, int8, fp16 = facts["engine_convolutions"], facts["int8_convolutions"], facts["fp16_convolutions"]
    counts = {"INT8": int8, "FP16": fp16, "FP32": total - int8 - fp16}
    by_precision = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none"
    fused = f" (the graph has {facts['convolutions']})" if facts["convolutions"] != total else ""
    return f"{total} convolutions{fused}: {by_precision}; {facts['engine_layers']} layers"


def _inspected(layer: Any) -> Layer:
    if not isinstance(layer, dict):  # a name alone
        return Layer(str(layer), "", (), ())
    inputs = tuple(_dtype_in(tensor) for tensor in layer.get("Inputs", []))
    weights = layer.get("Weights")
    constants = (str(weights.get("Type", "")),) if isinstance(weights, dict) else ()
    kind = str(layer.get("ParameterType") or layer.get("LayerType") or "")
    return Layer(str(layer.get("Name", "")), kind, inputs, constants)


def _dtype_in(tensor: Any) -> str:
    """Return the element type in "Format/Datatype" (10.x: "... row major Int8 format") or "Datatype" (11.x)."""
    words = str(tensor.get("Datatype") or tensor.get("Format/Datatype") or "").lower().split()
    for word in words:
        if word in _DTYPE_WORDS:
            return _DTYPE_WORDS[word]
    return ""
