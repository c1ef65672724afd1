"""A fixed network that takes its turn in every round: how fast this machine was while the candidates ran.

A result tells how its own processes scatter, and nothing of what the hours do to a machine: another tenant, a warmer
room, a newer kernel. Whoever compares two results that were taken at different times can hold both against the same
yardstick, see ``edgekd.results.gate``. It is built by the backend that is measured, so that it runs on the same device
with the same threads. It feels what machines do to small networks: half a hundred short layers
(``benchmarks/reference_workload.py``).
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import numpy as np

from edgekd.bench.processes import Entrant
from edgekd.core.artifact import Artifact, sha256_of
from edgekd.core.config import BenchConfig
from edgekd.core.tensor import TensorSpec
from edgekd.runtime import build

# No candidate is called so: their names are "<role>/<scheme>".
NAME = "(yardstick)"
INPUT = TensorSpec("x", (1, 3, 96, 96), "float32")
OUTPUT = TensorSpec("y", (1, 32, 24, 24), "float32")


def entrant(config: BenchConfig, folder: Path) -> Entrant:
    """Build the yardstick for the backend that is measured, and enter it.

    Args:
        config: ``backend``, ``threads`` and ``streams``: every stream has one inference of it.
        folder: Where its engine goes.

    Raises:
        BuildError: The library refuses it.
        MachineError: The library, or the GPU it needs, is not here.
    """
    onnx = folder / "reference_workload.onnx"
    onnx.write_bytes(_network())
    source = Artifact("onnx", onnx, sha256_of(onnx), (INPUT,), (OUTPUT,))
    engine = build.run(source, config.backend, folder / "yardstick.engine", threads=config.threads)
    return Entrant(
        NAME, engine.path, ({INPUT.name: np.zeros(INPUT.at("opt"), INPUT.dtype)},) * config.streams, waits=False
    )


def sha256() -> str:
    """Return the digest of the network, as a result names it."""
    return hashlib.sha256(_network()).hexdigest()


def _network() -> bytes:
    return (resources.files("edgekd.bench") / "reference_workload.onnx").read_bytes()
