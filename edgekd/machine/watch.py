"""Reads the machine's state between two blocks: temperature, clocks, and the CPU time that other processes used.

Nothing here runs inside a block. A reading opens a handful of small files, which takes some tens of microseconds.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgekd.core.clock import CPU_CLOCK, Clock
from edgekd.core.conditions import BlockConditions, BlockReading
from edgekd.core.config import BenchConfig
from edgekd.machine.nvml import Card
from edgekd.machine.sysfs import Clocks, clock_limits_mhz, pinned_mhz, text, thermometer

# Fields of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal. The guest fields that follow are already
# part of user's. Not busy: idle and iowait.
_FIELDS, _IDLE = 8, (3, 4)
# The kernel updates its counters once a tick: at each end of a block one may be off by a tick, which does not count as
# background load.
_TICK_ERROR = 2


@dataclass(frozen=True, slots=True)
class _Ticks:
    """The cores' counters at one moment, in ticks, and this process's CPU time."""

    busy: int
    total: int
    own_ns: int


class MachineWatch:
    """Reads the machine's state; each reading covers the time since the last one. ``read`` is a ``Watch``.

    Args:
        config: The rules by which a block is refused.
        root: Where ``proc`` and ``sys`` are.
        cpu_clock: This process's CPU time.
        card: The discrete GPU that is measured; temperature (°C) and GPU clock (MHz) are then read from it.
    """

    def __init__(
        self, config: BenchConfig, root: Path = Path("/"), cpu_clock: Clock = CPU_CLOCK, card: Card | None = None
    ) -> None:
        self._root, self._cpu_clock, self._card = root, cpu_clock, card
        self._max_background, self._refuse_throttled = config.max_background_load, config.refuse_throttled
        self._clocks, self._thermometer = Clocks.of(root), thermometer(root)
        # The kernel's trip points do not apply to a discrete card.
        self._trip_c = None if card else self._thermometer.trip_c
        self._pinned_mhz = pinned_mhz(clock_limits_mhz(root))
        self._cores = _cores(root)
        self._tick_hz = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
        self._before = self._ticks()

    def read(self) -> BlockReading:
        """Read the machine's state and check it against the rules of the configuration."""
        after = self._ticks()
        before, self._before = self._before, after
        background, error = self._background_cores(before, after)
        temperature_c = _none_if_lost(self._card.temperature_c) if self._card else self._thermometer.read_c()
        figures = {
            "temperature_c": None if temperature_c is None else round(temperature_c, 1),
            "cpu_mhz": self._clocks.cpu_mhz(),
            "gpu_mhz": _none_if_lost(self._card.clock_mhz) if self._card else self._clocks.gpu_mhz(),
            "background_cores": None if background is None else round(background, 2),
        }
        return BlockReading(figures, self._overloaded(background, error) or self._throttled(figures))

    def with_limits(self, block_conditions: BlockConditions) -> BlockConditions:
        """Return ``block_conditions`` with this machine's trip point and pinned clocks."""
        return dataclasses.replace(block_conditions, trip_c=self._trip_c, pinned_mhz=self._pinned_mhz)

    def _ticks(self) -> _Ticks | None:
        busy = total = 0
        for line in text(self._root / "proc/stat").splitlines():
            name, _, rest = line.partition(" ")
            if name in self._cores:
                counts = [int(count) for count in rest.split()[:_FIELDS]]
                total += sum(counts)
                busy += sum(count for field, count in enumerate(counts) if field not in _IDLE)
        return _Ticks(busy, total, self._cpu_clock()) if total else None

    def _background_cores(self, before: _Ticks | None, after: _Ticks | None) -> tuple[float | None, float]:
        """Return other processes' CPU time in cores, and how much too high it may be: a tick is 10 ms, a block a few.

        Args:
            before: The counters at the last reading; None where /proc/stat is missing.
            after: The counters now.
        """
        if before is None or after is None or after.total <= before.total:
            return None, 0.0
        ticks = after.total - before.total
        own_ticks = (after.own_ns - before.own_ns) * 1e-9 * self._tick_hz
        background_ticks = max(0.0, after.busy - before.busy - own_ticks)
        return len(self._cores) * background_ticks / ticks, len(self._cores) * _TICK_ERROR / ticks

    def _overloaded(self, background: float | None, error: float) -> str:
        if self._max_background is None or background is None:
            return ""
        limit = self._max_background * len(self._cores)
        return f"background load {background:.1f} cores, limit {limit:.1f}" if background - error > limit else ""

    def _throttled(self, figures: dict[str, float | None]) -> str:
        if not self._refuse_throttled:
            return ""
        columns = {name: (value,) for name, value in figures.items()}  # of one block
        return BlockConditions(**columns, trip_c=self._trip_c, pinned_mhz=self._pinned_mhz).throttled(0)


def _none_if_lost(figure: Callable[[], float]) -> float | None:
    try:
        return figure()
    except OSError:
        return None


def _cores(root: Path) -> frozenset[str]:
    """Return the cores that this process may use, by their names in /proc/stat: a container sees its host's file."""
    lines = text(root / "proc/stat").splitlines()
    named = {line.split()[0] for line in lines if line.startswith("cpu") and line[3:4] != " "}  # "cpu " is the sum
    allowed = {f"cpu{core}" for core in os.sched_getaffinity(0)} if hasattr(os, "sched_getaffinity") else named
    return frozenset(named & allowed or named)
