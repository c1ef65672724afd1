"""The null backend: returns zeros and needs only numpy. It tests the pipeline where no engine library is installed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgekd.backends._feeds import check_feeds
from edgekd.core.artifact import manifest_path, read_artifact, read_json
from edgekd.core.errors import IntegrityError
from edgekd.core.protocols import Array, Backend, BuildReport, Device, Feeds, Session
from edgekd.core.tensor import TensorSpec

# Distributions whose versions an engine depends on. A literal: it is read without importing this file.
LIBRARIES: tuple[str, ...] = ()
_FORMAT = "edgekd-null-engine"


class _NullSession:
    def __init__(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self.inputs = inputs
        self.outputs = outputs

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Return zeros; dynamic dimensions have the sizes they have in the feeds."""
        check_feeds(feeds, self.inputs)
        sizes: dict[str, int] = {}
        for spec in self.inputs:
            pairs = zip(spec.shape, feeds[spec.name].shape, strict=True)
            sizes |= {dim: size for dim, size in pairs if isinstance(dim, str)}
        return {spec.name: _zeros(spec, sizes) for spec in self.outputs}

    def close(self) -> None:
        """Do nothing: no resource is held."""


class _Null:
    device: Device = "cpu"
    libraries: tuple[str, ...] = LIBRARIES
    caveat: str = "the null backend returns zeros: it tests the pipeline and measures nothing"

    def build(self, onnx: Path, inputs: Sequence[TensorSpec], engine: Path, *, threads: int = 0) -> BuildReport:
        """Write down the network's inputs and outputs; nothing is compiled."""
        # The outputs are in the manifest; a file without one is given its inputs as outputs.
        outputs = (read_artifact(onnx).outputs if manifest_path(onnx).exists() else ()) or inputs
        data = {
            "format": _FORMAT,
            "inputs": [spec.to_json() for spec in inputs],
            "outputs": [spec.to_json() for spec in outputs],
        }
        engine.write_text(json.dumps(data))
        return BuildReport(f"{len(inputs)} inputs, {len(outputs)} outputs, all zeros")

    def open(self, engine: Path, *, threads: int = 0) -> Session:
        """Read the inputs and outputs back."""
        data = read_json(engine)
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            raise IntegrityError(f"{engine} is not an engine of the null backend; build it again")
        inputs = tuple(map(TensorSpec.from_json, data["inputs"]))
        outputs = tuple(map(TensorSpec.from_json, data["outputs"]))
        return _NullSession(inputs, outputs)


def _zeros(spec: TensorSpec, sizes: dict[str, int]) -> Array:
    # A dimension that no input has, such as a number of detections, is 1.
    shape = [dim if isinstance(dim, int) else sizes.get(dim, 1) for dim in spec.shape]
    return np.zeros(shape, np.str_ if spec.dtype == "string" else spec.dtype)


BACKEND: Backend = _Null()
