"""TensorRT-RTX: the real TensorRT ONNX parser and strongly typed builder on any machine, without a GPU.

It cannot build for a Jetson: it does not support compute capability 8.7. SM 8.6, the nearest, stands in for Orin's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tensorrt_rtx as trt

from edgekd.backends._driver import require_driver
from edgekd.backends._layers import summary
from edgekd.backends._trt_profile import ProfiledEngineSession
from edgekd.backends._trt_session import GPU_TIMING, EngineSession, open_engine
from edgekd.core import worker
from edgekd.core.errors import BuildError, WorkerError
from edgekd.core.protocols import Backend, BuildReport, Device, ProfiledSession, TimedSession
from edgekd.core.tensor import TensorSpec

# Distributions whose versions an engine depends on. A literal: it is read without importing this file.
LIBRARIES = ("tensorrt-rtx",)
_STAND_IN = "SM86"
# A build takes seconds to minutes; an hour means that it hangs.
_BUILD_TIMEOUT_S = 3600.0


class _TensorRTRTX:
    device: Device = "gpu"
    libraries: tuple[str, ...] = LIBRARIES
    gpu_timing = GPU_TIMING
    caveat: str = (
        "TensorRT-RTX on this machine: shows that TensorRT's parser and strongly typed builder accept the graph; "
        "not a Jetson engine"
    )

    def build(self, onnx: Path, inputs: Sequence[TensorSpec], engine: Path, *, threads: int = 0) -> BuildReport:
        """Build in a child process; this needs no GPU."""
        plan = {
            "onnx": str(onnx.resolve()),
            "engine": str(engine.resolve()),
            "inputs": [spec.to_json() for spec in inputs],
            "compute_capability": _STAND_IN,
            "threads": threads,
        }
        try:
            facts = worker.call(
                "edgekd.backends._rtx_build:build",
                plan,
                timeout_s=_BUILD_TIMEOUT_S,
                name=f"TensorRT-RTX's builder on {onnx.name}",
            )
        except WorkerError as err:
            raise BuildError(str(err)) from err
        facts["compute_capability"] = f"{_STAND_IN} in place of Orin's SM87"
        return BuildReport(summary(facts), facts)

    def open(self, engine: Path, *, threads: int = 0) -> TimedSession:
        """Open an engine; this needs a driver and a GPU."""
        require_driver("running a TensorRT-RTX engine")
        return open_engine(trt, engine, EngineSession)

    def open_profiled(self, engine: Path, *, threads: int = 0) -> ProfiledSession:
        """Open an engine with a layer profiler, which slows it down."""
        require_driver("profiling a TensorRT-RTX engine")
        return open_engine(trt, engine, ProfiledEngineSession)


BACKEND: Backend = _TensorRTRTX()
