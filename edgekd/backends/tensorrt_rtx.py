"""TensorRT-RTX: the real TensorRT ONNX parser and strongly typed builder on any machine, without a GPU.

Not a way onto a Jetson: it has no compute capability 8.7. SM 8.6, the nearest, stands in for Orin's.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorrt_rtx as trt

from edgekd.backends._driver import require_driver
from edgekd.backends._layers import summary
from edgekd.backends._trt_profile import ProfiledEngineSession
from edgekd.backends._trt_session import GPU_TIMING, EngineSession, open_engine
from edgekd.core.errors import BuildError, InputError
from edgekd.core.protocols import Backend, BuildReport, Device, ProfiledSession, TimedSession
from edgekd.core.tensor import TensorSpec

_STAND_IN = "SM86"
_ERRORS = {"BuildError": BuildError, "InputError": InputError}


class _TensorRTRTX:
    device: Device = "gpu"
    libraries: tuple[str, ...] = ("tensorrt-rtx",)
    gpu_timing = GPU_TIMING
    notice: str = (
        "TensorRT-RTX on this machine: proves that TensorRT's parser and strongly-typed builder take the graph; "
        "not a Jetson engine"
    )

    def build(self, onnx: Path, inputs: Sequence[TensorSpec], engine: Path, *, threads: int = 0) -> BuildReport:
        """Build in a process of its own; nothing of the GPU is needed."""
        request = {
            "onnx": str(onnx.resolve()),
            "engine": str(engine.resolve()),
            "inputs": [spec.to_json() for spec in inputs],
            "compute_capability": _STAND_IN,
            "threads": threads,
        }
        answer = _ask(request, onnx.name)
        if "error" in answer:
            raise _ERRORS.get(answer["error"], BuildError)(answer["message"])
        facts = {**answer["facts"], "compute_capability": f"{_STAND_IN} in place of Orin's SM87"}
        return BuildReport(summary(facts), facts)

    def open(self, engine: Path, *, threads: int = 0) -> TimedSession:
        """Open an engine, which a driver and a GPU are needed for."""
        require_driver("running a TensorRT-RTX engine")
        return open_engine(trt, engine, EngineSession)

    def open_profiled(self, engine: Path, *, threads: int = 0) -> ProfiledSession:
        """Open an engine with a layer profiler, which costs time of its own."""
        require_driver("profiling a TensorRT-RTX engine")
        return open_engine(trt, engine, ProfiledEngineSession)


def _ask(request: dict[str, Any], name: str) -> dict[str, Any]:
    """Run the builder in its own process and return its answer."""
    # The child finds edgekd where this process found it, also when that is not on its own path.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "edgekd.backends._rtx_build"]
    text = json.dumps(request)
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        how = _signal_name(-done.returncode) if done.returncode < 0 else f"exit code {done.returncode}"
        words = " ".join(done.stderr.split())[-300:]
        raise BuildError(f"TensorRT-RTX's builder died on {name} ({how}); its last words: {words or 'none'}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


BACKEND: Backend = _TensorRTRTX()
