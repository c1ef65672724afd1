"""Real engines of the null backend and of onnxruntime, and candidates with their feeds, for tests of the bench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.bench.candidate import Candidate
from edgekd.core.artifact import Artifact, publish
from edgekd.core.config import BenchConfig
from edgekd.core.family import load
from edgekd.core.network_info import NetworkInfo
from edgekd.core.tensor import TensorSpec

# As short as a measurement can be: two rounds of blocks of a tenth of a millisecond, in two processes.
QUICK = BenchConfig("null", processes=2, min_rounds=2, ci_half_width=9.0, block_ms=0.1, warmup_ms=0.1, threads=1)


def null_engine(folder: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec] = ()) -> Path:
    """Build an engine of the null backend."""
    network = Artifact("onnx", folder / "net.onnx", inputs=tuple(inputs), outputs=tuple(outputs))
    onnx = publish(network, "a network")
    load("backends", "null").BACKEND.build(onnx.path, tuple(inputs), folder / "net.engine")
    return folder / "net.engine"


def candidate(
    key: str,
    engine: Path,
    feeds: Mapping[str, NDArray[Any]],
    folder: Path,
    network: NetworkInfo | None = None,
    image: NDArray[np.uint8] | None = None,
) -> Candidate:
    """Return a candidate that is fed ``feeds`` again and again."""
    made = Candidate(key, engine, "ab" * 32, network=network or NetworkInfo())
    return made.with_feeds((feeds,), folder / f"{key.replace('/', '_')}.npz", image)
