"""An open engine of TensorRT or TensorRT-RTX: tensor addresses, one stream, and events that time the device."""

from __future__ import annotations

import atexit
import contextlib
from pathlib import Path
from typing import Any, TypeVar

from edgekd.backends._feeds import FeedCheck
from edgekd.backends._trt import last_errors, make_log
from edgekd.core.errors import InputError, MachineError, TargetMismatch
from edgekd.core.family import load_module
from edgekd.core.protocols import Array, DeviceTimes, Feeds
from edgekd.core.tensor import DimRange, TensorSpec

# TensorRT's name for an element type → numpy's.
_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}

# trtexec's three flags as ``EngineSession.run`` uses them; part of a measurement's conditions. pycuda creates the
# context without a scheduling flag, that is CU_CTX_SCHED_AUTO: the driver chooses whether to spin, yield or block.
GPU_TIMING = {"cuda_graph": "off", "spin_wait": "as the driver chooses", "transfers": "included"}


class EngineSession:
    """One engine, one execution context, one stream.

    Args:
        trt: The library's module.
        cuda: ``edgekd.backends._cuda``, which only imports where there is a driver.
        device: The GPU's context and stream.
        owned: The runtime and the engine, which the session frees in ``close``.
    """

    def __init__(self, trt: Any, cuda: Any, device: Any, owned: tuple[Any, Any]) -> None:
        self._cuda, self._device = cuda, device
        self._runtime, self._engine = owned
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise MachineError("the GPU has too little free memory for this engine; close what else uses it")
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        modes = {name: self._engine.get_tensor_mode(name) for name in names}
        # Shape tensors: TensorRT reads them on the host, before the device starts.
        self._on_host = {name for name in names if self._engine.get_tensor_location(name) == trt.TensorLocation.HOST}
        self.inputs = tuple(_spec(self._engine, name, 0) for name in names if modes[name] == trt.TensorIOMode.INPUT)
        self.outputs = tuple(
            _spec(self._engine, name, None) for name in names if modes[name] == trt.TensorIOMode.OUTPUT
        )
        self._check = FeedCheck(self.inputs)
        self._buffers = {spec.name: cuda.Buffer(spec) for spec in (*self.inputs, *self.outputs)}
        atexit.register(self.close)  # pycuda aborts a process that ends inside a context

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Infer once; see ``core.protocols.Session``."""
        self._prepare(feeds)
        self._upload()
        self._execute()
        self._download()
        self._device.wait()
        # Copies, because the next run overwrites the buffers.
        return {spec.name: self._buffers[spec.name].array.copy() for spec in self.outputs}

    def run_timed(self, feeds: Feeds) -> DeviceTimes:
        """Infer once and return the device's own times; see ``core.protocols.TimedSession``."""
        self._prepare(feeds)
        start = self._device.mark()
        self._upload()
        uploaded = self._device.mark()
        self._execute()
        executed = self._device.mark()
        self._download()
        downloaded = self._device.mark()
        self._device.wait()
        between_ms = self._cuda.between_ms
        return DeviceTimes(
            h2d_ms=between_ms(start, uploaded),
            gpu_compute_ms=between_ms(uploaded, executed),
            d2h_ms=between_ms(executed, downloaded),
        )

    def close(self) -> None:
        """Free the engine and its memory; closing twice is harmless."""
        if self._engine is None:
            return
        atexit.unregister(self.close)
        # In this order: a context must not outlive its engine, nor an engine its runtime.
        self._context = None
        self._engine = None
        self._runtime = None
        self._buffers = {}
        self._device.close()

    def _prepare(self, feeds: Feeds) -> None:
        """Copy the feeds into page-locked memory and set every shape and address in the context."""
        if self._engine is None:
            raise RuntimeError("this session is closed")
        self._check(feeds)
        for spec in self.inputs:
            array, buffer = feeds[spec.name], self._buffers[spec.name]
            buffer.resize(array.shape)
            buffer.array[...] = array
            self._context.set_input_shape(spec.name, array.shape)
            self._set_address(spec.name)
        for spec in self.outputs:  # their shapes are known once those of all inputs are set
            shape = tuple(self._context.get_tensor_shape(spec.name))
            if any(size < 0 for size in shape):
                raise InputError(
                    f"output {spec.name!r} has shape {shape}, which depends on the data; remove it from the network"
                )
            self._buffers[spec.name].resize(shape)
            self._set_address(spec.name)

    def _set_address(self, name: str) -> None:
        buffer = self._buffers[name]
        self._context.set_tensor_address(name, buffer.host_address if name in self._on_host else buffer.device_address)

    def _upload(self) -> None:
        for spec in self.inputs:
            if spec.name not in self._on_host:
                self._buffers[spec.name].upload(self._device.stream)

    def _execute(self) -> None:
        if not self._context.execute_async_v3(self._device.stream.handle):
            raise TargetMismatch("the engine did not start on this GPU; build it on the board that will run it")

    def _download(self) -> None:
        for spec in self.outputs:
            if spec.name not in self._on_host:
                self._buffers[spec.name].download(self._device.stream)


SessionT = TypeVar("SessionT", bound=EngineSession)


def open_engine(trt: Any, engine: Path, session_class: type[SessionT]) -> SessionT:
    """Open a serialized engine. Call ``require_driver`` before: without a driver the libraries may crash.

    Args:
        trt: The library's module.
        engine: The file.
        session_class: ``EngineSession``, or its subclass that profiles.

    Raises:
        MissingDependency: pycuda is not installed.
        TargetMismatch: The library refuses the file: it was built by another version, or for another GPU.
    """
    # Not at the top of the file: it imports pycuda.driver, which only loads where there is a driver.
    cuda = load_module("edgekd.backends._cuda")
    with contextlib.ExitStack() as undo:
        device = cuda.Device()
        undo.callback(device.close)
        log = make_log(trt)
        runtime = trt.Runtime(log)
        opened = runtime.deserialize_cuda_engine(engine.read_bytes())
        if opened is None:
            raise TargetMismatch(
                f"{engine.name} does not open in {trt.__name__} {trt.__version__}: {last_errors(trt, log)}; "
                "build it on the board that will run it"
            )
        session = session_class(trt, cuda, device, (runtime, opened))
        undo.pop_all()
        return session


def _spec(engine: Any, name: str, profile: int | None) -> TensorSpec:
    """Describe one I/O tensor; the ranges of an input's dynamic dimensions are those of optimization ``profile``."""
    sizes = tuple(engine.get_tensor_shape(name))
    shape = tuple(f"{name}_{axis}" if size < 0 else size for axis, size in enumerate(sizes))
    ranges = None
    if profile is not None and min(sizes, default=0) < 0:
        # (min, opt, max) shapes → one (min, opt, max) per axis.
        bounds = list(zip(*engine.get_tensor_profile_shape(name, profile), strict=False))
        ranges = {dim: DimRange(*bounds[axis]) for axis, dim in enumerate(shape) if isinstance(dim, str)}
    element = engine.get_tensor_dtype(name).name
    if element not in _DTYPES:
        raise InputError(
            f"tensor {name!r} is {element}, which numpy lacks; keep inputs and outputs in float32 or float16"
        )
    return TensorSpec(name, shape, _DTYPES[element], ranges)
