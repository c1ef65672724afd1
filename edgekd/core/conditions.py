"""What a machine tells around each block: temperature, clocks, and what others did with the CPU meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

# A clock that is read back is a step of a table: two hundredths below the pin are no throttling.
_PINNED_SHARE = 0.98


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must be equal for two results to be compared.

    Attributes:
        target: The board's name, or "workstation".
        processor: The CPU's or GPU's model name.
        backend: The file of ``edgekd/backends/`` that ran the engines.
        libraries: Library → version, of those that can change a latency.
        threads: CPU threads that one inference used.
        cores: CPU cores there were; None where the machine did not tell.
        batch: Samples in one inference.
        scenario: MLPerf's name; see ``bench.scenarios``.
        clock: Which clock timed it.
        governor: The CPU frequency governor, None where the machine does not tell.
        streams: Inferences side by side.
        l4t: A Jetson's Linux release, "36.4.3".
        power_mode: nvpmodel's name of it: its numbers move between releases.
        tpc_mask: Which of the GPU's TPCs are powered off, as the GPU itself says: modes are not only clocks.
        clock_limits_mhz: "cpu0_min", "cpu0_max" (one pair a frequency policy), "gpu_min", "gpu_max", "emc_max" → MHz.
        gpu_timing: trtexec's three flags as this measurement had them: "cuda_graph", "spin_wait", "transfers". Their
            defaults turned over at TensorRT 11.0. Empty where no GPU was used.

    How what is absent compares: a field that both sides know must be equal. What one side alone knows is no difference
    on a workstation, and none of ``clock_limits_mhz`` key by key (the memory's limit is shown to root only). On a
    Jetson it is one, for a board can tell: one that has lost half of its SMs to a power mode must not pass for one that
    has not, because an older file says nothing. What neither knows is no difference: it cannot be told.
    """

    target: str
    processor: str
    backend: str
    libraries: Mapping[str, str]
    threads: int
    cores: int | None
    batch: int
    scenario: str
    clock: str
    governor: str | None = None
    streams: int = 1
    l4t: str | None = None
    power_mode: str | None = None
    tpc_mask: int | None = None
    clock_limits_mhz: Mapping[str, float] = field(default_factory=dict)
    gpu_timing: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_board(self) -> bool:
        """Whether this machine is a Jetson."""
        return self.target != "workstation"

    def differs_from(self, other: Conditions) -> dict[str, tuple[Any, Any]]:
        """Return field → (mine, theirs) for each field that differs; of a mapping, what of it does."""
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        board = self.is_board or other.is_board
        found = {}
        for name, (mine, theirs) in pairs.items():
            if name in _SINCE_4 and (_is_absent(mine) or _is_absent(theirs)):
                if board and name in _OF_A_BOARD and _is_absent(mine) != _is_absent(theirs):
                    found[name] = (None if _is_absent(mine) else mine, None if _is_absent(theirs) else theirs)
            elif name in _SINCE_4 and isinstance(mine, Mapping):
                unlike = [key for key in mine if key in theirs and mine[key] != theirs[key]]
                if unlike:
                    found[name] = ({key: mine[key] for key in unlike}, {key: theirs[key] for key in unlike})
            elif mine != theirs:
                found[name] = (mine, theirs)
        return found


# Fields of Conditions that older results lack, and those of them that a Jetson can tell.
_SINCE_4 = ("l4t", "power_mode", "tpc_mask", "clock_limits_mhz", "gpu_timing")
_OF_A_BOARD = ("l4t", "power_mode", "tpc_mask", "clock_limits_mhz")


def _is_absent(value: Any) -> bool:
    return value is None or value == {}


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


@dataclass(frozen=True, slots=True)
class Seen:
    """What the machine told right after one block.

    Attributes:
        figures: Each column of ``Watched`` → its figure.
        broken: Which rule the block broke, with both values; "" where none was asked for, or none was broken.
    """

    figures: dict[str, float | None] = field(default_factory=dict)
    broken: str = ""


# Called once before the first block, and after each: what it says is of the time since it was last called.
Watch = Callable[[], Seen]


def unwatched() -> Seen:
    """Tell nothing: the watch of whoever asked for none."""
    return Seen()
