"""onnxruntime on the CPU. The engine is the ONNX graph after onnxruntime's optimizations for this processor."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from edgekd.backends._feeds import FeedCheck
from edgekd.backends._onnx_ops import append_metadata, op_counts
from edgekd.backends._ort_profile import nodes_in_profile
from edgekd.core.errors import BuildError, InputError, TargetMismatch
from edgekd.core.protocols import Array, Backend, BuildReport, Device, Feeds, NodeRuns, ProfiledSession, Session
from edgekd.core.tensor import TensorSpec

# Distributions whose versions an engine depends on. A literal: it is read without importing this file.
LIBRARIES = ("onnxruntime",)
_BUILT_BY = "edgekd.engine"  # metadata key under which an engine names what built it
_SEVERITY_ERROR = 3
_LINE_MAX = 300  # characters of the library's message in an error
# Optimization levels, tried in this order until one succeeds.
_LEVELS = (
    ("all", ort.GraphOptimizationLevel.ORT_ENABLE_ALL),
    ("extended", ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED),
    ("basic", ort.GraphOptimizationLevel.ORT_ENABLE_BASIC),
    # The optimizer may fail on a graph that runs, for example in shape inference of a branch that is never taken.
    ("none", ort.GraphOptimizationLevel.ORT_DISABLE_ALL),
)
_CONVOLUTIONS = ("Conv", "ConvTranspose")
_INT8_CONVOLUTIONS = ("QLinearConv", "ConvInteger")
_DTYPES = {"float": "float32", "double": "float64"}
# onnxruntime's exceptions have no common base class.
_UNREADABLE = (ort_state.InvalidProtobuf, ort_state.NoSuchFile, UnicodeDecodeError)
_REFUSED = (
    ort_state.Fail,
    ort_state.InvalidArgument,
    ort_state.InvalidGraph,
    ort_state.NotImplemented,
    ort_state.RuntimeException,
    ort_state.EPFail,
    RuntimeError,
    ValueError,
)


class _OrtSession:
    def __init__(self, session: ort.InferenceSession) -> None:
        self._session: ort.InferenceSession | None = session
        self.inputs = tuple(_spec(tensor) for tensor in session.get_inputs())
        self.outputs = tuple(_spec(tensor) for tensor in session.get_outputs())
        self._check = FeedCheck(self.inputs)

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Infer once; feeds that do not match the engine's inputs raise InputError."""
        if self._session is None:
            raise RuntimeError("this session is closed")
        self._check(feeds)
        try:
            arrays = self._session.run(None, feeds)
        except _REFUSED as err:
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in feeds.items())
            raise InputError(f"onnxruntime cannot run the engine on {shapes}: {_line(err)}") from err
        return {spec.name: array for spec, array in zip(self.outputs, arrays, strict=False)}

    def close(self) -> None:
        self._session = None


class _ProfiledOrtSession(_OrtSession):
    def __init__(self, session: ort.InferenceSession, folder: tempfile.TemporaryDirectory[str]) -> None:
        super().__init__(session)
        self._folder = folder

    def nodes(self) -> tuple[NodeRuns, ...]:
        """Return the time of every node in every inference so far, from onnxruntime's own profile."""
        if self._session is None:
            raise RuntimeError("this session is closed")
        return nodes_in_profile(json.loads(Path(self._session.end_profiling()).read_bytes()))

    def close(self) -> None:
        if self._session is not None:
            self._session.end_profiling()  # otherwise garbage collection writes the profile into a removed folder
        super().close()
        self._folder.cleanup()


class _OnnxRuntime:
    device: Device = "cpu"
    libraries: tuple[str, ...] = LIBRARIES
    caveat: str = ""

    def build(self, onnx: Path, inputs: Sequence[TensorSpec], engine: Path, *, threads: int = 0) -> BuildReport:
        """Let onnxruntime optimize the graph for this processor, and save the result."""
        refusals: dict[str, str] = {}
        for name, level in _LEVELS:
            try:
                _optimize(onnx, engine, level)
                # onnxruntime may write a graph that it does not load again.
                _load(engine, _options(1, ort.GraphOptimizationLevel.ORT_DISABLE_ALL))
            except _UNREADABLE as err:
                raise InputError(f"{onnx} is not a readable ONNX file ({_line(err)}); give a complete one") from err
            except _REFUSED as err:
                refusals[name] = _line(err)
                continue
            append_metadata(engine, _BUILT_BY, _identity())
            return _report(onnx, engine, name, refusals)
        raise BuildError(f"onnxruntime {ort.__version__} refuses {onnx.name}: {refusals[_LEVELS[-1][0]]}")

    def open(self, engine: Path, *, threads: int = 0) -> Session:
        """Open an engine that was optimized on this machine."""
        return _OrtSession(_open(engine, _run_options(threads)))

    def open_profiled(self, engine: Path, *, threads: int = 0) -> ProfiledSession:
        """Open an engine with the library's profiler on, which slows it down."""
        options = _run_options(threads)
        options.enable_profiling = True
        with contextlib.ExitStack() as undo:
            folder = tempfile.TemporaryDirectory(prefix="edgekd-profile-")
            undo.callback(folder.cleanup)
            options.profile_file_prefix = str(Path(folder.name) / "nodes")
            session = _ProfiledOrtSession(_open(engine, options), folder)
            undo.pop_all()
        return session


def _open(engine: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    try:
        session = _load(engine, options)
        built_by = session.get_modelmeta().custom_metadata_map.get(_BUILT_BY, "something else")
    except _UNREADABLE as err:
        raise InputError(f"{engine} is not an engine of this backend ({_line(err)}); build it again") from err
    except _REFUSED as err:
        raise TargetMismatch(
            f"{engine.name} does not load in {_identity()}: {_line(err)}; build it on the machine that will run it"
        ) from err
    if built_by != _identity():
        raise TargetMismatch(
            f"{engine.name} was built by {built_by}; here is {_identity()}; build it on the machine that will run it"
        )
    return session


def _run_options(threads: int) -> ort.SessionOptions:
    return _options(threads or _cores(), ort.GraphOptimizationLevel.ORT_DISABLE_ALL)


def _optimize(onnx: Path, engine: Path, level: ort.GraphOptimizationLevel) -> None:
    options = _options(1, level)
    options.optimized_model_filepath = str(engine)
    _load(onnx, options)


def _options(threads: int, level: ort.GraphOptimizationLevel) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _SEVERITY_ERROR
    # Threads may spin within a run but not between runs: interleaved candidates must not slow each other down.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _load(model: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    ort.set_default_logger_severity(_SEVERITY_ERROR)
    # Without enable_fallback=0 a failure is retried with the same provider, and a message printed to stdout.
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"], enable_fallback=0)


def _report(onnx: Path, engine: Path, level: str, refusals: dict[str, str]) -> BuildReport:
    before, after = op_counts(onnx), op_counts(engine)
    nodes_before, nodes_after = sum(before.values()), sum(after.values())
    facts: dict[str, Any] = {
        "optimization": level,
        "nodes_before": nodes_before,
        "nodes_after": nodes_after,
        "ops_before": before,
        "ops_after": after,
        "convolutions": sum(count for op, count in before.items() if op in _CONVOLUTIONS),
        "engine_convolutions": sum(count for op, count in after.items() if "Conv" in op),
        "int8_convolutions": sum(after.get(op, 0) for op in _INT8_CONVOLUTIONS),
        "built_by": _identity(),
    }
    if refusals:
        facts["refused_levels"] = refusals
    return BuildReport(f"{nodes_before} nodes → {nodes_after}, optimization level {level}", facts)


def _spec(tensor: Any) -> TensorSpec:
    """Turn onnxruntime's description of an input or output into a TensorSpec."""
    if not tensor.type.startswith("tensor("):
        raise InputError(
            f"{tensor.name!r} is a {tensor.type}; edgekd runs networks whose inputs and outputs are tensors"
        )
    element = tensor.type.removeprefix("tensor(").removesuffix(")")
    # A dimension without a name gets a unique one: two of them need not be equal.
    shape = tuple(f"{tensor.name}_{axis}" if dim is None else dim for axis, dim in enumerate(tensor.shape))
    return TensorSpec(tensor.name, shape, _DTYPES.get(element, element))


def _identity() -> str:
    """Return what an engine depends on: the library's version, and the vector instructions of its weight layout."""
    return f"onnxruntime {ort.__version__} on {platform.machine()}{_vector_width()}"


def _vector_width() -> str:
    # onnxruntime lays out convolution weights for the vector width it finds (8 floats, or 16 with AVX-512).
    try:
        words = set(Path("/proc/cpuinfo").read_text(errors="replace").split())
    except OSError:
        return ""
    return "".join(f" {flag}" for flag in ("avx2", "avx512f", "sve") if flag in words)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _line(err: Exception) -> str:
    return " ".join(str(err).split())[:_LINE_MAX]


BACKEND: Backend = _OnnxRuntime()
