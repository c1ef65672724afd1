"""TensorRT 10.3 to 11.x on the machine that will run the engine: a Jetson board, or any NVIDIA GPU.

The ONNX graph decides the precision: FP16 tensors, or Q/DQ pairs for INT8. TensorRT 11 removed the builder's FP16 and
INT8 flags and its calibrators; 10.3 and newer follow the graph in a strongly typed network, so only that is supported.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorrt as trt

from edgekd.backends._driver import require_driver
from edgekd.backends._layers import Layer, layer_facts, layers_in_inspection, summary
from edgekd.backends._trt import build, make_log
from edgekd.backends._trt_profile import ProfiledEngineSession
from edgekd.backends._trt_session import GPU_TIMING, EngineSession, open_engine
from edgekd.core.errors import TargetMismatch
from edgekd.core.protocols import Backend, BuildReport, Device, ProfiledSession, TimedSession
from edgekd.core.tensor import TensorSpec

# Distributions whose versions an engine depends on. A literal: it is read without importing this file.
LIBRARIES = ("tensorrt",)
# The TensorRT of JetPack 6.1. Older ones are driven through the board's own trtexec, see ``bench.trtexec``.
_OLDEST = (10, 3)


class _TensorRT:
    device: Device = "gpu"
    libraries: tuple[str, ...] = LIBRARIES
    gpu_timing = GPU_TIMING
    caveat: str = ""

    def build(self, onnx: Path, inputs: Sequence[TensorSpec], engine: Path, *, threads: int = 0) -> BuildReport:
        """Parse the graph and build an engine for this GPU."""
        _require("building a TensorRT engine")

        def configure(builder: Any, config: Any) -> None:
            if threads:  # 0 leaves the choice to the library
                builder.max_threads = threads

        built = build(trt, onnx, inputs, configure)
        engine.write_bytes(built.engine)
        facts = {
            "tensorrt": trt.__version__,
            "convolutions": built.convolutions,
            "network_layers": built.network_layers,
            **layer_facts(_inspect(built.engine)),
            "warnings": list(built.warnings),
        }
        return BuildReport(summary(facts), facts)

    def open(self, engine: Path, *, threads: int = 0) -> TimedSession:
        """Open an engine that was built on the same kind of GPU."""
        _require("running a TensorRT engine")
        return open_engine(trt, engine, EngineSession)

    def open_profiled(self, engine: Path, *, threads: int = 0) -> ProfiledSession:
        """Open an engine with a layer profiler, which slows it down."""
        _require("profiling a TensorRT engine")
        return open_engine(trt, engine, ProfiledEngineSession)


def _require(action: str) -> None:
    """Raise MachineError without a driver, and TargetMismatch for a TensorRT that is too old."""
    require_driver(action)
    if tuple(int(part) for part in trt.__version__.split(".")[:2]) < _OLDEST:
        raise TargetMismatch(
            f"TensorRT {trt.__version__} is installed; edgekd needs 10.3 or newer (JetPack 6.1), which takes its "
            "precision from the graph"
        )


def _inspect(engine: bytes) -> list[Layer]:
    # The builder does not report the layers it has fused: only the built engine lists them.
    runtime = trt.Runtime(make_log(trt))
    opened = runtime.deserialize_cuda_engine(engine)
    if opened is None:
        raise TargetMismatch("TensorRT cannot open the engine that it has just built; is the GPU out of memory?")
    inspector = opened.create_engine_inspector()
    return layers_in_inspection(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


BACKEND: Backend = _TensorRT()
