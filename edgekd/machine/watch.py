"""Looks at the machine between two blocks: temperature, clocks, and how much CPU others used while a block ran.

Nothing here runs inside a block. A look reads a handful of small files, some tens of microseconds together.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgekd.core.clock import CPU_CLOCK, Clock
from edgekd.core.conditions import Seen, Watched
from edgekd.core.config import BenchConfig
from edgekd.machine.nvml import Card
from edgekd.machine.sysfs import Clocks, clock_limits_mhz, pinned_mhz, text, thermometer

# Of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal. Guest time is counted in user's already.
_FIELDS, _IDLE = 8, (3, 4)
# Of the kernel's counters two may each be a tick off at either end of a block: that much is not held against anyone.
_TICKS_DOUBTED = 2


@dataclass(frozen=True, slots=True)
class _Ticks:
    """The cores' counters at one moment, in ticks, and this process's own CPU time."""

    busy: int
    total: int
    own_ns: int


class MachineWatch:
    """A watch for ``measure.measure``: what it says is of the time since its last look.

    Args:
        config: The rules by which a block is refused.
        root: Where ``proc`` and ``sys`` lie.
        cpu_clock: This process's own CPU time.
        card: The discrete GPU that is measured: temperature, °C, and GPU clock, MHz, are its own then.
    """

    def __init__(
        self, config: BenchConfig, root: Path = Path("/"), cpu_clock: Clock = CPU_CLOCK, card: Card | None = None
    ) -> None:
        self._root, self._cpu_clock, self._card = root, cpu_clock, card
        self._most_foreign, self._refuse_throttled = config.max_foreign_load, config.refuse_throttled
        self._clocks, self._thermometer = Clocks.of(root), thermometer(root)
        # What the kernel's zones trip at says nothing of a card.
        self._trip_c = None if card else self._thermometer.trip_c
        self._pinned_mhz = pinned_mhz(clock_limits_mhz(root))
        self._cores = _cores(root)
        self._tick_hz = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
        self._before = self._ticks()

    def __call__(self) -> Seen:
        """Look, and hold what is seen against the rules that were set."""
        after = self._ticks()
        before, self._before = self._before, after
        foreign, doubt = self._foreign_cores(before, after)
        heat = _told(self._card.temperature_c) if self._card else self._thermometer.read_c()
        figures = {
            "temperature_c": None if heat is None else round(heat, 1),
            "cpu_mhz": self._clocks.cpu_mhz(),
            "gpu_mhz": _told(self._card.clock_mhz) if self._card else self._clocks.gpu_mhz(),
            "foreign_cores": None if foreign is None else round(foreign, 2),
        }
        return Seen(figures, self._crowded(foreign, doubt) or self._throttled(figures))

    def with_limits(self, watched: Watched) -> Watched:
        """Add this machine's limits, against which the figures of the blocks are read."""
        return dataclasses.replace(watched, trip_c=self._trip_c, pinned_mhz=self._pinned_mhz)

    def _ticks(self) -> _Ticks | None:
        busy = total = 0
        for line in text(self._root / "proc/stat").splitlines():
            name, _, rest = line.partition(" ")
            if name in self._cores:
                counts = [int(count) for count in rest.split()[:_FIELDS]]
                total += sum(counts)
                busy += sum(count for field, count in enumerate(counts) if field not in _IDLE)
        return _Ticks(busy, total, self._cpu_clock()) if total else None

    def _foreign_cores(self, before: _Ticks | None, after: _Ticks | None) -> tuple[float | None, float]:
        """Return others' CPU time in cores, and by how much it may be too high: a tick is 10 ms, a block a few."""
        if before is None or after is None or after.total <= before.total:
            return None, 0.0
        ticks = after.total - before.total
        own = (after.own_ns - before.own_ns) * 1e-9 * self._tick_hz
        foreign = max(0.0, after.busy - before.busy - own)
        return len(self._cores) * foreign / ticks, len(self._cores) * _TICKS_DOUBTED / ticks

    def _crowded(self, foreign: float | None, doubt: float) -> str:
        if self._most_foreign is None or foreign is None:
            return ""
        most = self._most_foreign * len(self._cores)
        return f"foreign load {foreign:.1f} cores above {most:.1f}" if foreign - doubt > most else ""

    def _throttled(self, figures: dict[str, float | None]) -> str:
        if not self._refuse_throttled:
            return ""
        told = {name: (value,) for name, value in figures.items()}
        return Watched(**told, trip_c=self._trip_c, pinned_mhz=self._pinned_mhz).throttled(0)


def _told(ask: Callable[[], float]) -> float | None:
    try:
        return ask()
    except OSError:
        return None


def _cores(root: Path) -> frozenset[str]:
    """Return the cores this process may run on, as /proc/stat calls them: a container sees those of its host."""
    named = {
        line.split()[0] for line in text(root / "proc/stat").splitlines() if line[:3] == "cpu" and line[3:4] != " "
    }
    allowed = {f"cpu{core}" for core in os.sched_getaffinity(0)} if hasattr(os, "sched_getaffinity") else named
    return frozenset(named & allowed or named)
