"""TensorRT 10.3 to 11.x on the machine that will run the engine: a Jetson board, or any NVIDIA GPU.

Precision is what the ONNX graph says: FP16 tensors, or Q/DQ pairs for INT8. TensorRT 11 removed the builder's FP16 and
INT8 flags and its calibrators; 10.3 and up honour the graph with a strongly typed network, so that is the one path.
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

_OLDEST = (10, 3)


class _TensorRT:
    device: Device = "gpu"
    libraries: tuple[str, ...] = ("tensorrt",)
    gpu_timing = GPU_TIMING
    notice: str = ""

    def build(self, onnx: Path, inputs: Sequence[TensorSpec], engine: Path, *, threads: int = 0) -> BuildReport:
        """Parse the graph and build a plan for this GPU."""
        _require("building a TensorRT engine")

        def configure(builder: Any, config: Any) -> None:
            if threads:
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
        """Open a plan that was built on a GPU like this."""
        _require("running a TensorRT engine")
        return open_engine(trt, engine, EngineSession)

    def open_profiled(self, engine: Path, *, threads: int = 0) -> ProfiledSession:
        """Open a plan with a layer profiler, which costs time of its own."""
        _require("profiling a TensorRT engine")
        return open_engine(trt, engine, ProfiledEngineSession)


def _require(what: str) -> None:
    """Refuse a machine without a driver, and a TensorRT older than the one path serves."""
    require_driver(what)
    if tuple(int(part) for part in trt.__version__.split(".")[:2]) < _OLDEST:
        raise TargetMismatch(
            f"TensorRT {trt.__version__} is installed here; edgekd needs 10.3 or newer (JetPack 6.1): "
            "it honours the precision that the graph carries"
        )


def _inspect(engine: bytes) -> list[Layer]:
    runtime = trt.Runtime(make_log(trt))
    opened = runtime.deserialize_cuda_engine(engine)
    if opened is None:
        raise TargetMismatch("TensorRT cannot open the engine that it has just built; is the GPU out of memory?")
    inspector = opened.create_engine_inspector()
    return layers_in_inspection(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


BACKEND: Backend = _TensorRT()
