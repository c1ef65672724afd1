"""NVML, an NVIDIA graphics card's own figures, by ctypes on the driver's libnvidia-ml.so.1.

Source: NVIDIA's nvml.h. nvmlDeviceGetTotalEnergyConsumption: millijoules since the driver was loaded (Volta and
newer); nvmlDeviceGetPowerUsage: milliwatts. On a Jetson the library opens and answers "Not Supported": there the rails
are read.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from edgekd.core.errors import MachineError
from edgekd.core.protocols import PowerSource

SEES = ("gpu",)
RANK = 1
OF_A_BOARD = False

_LIBRARY = "libnvidia-ml.so.1"
# What cards renew their power in, at the slowest: Z. Yang, K. Adamek, W. Armour, "Part-time Power Measurements:
# nvidia-smi's Lack of Attention", 2023, arXiv 2312.02741. Their sensor may see a quarter of that time only.
_REFRESH_S = 0.1
_STEP_W, _STEP_J = 1e-3, 1e-3


class _Card:
    """The first card: an energy counter where it has one, else its power."""

    rails: tuple[str, ...] = ("GPU",)
    total: tuple[str, ...] = ("GPU",)
    range_j: tuple[float, ...] = (0.0,)
    refresh_s = _REFRESH_S

    def __init__(self, nvml: Any, device: Any, *, counts: bool) -> None:
        self._nvml, self._device, self.counts = nvml, device, counts
        self.steps: tuple[float, ...] = (_STEP_J if counts else _STEP_W,)
        how = "energy counter" if counts else "power reading"
        self.sees = f"the graphics card by its own {how} (NVML): host and power supply are not seen"

    def read(self) -> tuple[float, ...]:
        value, code = _energy_mj(self._nvml, self._device) if self.counts else _power_mw(self._nvml, self._device)
        if code:
            raise OSError(f"NVML says: {_words(self._nvml, code)}")
        return (value * 1e-3,)

    def close(self) -> None:
        if self._nvml is not None:
            self._nvml.nvmlShutdown()
            self._nvml = None


def find(root: Path, library: str = _LIBRARY) -> PowerSource:
    """Open the first card.

    Args:
        root: Not looked into: the dynamic linker finds the library.
        library: Its name, or its path.
    """
    try:
        nvml = ctypes.CDLL(library)
    except OSError as err:
        raise MachineError(f"no {_LIBRARY}: there is no NVIDIA driver here") from err
    if code := nvml.nvmlInit_v2():
        raise MachineError(f"the NVIDIA driver does not answer: {_words(nvml, code)}")
    device = ctypes.c_void_p()
    code = nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(0), ctypes.byref(device))
    if not code:
        for counts, ask in ((True, _energy_mj), (False, _power_mw)):
            _, code = ask(nvml, device)
            if not code:
                return _Card(nvml, device, counts=counts)
    words = _words(nvml, code)
    nvml.nvmlShutdown()
    raise MachineError(f"NVML tells no power: {words} (a Jetson's GPU never does; its rails are read instead)")


def _energy_mj(nvml: Any, device: ctypes.c_void_p) -> tuple[int, int]:
    value = ctypes.c_ulonglong()
    code = nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(value))
    return value.value, int(code)


def _power_mw(nvml: Any, device: ctypes.c_void_p) -> tuple[int, int]:
    value = ctypes.c_uint()
    code = nvml.nvmlDeviceGetPowerUsage(device, ctypes.byref(value))
    return value.value, int(code)


def _words(nvml: Any, code: int) -> str:
    nvml.nvmlErrorString.restype = ctypes.c_char_p
    return (nvml.nvmlErrorString(ctypes.c_int(code)) or b"?").decode(errors="replace")
