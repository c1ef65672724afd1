"""A discrete NVIDIA card's energy, power, temperature and clock, by ctypes from the driver's libnvidia-ml.so.1.

Source: NVIDIA's nvml.h. On a Jetson the library loads and answers "Not Supported" to nearly everything: there the
kernel's files are read, see ``machine.sysfs``.
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
    """The first card. A figure that the card does not report raises OSError with NVML's message.

    Args:
        library: NVML's name or path.

    Raises:
        MachineError: There is no driver, or it has no card.
    """

    def __init__(self, library: str = LIBRARY) -> None:
        try:
            self._nvml: Any = ctypes.CDLL(library)
        except OSError as err:
            raise MachineError(f"no {LIBRARY}: no NVIDIA driver is installed") from err
        if code := self._nvml.nvmlInit_v2():
            raise MachineError(f"the NVIDIA driver does not answer: {self._error(code)}")
        self._is_open = True  # from here on nvmlShutdown must follow
        self._device = ctypes.c_void_p()
        if code := self._nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(0), ctypes.byref(self._device)):
            error = self._error(code)
            self.close()
            raise MachineError(f"the NVIDIA driver has no card: {error}")

    def energy_mj(self) -> int:
        """Return the millijoules used since the driver was loaded (Volta and newer)."""
        value = ctypes.c_ulonglong()
        self._read(self._nvml.nvmlDeviceGetTotalEnergyConsumption, value)
        return value.value

    def power_mw(self) -> int:
        """Return the present power in milliwatts."""
        value = ctypes.c_uint()
        self._read(self._nvml.nvmlDeviceGetPowerUsage, value)
        return value.value

    def temperature_c(self) -> float:
        """Return the GPU's temperature in whole degrees Celsius."""
        value = ctypes.c_uint()
        self._read(self._nvml.nvmlDeviceGetTemperature, value, _GPU)
        return float(value.value)

    def clock_mhz(self) -> float:
        """Return the clock of the SMs."""
        value = ctypes.c_uint()
        self._read(self._nvml.nvmlDeviceGetClockInfo, value, _SM)
        return float(value.value)

    def close(self) -> None:
        """Release the driver; closing twice is harmless."""
        if self._is_open:
            self._nvml.nvmlShutdown()
            self._is_open = False

    def _read(self, function: Any, value: Any, *kind: Any) -> None:
        """Call an NVML function, which takes the device, the kind of figure if there are several, and the result."""
        if code := function(self._device, *kind, ctypes.byref(value)):
            raise OSError(f"NVML: {self._error(code)}")

    def _error(self, code: int) -> str:
        self._nvml.nvmlErrorString.restype = ctypes.c_char_p  # ctypes assumes int
        return (self._nvml.nvmlErrorString(ctypes.c_int(code)) or b"?").decode(errors="replace")


@contextlib.contextmanager
def card_here(root: Path = Path("/"), library: str = LIBRARY) -> Iterator[Card | None]:
    """Open the card if it reports its clock, and close it at the end.

    Yields None if there is no such card, and on a Jetson, whose kernel reports more than NVML does.

    Args:
        root: Where ``sys`` is.
        library: NVML's name or path.
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
            card.clock_mhz()  # a Jetson's library opens and then answers "Not Supported"
        except OSError:
            yield None
        else:
            yield card
