"""The driver is asked before any library that needs one, and each way it can be missing has its own message."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest

from edgekd.backends import _driver
from edgekd.core.errors import MachineError


def _driver_that(init: int, devices: int, counted: list[int] | None = None) -> SimpleNamespace:
    def count(pointer) -> int:
        pointer._obj.value = devices
        (counted if counted is not None else []).append(devices)
        return 0

    return SimpleNamespace(cuInit=lambda flags: init, cuDeviceGetCount=count)


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_driver, "_DRIVER", "libcuda-that-is-not-here.so.1")
    with pytest.raises(MachineError, match=r"a test needs an NVIDIA GPU, .*no driver"):
        _driver.require_driver("a test")


@pytest.mark.parametrize(("init", "devices", "message"), [(100, 0, r"cuInit: 100"), (0, 0, "finds none")])
def test_driver_without_a_gpu(monkeypatch: pytest.MonkeyPatch, init: int, devices: int, message: str) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: _driver_that(init, devices))
    with pytest.raises(MachineError, match=message):
        _driver.require_driver("a test")


def test_driver_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: _driver_that(0, 1, counted))
    _driver.require_driver("a test")
    assert counted == [1]  # it was asked, and raised nothing
