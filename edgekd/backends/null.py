"""The null backend: numpy alone, zeros out. It proves the plumbing on a machine that has no engine library."""

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

_FORMAT = "edgekd-null-engine"


class _NullSession:
    def __init__(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self.inputs = inputs
        self.outputs = outputs

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Return zeros of the sizes that the feeds give."""
        check_feeds(feeds, self.inputs)
        sizes = {
            dim: size
            for spec in self.inputs
            for dim, size in zip(spec.shape, feeds[spec.name].shape, strict=False)
            if isinstance(dim, str)
        }
        return {spec.name: _zeros(spec, sizes) for spec in self.outputs}

    def close(self) -> None:
        """Nothing is held."""


class _Null:
    device: Device = "cpu"
    libraries: tuple[str, ...] = ()
    notice: str = "the null backend gives zeros: it proves the plumbing and measures nothing"

    def build(self, onnx: Path, inputs: Sequence[TensorSpec], engine: Path, *, threads: int = 0) -> BuildReport:
        """Write the tensors that the network takes and gives; nothing is compiled."""
        manifest = manifest_path(onnx)
        outputs = read_artifact(onnx).outputs if manifest.exists() else ()
        data = {
            "format": _FORMAT,
            "inputs": [spec.to_json() for spec in inputs],
            "outputs": [spec.to_json() for spec in outputs or inputs],
        }
        engine.write_text(json.dumps(data))
        return BuildReport(f"{len(inputs)} inputs, {len(outputs or inputs)} outputs, zeros")

    def open(self, engine: Path, *, threads: int = 0) -> Session:
        """Read the tensors back."""
        data = read_json(engine)
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            raise IntegrityError(f"{engine} is not an engine of the null backend; build it again")
        inputs, outputs = (tuple(map(TensorSpec.from_json, data[key])) for key in ("inputs", "outputs"))
        return _NullSession(inputs, outputs)


def _zeros(spec: TensorSpec, sizes: dict[str, int]) -> Array:
    shape = [dim if isinstance(dim, int) else sizes.get(dim, 1) for dim in spec.shape]
    return np.zeros(shape, np.str_ if spec.dtype == "string" else spec.dtype)


BACKEND: Backend = _Null()
