"""A discrete NVIDIA card's own figures, by ctypes on the driver's libnvidia-ml.so.1.

Source: NVIDIA's nvml.h. On a Jetson the library opens and answers "Not Supported" to nearly everything: there the
kernel's files are read, see ``_sysfs``.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekd.core.errors import MachineError
from edgekd.machine.sysfs import gpu_domain

LIBRARY = "libnvidia-ml.so.1"
# NVML_TEMPERATURE_GPU and NVML_CLOCK_SM.
_GPU, _SM = ctypes.c_uint(0), ctypes.c_uint(1)


class Card:
    """The first card. Whatever it does not tell is an OSError in NVML's words.

    Args:
        library: NVML's name, or its path.

    Raises:
        MachineError: There is no driver, or it has no card.
    """

    def __init__(self, library: str = LIBRARY) -> None:
        try:
            self._nvml: Any = ctypes.CDLL(library)
        except OSError as err:
            raise MachineError(f"no {LIBRARY}: there is no NVIDIA driver here") from err
        if code := self._nvml.nvmlInit_v2():
            raise MachineError(f"the NVIDIA driver does not answer: {self._words(code)}")
        self._is_open = True
        self._device = ctypes.c_void_p()
        if code := self._nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(0), ctypes.byref(self._device)):
            words = self._words(code)
            self.close()
            raise MachineError(f"the NVIDIA driver has no card: {words}")

    def energy_mj(self) -> int:
        """Return millijoules since the driver was loaded (Volta and newer)."""
        value = ctypes.c_ulonglong()
        self._ask(self._nvml.nvmlDeviceGetTotalEnergyConsumption, value)
        return value.value

    def power_mw(self) -> int:
        """Return the power it draws, milliwatts."""
        value = ctypes.c_uint()
        self._ask(self._nvml.nvmlDeviceGetPowerUsage, value)
        return value.value

    def temperature_c(self) -> float:
        """Return the GPU's temperature, whole degrees Celsius."""
        value = ctypes.c_uint()
        self._ask(self._nvml.nvmlDeviceGetTemperature, value, _GPU)
        return float(value.value)

    def clock_mhz(self) -> float:
        """Return the clock of its SMs."""
        value = ctypes.c_uint()
        self._ask(self._nvml.nvmlDeviceGetClockInfo, value, _SM)
        return float(value.value)

    def close(self) -> None:
        """Let the driver go."""
        if self._is_open:
            self._nvml.nvmlShutdown()
            self._is_open = False

    def _ask(self, function: Any, value: Any, *of: Any) -> None:
        if code := function(self._device, *of, ctypes.byref(value)):
            raise OSError(f"NVML says: {self._words(code)}")

    def _words(self, code: int) -> str:
        self._nvml.nvmlErrorString.restype = ctypes.c_char_p
        return (self._nvml.nvmlErrorString(ctypes.c_int(code)) or b"?").decode(errors="replace")


@contextlib.contextmanager
def card_here(root: Path = Path("/"), library: str = LIBRARY) -> Iterator[Card | None]:
    """Open the card that tells its clock; None where there is none, or on a Jetson, whose kernel tells more.

    Args:
        root: Where ``sys`` lies.
        library: NVML's name, or its path.
    """
    if gpu_domain(root):
        yield None
        return
    try:
        card = Card(library)
    except MachineError:
        yield None
        return
    with contextlib.closing(card):
        try:
            card.clock_mhz()
        except OSError:
            yield None
        else:
            yield card
