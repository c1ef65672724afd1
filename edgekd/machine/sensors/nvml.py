"""NVML, an NVIDIA graphics card's own figures: its energy counter, or its power. A Jetson's rails are read instead."""

from __future__ import annotations

from pathlib import Path

from edgekd.core.errors import MachineError
from edgekd.core.protocols import PowerSource
from edgekd.machine.nvml import LIBRARY, Card

SEES = ("gpu",)
RANK = 1
OF_A_BOARD = False

# What cards renew their power in, at the slowest: Z. Yang, K. Adamek, W. Armour, "Part-time Power Measurements:
# nvidia-smi's Lack of Attention", 2023, arXiv 2312.02741. Their sensor may see a quarter of that time only.
_REFRESH_S = 0.1
_STEP_W, _STEP_J = 1e-3, 1e-3


class _Source:
    """The first card: an energy counter where it has one, else its power."""

    rails: tuple[str, ...] = ("GPU",)
    total: tuple[str, ...] = ("GPU",)
    range_j: tuple[float, ...] = (0.0,)
    refresh_s = _REFRESH_S

    def __init__(self, card: Card, *, counts: bool) -> None:
        self._card, self.counts = card, counts
        self.steps: tuple[float, ...] = (_STEP_J if counts else _STEP_W,)
        how = "energy counter" if counts else "power reading"
        self.sees = f"the graphics card by its own {how} (NVML): host and power supply are not seen"
        self.read()

    def read(self) -> tuple[float, ...]:
        return ((self._card.energy_mj() if self.counts else self._card.power_mw()) * 1e-3,)

    def close(self) -> None:
        self._card.close()


def find(root: Path, library: str = LIBRARY) -> PowerSource:
    """Open the first card.

    Args:
        root: Not looked into: the dynamic linker finds the library.
        library: Its name, or its path.
    """
    card = Card(library)
    try:
        return _Source(card, counts=True)
    except OSError:
        pass
    try:
        return _Source(card, counts=False)
    except OSError as err:
        card.close()
        raise MachineError(f"{err} to power (a Jetson's GPU never tells; its rails are read instead)") from err
