"""What a machine tells around each block: temperature, clocks, and what others did with the CPU meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# A clock that is read back is a step of a table: two hundredths below the pin are no throttling.
_PINNED_SHARE = 0.98


@dataclass(frozen=True, slots=True)
class Watched:
    """What the machine told around the blocks of one candidate in one process.

    Each tuple has one figure a block, or none at all where the machine does not tell. What stood before a block is what
    stood after the one that ran before it: candidates took turns.

    Attributes:
        temperature_c: The hottest sensor right after the block.
        cpu_mhz: The fastest core's clock, right after.
        gpu_mhz: The GPU's, right after.
        foreign_cores: CPU time that was not this process's while the block ran, in cores.
        trip_c: From this temperature on the kernel throttles; None where it does not say.
        pinned_mhz: "cpu", "gpu" → the clock it is pinned to (its lowest limit is its highest); else absent.
    """

    temperature_c: tuple[float | None, ...] = ()
    cpu_mhz: tuple[float | None, ...] = ()
    gpu_mhz: tuple[float | None, ...] = ()
    foreign_cores: tuple[float | None, ...] = ()
    trip_c: float | None = None
    pinned_mhz: Mapping[str, float] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, tuple[float | None, ...]]:
        """Every figure there can be of a block: its name → one entry a block, or none at all."""
        return {name: getattr(self, name) for name in ("temperature_c", "cpu_mhz", "gpu_mhz", "foreign_cores")}

    def throttled(self, block: int) -> str:
        """Say how block ``block`` was throttled: "" where it was not, or nobody can tell."""
        heat = self.temperature_c[block] if self.temperature_c else None
        if heat is not None and self.trip_c is not None and heat >= self.trip_c:
            return f"{heat:.1f} °C, throttled from {self.trip_c:.1f} on"
        for name, clocks in (("cpu", self.cpu_mhz), ("gpu", self.gpu_mhz)):
            seen, pinned = clocks[block] if clocks else None, self.pinned_mhz.get(name)
            if seen is not None and pinned is not None and seen < _PINNED_SHARE * pinned:
                return f"{name} at {seen:.0f} MHz, pinned to {pinned:.0f}"
        return ""
