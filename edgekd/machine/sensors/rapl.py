"""RAPL, the energy counters of Intel's and AMD's processors, through the kernel's powercap files.

Source: the kernel's Documentation/power/powercap/powercap.rst: energy_uj counts microjoules and begins again beyond
max_energy_range_uj. Renewed about once a millisecond: Intel Software Developer's Manual, volume 3B, 15.10.
"""

from __future__ import annotations

from pathlib import Path

from edgekd.core.errors import MachineError
from edgekd.core.protocols import PowerSource
from edgekd.machine.sysfs import number, text

SEES = ("cpu",)
RANK = 2
OF_A_BOARD = False

_ZONES = "sys/class/powercap"
_REFRESH_S = 0.001
# 2^-14 J, what a step of the register is on most; the kernel gives microjoules of it.
_STEP_J = 6.1e-5
# A package holds its cores and its graphics; memory stands beside it. "psys", the whole platform, would count twice.
_PARTS = ("core", "uncore", "psys")


class _Counters:
    """Every zone's counter."""

    counts = True
    refresh_s = _REFRESH_S

    def __init__(self, zones: dict[str, Path]) -> None:
        self._files = tuple(zone / "energy_uj" for zone in zones.values())
        self.rails = tuple(zones)
        self.total = tuple(rail for rail in zones if rail.split(" ")[-1] not in _PARTS)
        self.sees = (
            f"{' + '.join(self.total)} by RAPL: the processor's own estimate; board and power supply are not seen"
        )
        self.steps = (_STEP_J,) * len(zones)
        self.range_j = tuple((number(zone / "max_energy_range_uj") or 0) * 1e-6 for zone in zones.values())

    def read(self) -> tuple[float, ...]:
        return tuple(int(path.read_text()) * 1e-6 for path in self._files)

    def close(self) -> None:
        """Nothing is held."""


def find(root: Path) -> PowerSource:
    """Find every package, and what stands beside or inside it."""
    zones = {}
    for zone in sorted((root / _ZONES).glob("intel-rapl:*")):
        package, *part = zone.name.removeprefix("intel-rapl:").split(":")
        name = text(zone / "name") or zone.name
        zones[f"package-{package} {name}" if part else name] = zone
    if not zones:
        raise MachineError(
            "no RAPL counters in /sys/class/powercap: the processor has none, a virtual machine hides them, or "
            "`modprobe intel_rapl_msr` is missing"
        )
    counters = _Counters(zones)
    try:
        counters.read()
    except PermissionError as err:
        raise MachineError(
            f"{_ZONES}/intel-rapl:0/energy_uj is root's alone (since CVE-2020-8694); be root, or "
            "`sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj` and mind that it can leak secrets"
        ) from err
    except (OSError, ValueError) as err:
        raise MachineError(f"RAPL's counters cannot be read: {err}") from err
    return counters
