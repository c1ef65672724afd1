"""NVML: the energy counter of an NVIDIA graphics card, or its power where it has no counter.

A Jetson's GPU does not report power through NVML; there the rails are read instead, see ``ina3221``.
"""

from __future__ import annotations

from pathlib import Path

from edgekd.core.errors import MachineError
from edgekd.core.protocols import Device, PowerSource
from edgekd.machine.nvml import LIBRARY, Card

MEASURES: tuple[Device, ...] = ("gpu",)
PRIORITY = 1
JETSON_ONLY = False

# The slowest update interval of a card. Source: Z. Yang, K. Adamek, W. Armour, "Part-time Power Measurements:
# nvidia-smi's Lack of Attention", 2023, arXiv 2312.02741. The sensor may sample only a quarter of that interval.
_REFRESH_S = 0.1
# NVML gives whole milliwatts and millijoules.
_STEP_W, _STEP_J = 1e-3, 1e-3


class _CardPower:
    """The first card, by its energy counter or by its power."""

    rails: tuple[str, ...] = ("GPU",)
    total: tuple[str, ...] = ("GPU",)
    range_j: tuple[float, ...] = (0.0,)
    refresh_s = _REFRESH_S

    def __init__(self, card: Card, *, is_counter: bool) -> None:
        self._card, self.is_counter = card, is_counter
        self.steps: tuple[float, ...] = (_STEP_J if is_counter else _STEP_W,)
        kind = "energy counter" if is_counter else "power reading"
        self.description = f"the graphics card by its own {kind} (NVML); excludes host and PSU"
        self.read()  # a card without this figure raises OSError here

    def read(self) -> tuple[float, ...]:
        return ((self._card.energy_mj() if self.is_counter else self._card.power_mw()) * 1e-3,)

    def close(self) -> None:
        self._card.close()


def find(root: Path, library: str = LIBRARY) -> PowerSource:
    """Open the first card; see ``core.protocols.SensorModule``.

    Args:
        root: Unused: the dynamic linker finds the library.
        library: NVML's name or path.

    Raises:
        MachineError: There is no driver or no card, or the card reports neither energy nor power.
    """
    card = Card(library)
    try:
        return _CardPower(card, is_counter=True)
    except OSError:
        pass  # cards before Volta have no energy counter
    try:
        return _CardPower(card, is_counter=False)
    except OSError as err:
        card.close()
        raise MachineError(f"the card reports no power ({err}); on a Jetson use its rails, see ina3221") from err
