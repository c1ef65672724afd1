"""Device memory and opening an engine, on a simulated pycuda: what is copied, and what is freed on failure."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgekd.backends._trt_session import EngineSession, open_engine
from edgekd.core.errors import MachineError, TargetMismatch
from edgekd.core.tensor import DimRange, TensorSpec
from tests.unit.backends.simulated_trt import SimulatedTensorRT

DYNAMIC = TensorSpec("x", ("batch", 3), "float32", {"batch": DimRange(1, 2, 4)})


@pytest.fixture
def trt() -> SimulatedTensorRT:
    return SimulatedTensorRT()


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    (tmp_path / "net.onnx").write_bytes(b"any")
    return tmp_path / "net.onnx"


class Driver(ModuleType):
    """Stands in for ``pycuda.driver``: device memory is host memory, and calls are recorded."""

    def __init__(self) -> None:
        super().__init__("pycuda.driver")
        self.calls: list[str] = []
        self.contexts = 0
        self.pagelocked_empty = np.empty

    def init(self) -> None:
        self.calls.append("init")

    def Device(self, number: int) -> SimpleNamespace:  # noqa: N802 -- pycuda's name
        assert number == 0
        return SimpleNamespace(retain_primary_context=lambda: SimpleNamespace(push=self._push, pop=self._pop))

    def Stream(self) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(synchronize=lambda: self.calls.append("synchronize"))

    def Event(self) -> SimpleNamespace:  # noqa: N802
        at = len(self.calls)
        return SimpleNamespace(record=lambda stream: self.calls.append("record"), time_since=lambda start: at - start)

    def mem_alloc(self, nbytes: int) -> int:
        self.calls.append(f"alloc {nbytes}")
        return 4096

    def memcpy_htod_async(self, device: int, host: Any, stream: Any) -> None:
        self.calls.append(f"h2d {host.nbytes}")

    def memcpy_dtoh_async(self, host: Any, device: int, stream: Any) -> None:
        self.calls.append(f"d2h {host.nbytes}")

    def _push(self) -> None:
        self.contexts += 1

    def _pop(self) -> None:
        self.contexts -= 1


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch):
    driver = Driver()
    package = ModuleType("pycuda")
    vars(package)["driver"] = driver
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
    monkeypatch.delitem(sys.modules, "edgekd.backends._cuda", raising=False)
    yield driver
    sys.modules.pop("edgekd.backends._cuda", None)


def test_a_buffer_grows_and_never_shrinks(driver: Driver) -> None:
    cuda = importlib.import_module("edgekd.backends._cuda")
    buffer = cuda.Buffer(DYNAMIC)
    for batch in (2, 1, 2, 4):
        buffer.resize((batch, 3))
        assert (buffer.array.shape, buffer.array.dtype) == ((batch, 3), np.float32)
    assert driver.calls == ["alloc 24", "alloc 48"]
    assert buffer.device_address == 4096
    assert buffer.host_address == buffer.array.ctypes.data


def test_a_buffer_copies_only_its_present_shape(driver: Driver) -> None:
    cuda = importlib.import_module("edgekd.backends._cuda")
    buffer = cuda.Buffer(DYNAMIC)
    buffer.resize((4, 3))
    buffer.resize((1, 3))
    buffer.upload(None)
    buffer.download(None)
    assert driver.calls[1:] == ["h2d 12", "d2h 12"]


def test_a_tensor_without_elements_has_an_address_and_no_copy(driver: Driver) -> None:
    cuda = importlib.import_module("edgekd.backends._cuda")
    buffer = cuda.Buffer(DYNAMIC)
    buffer.resize((0, 3))
    buffer.upload(None)
    buffer.download(None)
    assert driver.calls == ["alloc 4"]
    assert buffer.device_address


def test_a_device_enters_and_leaves_its_context(driver: Driver) -> None:
    cuda = importlib.import_module("edgekd.backends._cuda")
    device = cuda.Device()
    assert driver.contexts == 1
    device.mark()
    device.wait()
    assert driver.calls == ["init", "record", "synchronize"]
    assert cuda.between_ms(1, SimpleNamespace(time_since=lambda start: start + 2)) == 3.0
    device.close()
    assert driver.contexts == 0


class Session(EngineSession):
    """A session class that keeps what it is given, or fails."""

    fails = False

    def __init__(self, trt: Any, cuda: Any, device: Any, owned: tuple[Any, Any]) -> None:
        if self.fails:
            raise MachineError("too little memory")
        self.device, self.owned = device, owned


def test_an_engine_is_opened_in_a_context_of_its_own(driver: Driver, trt: SimulatedTensorRT, onnx: Path) -> None:
    session = open_engine(trt, onnx, Session)
    assert session.owned[1] is trt.opened
    assert driver.contexts == 1
    session.device.close()


def test_an_engine_of_another_version_leaves_no_context(driver: Driver, trt: SimulatedTensorRT, onnx: Path) -> None:
    trt.opened = None
    trt.messages = [("error", "serialization assertion stdVersionRead == kSERIALIZATION_VERSION failed")]
    with pytest.raises(TargetMismatch, match=r"net\.onnx does not open in tensorrt 10\.3\.0: serialization"):
        open_engine(trt, onnx, Session)
    assert driver.contexts == 0


def test_a_session_that_fails_leaves_no_context(
    driver: Driver, trt: SimulatedTensorRT, onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "fails", True)
    with pytest.raises(MachineError, match="too little memory"):
        open_engine(trt, onnx, Session)
    assert driver.contexts == 0
