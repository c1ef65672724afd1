"""The order of work in an engine session, on a simulated GPU: host arrays as device memory, numpy as the engine.

tests/gpu tests the same code on a real GPU.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgekd.backends._trt_profile import ProfiledEngineSession
from edgekd.backends._trt_session import EngineSession
from edgekd.core.errors import InputError, MachineError, TargetMismatch
from edgekd.core.tensor import DimRange


class Profiler:
    """Stands in for ``trt.IProfiler``."""


INSPECTION = json.dumps(
    {"Layers": [{"Name": "conv", "LayerType": "Convolution"}, {"Name": "copy", "LayerType": "Shuffle"}]}
)
TRT = SimpleNamespace(
    IProfiler=Profiler,
    LayerInformationFormat=SimpleNamespace(JSON="json"),
    TensorLocation=SimpleNamespace(HOST="host", DEVICE="device"),
    TensorIOMode=SimpleNamespace(INPUT="in", OUTPUT="out"),
)


class HostBuffer:
    """Has the names of ``_cuda.Buffer``; the device side is another host array."""

    all_by_address: dict[int, np.ndarray]

    def __init__(self, spec: Any) -> None:
        self._dtype = np.dtype(spec.dtype)
        self.array = np.empty(0, self._dtype)

    def resize(self, shape: tuple[int, ...]) -> None:
        self.array = np.empty(shape, self._dtype)
        self._device = np.full(shape, -1, self._dtype)
        self.device_address, self.host_address = id(self._device), id(self.array)
        HostBuffer.all_by_address |= {self.device_address: self._device, self.host_address: self.array}

    def upload(self, stream: list[str]) -> None:
        self._device[...] = self.array
        stream.append("h2d")

    def download(self, stream: list[str]) -> None:
        self.array[...] = self._device
        stream.append("d2h")


class HostDevice:
    def __init__(self) -> None:
        self.stream: Any = _Stream()
        self.closed = 0

    def mark(self) -> float:
        return float(len(self.stream))

    def wait(self) -> None:
        self.stream.append("wait")

    def close(self) -> None:
        self.closed += 1


class _Stream(list):
    handle = 7


class DoublingEngine:
    """x (-1, 3) float32 on the device and scale () int64 on the host → y = x * scale."""

    num_io_tensors = 3
    is_starting = True
    output_rows = 0

    def __init__(self, stream: _Stream) -> None:
        self._stream, self._shapes, self._addresses = stream, {"y": (-1, 3)}, {}

    def get_tensor_name(self, index: int) -> str:
        return ("x", "scale", "y")[index]

    def get_tensor_mode(self, name: str) -> str:
        return "out" if name == "y" else "in"

    def get_tensor_location(self, name: str) -> str:
        return "host" if name == "scale" else "device"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return () if name == "scale" else self._shapes["y"] if "x" in self._shapes and name == "y" else (-1, 3)

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        return [(1, 3), (2, 3), (4, 3)]

    def get_tensor_dtype(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(name="INT64" if name == "scale" else "FLOAT")

    def create_execution_context(self) -> DoublingEngine:
        return self

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        self._shapes[name] = shape
        if name == "x":
            self._shapes["y"] = (shape[0] + self.output_rows, 3)

    def set_tensor_address(self, name: str, address: int) -> None:
        self._addresses[name] = address

    def execute_async_v3(self, handle: int) -> bool:
        assert handle == _Stream.handle
        x, scale, y = (HostBuffer.all_by_address[self._addresses[name]] for name in ("x", "scale", "y"))
        y[...] = x * scale
        self._stream.append("run")
        return self.is_starting


class ProfiledEngine(DoublingEngine):
    """Reports three layers, two of one name, each inference slower than the one before; only on request."""

    profiler: Any = None
    enqueue_emits_profile = True
    reports = True

    def create_engine_inspector(self) -> SimpleNamespace:
        return SimpleNamespace(get_engine_information=lambda form: INSPECTION)

    def report_to_profiler(self) -> bool:
        assert self._stream[-1] == "wait"
        assert not self.enqueue_emits_profile
        for name, ms in (("conv", 1.0), ("copy", 0.5), ("copy", 0.25)):
            self.profiler.report_layer_time(name, ms * self._stream.count("run"))
        return self.reports


@pytest.fixture
def device() -> HostDevice:
    HostBuffer.all_by_address = {}
    return HostDevice()


@pytest.fixture
def session(device: HostDevice):
    cuda = SimpleNamespace(Buffer=HostBuffer, between_ms=lambda start, end: end - start)
    session = EngineSession(TRT, cuda, device, (object(), DoublingEngine(device.stream)))
    yield session
    session.close()


def _feed(rows: int = 2) -> dict[str, np.ndarray]:
    return {"x": np.arange(rows * 3, dtype=np.float32).reshape(rows, 3), "scale": np.array(2)}


def test_describes_inputs_with_their_profile(session: EngineSession) -> None:
    x, scale = session.inputs
    assert (x.shape, x.dtype, x.ranges) == (("x_0", 3), "float32", {"x_0": DimRange(1, 2, 4)})
    assert (scale.shape, scale.dtype, scale.ranges) == ((), "int64", None)
    assert session.outputs[0].shape == ("y_0", 3)


def test_runs_up_engine_down_and_waits(session: EngineSession, device: HostDevice) -> None:
    feed = _feed()
    np.testing.assert_array_equal(session.run(feed)["y"], feed["x"] * 2)
    assert device.stream == ["h2d", "run", "d2h", "wait"]  # the shape tensor stays on the host


def test_shapes_may_change_between_runs_and_arrays_stay(session: EngineSession) -> None:
    first = session.run(_feed(2))["y"]
    second = session.run(_feed(4))["y"]
    assert (first.shape, second.shape) == ((2, 3), (4, 3))
    np.testing.assert_array_equal(first, second[:2])


def test_times_each_part_between_marks(session: EngineSession) -> None:
    times = session.run_timed(_feed())
    assert (times.h2d_ms, times.gpu_compute_ms, times.d2h_ms) == (1, 1, 1)


def test_size_out_of_the_profile_is_refused(session: EngineSession, device: HostDevice) -> None:
    with pytest.raises(InputError, match=r"x_0 in 1\.\.4"):
        session.run(_feed(5))
    assert device.stream == []


def test_engine_that_does_not_start(session: EngineSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DoublingEngine, "is_starting", False)
    with pytest.raises(TargetMismatch, match="did not start"):
        session.run(_feed())


def test_output_whose_shape_depends_on_data(session: EngineSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DoublingEngine, "output_rows", -100)
    with pytest.raises(InputError, match="'y' has shape"):
        session.run(_feed())


def test_closes_once_and_runs_no_more(session: EngineSession, device: HostDevice) -> None:
    session.close()
    session.close()
    assert device.closed == 1
    with pytest.raises(RuntimeError, match="closed"):
        session.run(_feed())


def profiled(device: HostDevice) -> ProfiledEngineSession:
    cuda = SimpleNamespace(Buffer=HostBuffer, between_ms=lambda start, end: end - start)
    return ProfiledEngineSession(TRT, cuda, device, (object(), ProfiledEngine(device.stream)))


def test_layers_are_reported_once_the_stream_is_idle(device: HostDevice) -> None:
    session, feed = profiled(device), _feed()
    for _ in range(2):
        np.testing.assert_array_equal(session.run(feed)["y"], feed["x"] * 2)
    assert [(node.name, node.op, node.times_ms) for node in session.nodes()] == [
        ("conv", "Convolution", (1.0, 2.0)),
        ("copy", "Shuffle", (0.5, 1.0)),
        ("copy", "Shuffle", (0.25, 0.5)),
    ]
    session.close()


def test_a_library_that_reports_nothing_is_named(device: HostDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProfiledEngine, "reports", False)
    session = profiled(device)
    with pytest.raises(MachineError, match="no layer times"):
        session.run(_feed())
    session.close()
