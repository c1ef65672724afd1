"""FP32: the graph unchanged, in a file of its own, so that every candidate of a run has a file of its scheme."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import ModelProto

from edgekd.quantize.scheme import Context, Quantized

LIBRARIES = ("onnx",)


@dataclass(frozen=True, slots=True)
class Config:
    """FP32 has no options."""


def quantize(model: ModelProto, config: Config, context: Context) -> Quantized:
    """Return ``model`` itself; ``exclude_nodes`` has nothing to exclude here."""
    return Quantized(model)
