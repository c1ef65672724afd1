"""FP32: the graph as it is, under its own name, so that every candidate of a run has a file of its scheme."""

from __future__ import annotations

from pathlib import Path

from edgekd.core.artifact import Artifact
from edgekd.core.config import QuantizeConfig
from edgekd.core.samples import Samples
from edgekd.graph.model import load_onnx
from edgekd.quantize.write import Scheme, write


def quantize(onnx: Artifact, config: QuantizeConfig, samples: Samples, out: Path) -> Artifact:
    """Pass ``onnx`` on. Raises InputError when the file cannot be read."""
    model = load_onnx(onnx.path)
    return write(Scheme("fp32", onnx, config, samples, out), model, model, {})
