"""RAPL, the energy counters of Intel's and AMD's processors, through the kernel's powercap files.

Source: the kernel's Documentation/power/powercap/powercap.rst: energy_uj counts microjoules and restarts at 0 above
max_energy_range_uj. Update interval, about 1 ms: Intel Software Developer's Manual, volume 3B, 15.10.
"""

from __future__ import annotations

from pathlib import Path

from edgekd.core.errors import MachineError
from edgekd.core.protocols import Device, PowerSource
from edgekd.machine.sysfs import number, text

MEASURES: tuple[Device, ...] = ("cpu",)
PRIORITY = 2
JETSON_ONLY = False

_ZONES = "sys/class/powercap"
_REFRESH_S = 0.001
# 2^-14 J, the register's unit on most processors; the kernel converts it to microjoules.
_STEP_J = 6.1e-5
# Zones that must not be added: "core" and "uncore" are parts of a package, "psys" (the whole platform) contains it.
_CONTAINED = ("core", "uncore", "psys")


class _Counters:
    """The counters of all zones."""

    is_counter = True
    refresh_s = _REFRESH_S

    def __init__(self, zones: dict[str, Path]) -> None:
        self._files = tuple(zone / "energy_uj" for zone in zones.values())
        self.rails = tuple(zones)
        self.total = tuple(rail for rail in zones if rail.split(" ")[-1] not in _CONTAINED)
        self.description = f"{' + '.join(self.total)} by RAPL, the processor's estimate; excludes board and PSU"
        self.steps = (_STEP_J,) * len(zones)
        self.range_j = tuple((number(zone / "max_energy_range_uj") or 0) * 1e-6 for zone in zones.values())

    def read(self) -> tuple[float, ...]:
        return tuple(int(path.read_text()) * 1e-6 for path in self._files)

    def close(self) -> None:
        """Do nothing: no file stays open."""


def find(root: Path) -> PowerSource:
    """Find every package's counter, and those of its parts; see ``core.protocols.SensorModule``.

    Args:
        root: Where ``sys`` is.

    Raises:
        MachineError: There is no counter, or it may not be read.
    """
    zones = {}
    for zone in sorted((root / _ZONES).glob("intel-rapl:*")):
        # "intel-rapl:0" is a package, "intel-rapl:0:1" a part of it, whose name alone would not be unique.
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
            f"only root can read {_ZONES}/intel-rapl:0/energy_uj (since CVE-2020-8694); run as root, or "
            "`sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj`, which lets any process observe power"
        ) from err
    except (OSError, ValueError) as err:
        raise MachineError(f"cannot read the RAPL counters: {err}") from err
    return counters
