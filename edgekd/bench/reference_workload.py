"""A fixed network that is timed in every round: how fast this machine was while the candidates ran.

A result shows how its own processes scatter, but not what changes from hour to hour: another tenant, a warmer room, a
newer kernel. Two results that were taken at different times can be compared relative to the same reference workload,
see ``edgekd.results.gate``. The backend that is measured builds it, so that it runs on the same device with the same
threads. It has half a hundred short layers (``benchmarks/reference_workload.py``), because a few large ones do not feel
what slows small networks, such as slowly waking threads.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import numpy as np

from edgekd.bench.candidate import Candidate
from edgekd.core.artifact import Artifact, publish
from edgekd.core.config import BenchConfig
from edgekd.core.tensor import TensorSpec
from edgekd.runtime import build

# No candidate has this key: theirs are "<role>/<scheme>".
KEY = "(reference workload)"
INPUT = TensorSpec("x", (1, 3, 96, 96), "float32")
OUTPUT = TensorSpec("y", (1, 32, 24, 24), "float32")


def candidate(config: BenchConfig, folder: Path) -> Candidate:
    """Build the reference workload for the backend that is measured.

    Args:
        config: ``backend``, ``threads`` and ``streams``: every stream has one inference of it.
        folder: Where its engine and feeds go.

    Raises:
        BuildError: The library refuses it.
        MachineError: The library, or the GPU it needs, is not here.
    """
    onnx = publish(Artifact("onnx", folder / "reference.onnx", inputs=(INPUT,), outputs=(OUTPUT,)), _network())
    engine = build.run(onnx, config.backend, folder / "reference.engine", threads=config.threads)
    feeds = {INPUT.name: np.zeros(INPUT.at("opt"), INPUT.dtype)}
    made = Candidate(KEY, engine.path, engine.sha256, onnx.sha256, decides=False)
    return made.with_feeds((feeds,) * config.streams, folder / "reference.npz")


def sha256() -> str:
    """Return the digest of the network, as a result names it."""
    return hashlib.sha256(_network()).hexdigest()


def _network() -> bytes:
    return (resources.files("edgekd.bench") / "reference_workload.onnx").read_bytes()
