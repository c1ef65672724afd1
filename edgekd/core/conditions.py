"""Measurement conditions: of a whole result (``Conditions``), and of each timed block (``BlockConditions``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

WORKSTATION = "workstation"
# The kernel rounds a clock to a step of its table: up to 2 % below the pinned clock is not throttling.
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
        cores: CPU cores this process may use; None if unavailable.
        batch: Samples in one inference.
        scenario: MLPerf's name; see ``bench.scenarios``.
        clock: Which clock timed it.
        governor: The CPU frequency governor; None if unavailable.
        streams: Concurrent inferences.
        l4t: A Jetson's Linux release, "36.4.3".
        power_mode: nvpmodel's name of the power mode: its numbers change between releases.
        tpc_mask: Which of the GPU's TPCs are powered off, read from the GPU: a power mode changes more than clocks.
        clock_limits_mhz: "cpu0_min", "cpu0_max" (a pair per frequency policy), "gpu_min", "gpu_max", "emc_max" → MHz.
        gpu_timing: trtexec's three flags as this measurement had them: "cuda_graph", "spin_wait", "transfers". Their
            defaults were inverted in TensorRT 11.0. Empty where no GPU was used.

    How missing values compare: a field that both sides have must be equal. A field that only one side has makes no
    difference on a workstation; ``clock_limits_mhz`` is compared by the keys that both have (only root can read the
    memory clock's limit). On a Jetson a field that only one side has is a difference, since every Jetson can report it:
    a board on which a power mode has switched off half of the SMs must not pass for one with all of them because an
    older file lacks the field. A field that neither side has makes no difference.
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
        return self.target != WORKSTATION

    def differs_from(self, other: Conditions) -> dict[str, tuple[Any, Any]]:
        """Return field → (mine, theirs) for each field that differs; of a mapping only the entries that differ."""
        is_board = self.is_board or other.is_board
        found: dict[str, tuple[Any, Any]] = {}
        for name in (f.name for f in fields(self)):
            mine, theirs = getattr(self, name), getattr(other, name)
            if name in _SINCE_SCHEMA_4:
                differs = _optional_difference(mine, theirs, required=is_board and name in _ON_EVERY_BOARD)
            else:
                differs = (mine, theirs) if mine != theirs else None
            if differs is not None:
                found[name] = differs
        return found


# Fields that results before schema 4 lack, and those of them that every Jetson reports.
_SINCE_SCHEMA_4 = ("l4t", "power_mode", "tpc_mask", "clock_limits_mhz", "gpu_timing")
_ON_EVERY_BOARD = ("l4t", "power_mode", "tpc_mask", "clock_limits_mhz")


def _optional_difference(mine: Any, theirs: Any, *, required: bool) -> tuple[Any, Any] | None:
    """Compare a field that may be missing; with ``required``, a field that only one side has is a difference."""
    mine_or_none, theirs_or_none = _none_if_empty(mine), _none_if_empty(theirs)
    if mine_or_none is None or theirs_or_none is None:
        one_sided = (mine_or_none is None) != (theirs_or_none is None)
        return (mine_or_none, theirs_or_none) if required and one_sided else None
    if isinstance(mine, Mapping):
        unequal = [key for key in mine if key in theirs and mine[key] != theirs[key]]
        return ({key: mine[key] for key in unequal}, {key: theirs[key] for key in unequal}) if unequal else None
    return (mine, theirs) if mine != theirs else None


def _none_if_empty(value: Any) -> Any:
    return None if value == {} else value


@dataclass(frozen=True, slots=True)
class BlockConditions:
    """The machine's state around the blocks of one candidate in one process.

    Each tuple has one entry per block, or is empty where the machine does not report it. Candidates run interleaved, so
    the state before a block is the one after the block that ran before it.

    Attributes:
        temperature_c: The hottest sensor right after the block.
        cpu_mhz: The fastest core's clock right after the block.
        gpu_mhz: The GPU's clock right after the block.
        background_cores: CPU time that other processes used while the block ran, in cores.
        trip_c: The temperature from which the kernel throttles; None if unavailable.
        pinned_mhz: "cpu", "gpu" → the clock it is pinned to (its minimum equals its maximum); absent if not pinned.
    """

    temperature_c: tuple[float | None, ...] = ()
    cpu_mhz: tuple[float | None, ...] = ()
    gpu_mhz: tuple[float | None, ...] = ()
    background_cores: tuple[float | None, ...] = ()
    trip_c: float | None = None
    pinned_mhz: Mapping[str, float] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, tuple[float | None, ...]]:
        """The per-block figures: name → one entry per block, or an empty tuple."""
        return {name: getattr(self, name) for name in ("temperature_c", "cpu_mhz", "gpu_mhz", "background_cores")}

    def throttled(self, block: int) -> str:
        """Describe how block number ``block`` was throttled; "" if it was not, or the machine does not report it."""
        temperature_c = self.temperature_c[block] if self.temperature_c else None
        if temperature_c is not None and self.trip_c is not None and temperature_c >= self.trip_c:
            return f"{temperature_c:.1f} °C, throttled from {self.trip_c:.1f} on"
        for name, clocks_mhz in (("cpu", self.cpu_mhz), ("gpu", self.gpu_mhz)):
            clock_mhz, pinned_mhz = clocks_mhz[block] if clocks_mhz else None, self.pinned_mhz.get(name)
            if clock_mhz is not None and pinned_mhz is not None and clock_mhz < _PINNED_SHARE * pinned_mhz:
                return f"{name} at {clock_mhz:.0f} MHz, pinned to {pinned_mhz:.0f}"
        return ""


@dataclass(frozen=True, slots=True)
class BlockReading:
    """The machine's state right after one block.

    Attributes:
        figures: Each column of ``BlockConditions`` → its value.
        violation: Which rule the block broke, with the value and the limit; "" if it broke none.
    """

    figures: dict[str, float | None] = field(default_factory=dict)
    violation: str = ""


# Called once before the first block and once after each: a reading covers the time since the last call.
Watch = Callable[[], BlockReading]


def no_watch() -> BlockReading:
    """Return an empty reading: the ``Watch`` that is used where nothing is watched."""
    return BlockReading()
