"""What an engine really runs, layer by layer: read from TensorRT-RTX's build log or TensorRT's engine inspector."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_CONVOLUTION_KINDS = ("correlation", "deconv", "convolution", "deconvolution")
# A fused kernel's name has four letters of each operator in it: __myl_CorrSilu is a convolution with SiLU.
_FUSED_CONVOLUTION = re.compile(r"__myl_\w*(Corr|Deco)")
_BOOKKEEPING = frozenset(("signal", "wait"))  # stream synchronisation, not work
_LOG_LAYER = re.compile(
    r"^\s*Name: (?P<name>.*?), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], "
    r"Constants: \[(?P<constants>.*?)\], Outputs: "
)
_LOG_DTYPE = re.compile(r"Datatype: (\w+)")
_WORD_DTYPES = {"int8": "Int8", "fp16": "Half", "half": "Half", "fp32": "Float", "float": "Float"}


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a built engine.

    Attributes:
        name: The engine's own name for it.
        kind: The engine's own word for it.
        inputs: Element type of each input, TensorRT's word ("Float", "Half", "Int8").
        constants: Element type of each constant; the first is the weights.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    constants: tuple[str, ...]

    @property
    def is_convolution(self) -> bool:
        """Whether it computes a convolution or a transposed one, alone or fused with what follows it."""
        return self.kind.lower() in _CONVOLUTION_KINDS or (
            self.kind == "runtime_fusion" and _FUSED_CONVOLUTION.match(self.name) is not None
        )

    @property
    def is_int8(self) -> bool:
        """Whether data and weights are both INT8: the multiplications are INT8's."""
        return "Int8" in self.inputs and (not self.constants or self.constants[0] == "Int8")

    @property
    def is_fp16(self) -> bool:
        """Whether it reads FP16 data."""
        return "Half" in self.inputs


def layers_in_log(messages: Iterable[str]) -> list[Layer]:
    """Read the layers TensorRT-RTX prints when it builds with a verbose logger and detailed profiling verbosity."""
    matches = (_LOG_LAYER.match(line) for message in messages for line in message.splitlines())
    layers = (
        Layer(m["name"], m["kind"], tuple(_LOG_DTYPE.findall(m["inputs"])), tuple(_LOG_DTYPE.findall(m["constants"])))
        for m in matches
        if m is not None
    )
    return [layer for layer in layers if layer.kind not in _BOOKKEEPING]


def layers_in_inspection(text: str) -> list[Layer]:
    """Read the JSON of ``EngineInspector.get_engine_information``; an engine without details has names alone."""
    return [_inspected(layer) for layer in json.loads(text).get("Layers", [])]


def layer_facts(layers: Sequence[Layer]) -> dict[str, int]:
    """Count what the manifest says of an engine: its layers, and in which precision its convolutions run."""
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
    """Say in one line what ``layer_facts`` counted, beside the ``convolutions`` of the graph."""
    total, int8, fp16 = (facts[f"{kind}convolutions"] for kind in ("engine_", "int8_", "fp16_"))
    shares = [f"{n} {name}" for n, name in ((int8, "INT8"), (fp16, "FP16"), (total - int8 - fp16, "FP32")) if n]
    fused = f" (the graph has {facts['convolutions']})" if facts["convolutions"] != total else ""
    return f"{total} convolutions{fused}: {', '.join(shares) or 'none'}; {facts['engine_layers']} layers"


def _inspected(layer: Any) -> Layer:
    if not isinstance(layer, dict):
        return Layer(str(layer), "", (), ())
    inputs = tuple(_dtype_in(tensor) for tensor in layer.get("Inputs", []))
    weights = layer.get("Weights")
    constants = (str(weights.get("Type", "")),) if isinstance(weights, dict) else ()
    kind = str(layer.get("ParameterType") or layer.get("LayerType") or "")
    return Layer(str(layer.get("Name", "")), kind, inputs, constants)


def _dtype_in(tensor: Any) -> str:
    """Find the element type in "Format/Datatype" (10.x: "... row major Int8 format") or "Datatype" (11.x)."""
    words = str(tensor.get("Datatype") or tensor.get("Format/Datatype") or "").lower().split()
    return next((_WORD_DTYPES[word] for word in words if word in _WORD_DTYPES), "")
