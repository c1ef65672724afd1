"""NVIDIA's tegrastats: the fallback where sysfs names rails in a way that ``ina3221`` does not know.

The format of a line changes between generations: "VDD_IN 3140/3208" (Nano, TX2, early Xavier: now/mean, milliwatts),
"VDD_IN 2957mW/2957mW" (from L4T 32.6 on), "VDD_GPU 37939mW/8660mW/37939mW" (R39: now/mean/maximum). Off, absent and
negative values are distinguished. Recorded lines: tests/unit/machine/boards/README.md.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgekd.core.errors import MachineError
from edgekd.core.protocols import Device, PowerSource
from edgekd.machine import rails

MEASURES: tuple[Device, ...] = ("cpu", "gpu")
PRIORITY = 3
JETSON_ONLY = True

_PROGRAM = "usr/bin/tegrastats"
# Its shortest useful interval. Sysfs is read faster, so this sensor comes last.
_INTERVAL_MS = 100
_RAM = re.compile(r"\bRAM (\d+)/(\d+)MB")
_CPU = re.compile(r"\bcpu ?\[([^\]]*)\](?:@(\d+))?", re.IGNORECASE)
_EMC = re.compile(r"\bEMC(?:_FREQ)? (?:(\d+)%)?(?:@(\d+))?")
_GPU = re.compile(r"\bGR3D(?:_FREQ)? (?:(\d+)%)?(?:@\[?(\d+))?")
_TEMPERATURE = re.compile(r"\b(\w+)@(-?[\d.]+)C\b")
# RAM and SWAP are also written "now/total", but with MB or kB behind it, which this pattern does not match.
_RAIL = re.compile(r"\b([A-Z][A-Z0-9_]*) (-?\d+)(?:mW)?/-?\d+(?:mW)?(?:/-?\d+(?:mW)?)?(?=\s|$)")
_ABSENT_C = -200  # a sensor that is switched off reads -256 on Orin
_SHOWN = 120  # characters of a line in an error message


@dataclass(frozen=True, slots=True)
class Line:
    """One parsed line; what the line lacks is None or empty.

    Attributes:
        ram_used_mb, ram_mb: Memory in use, and in all.
        cpu_load: Load of each core in percent; None for a core that is off.
        cpu_mhz: The fastest core's clock.
        gpu_load, gpu_mhz: Load in percent and clock of the first GPC.
        emc_mhz: The memory clock.
        temperatures_c: Sensor → degrees Celsius.
        rails_w: Rail → present power.
    """

    ram_used_mb: int | None = None
    ram_mb: int | None = None
    cpu_load: tuple[int | None, ...] = ()
    cpu_mhz: int | None = None
    gpu_load: int | None = None
    gpu_mhz: int | None = None
    emc_mhz: int | None = None
    temperatures_c: Mapping[str, float] = field(default_factory=dict)
    rails_w: Mapping[str, float] = field(default_factory=dict)


def parse(line: str) -> Line:
    """Parse one line of any L4T from 28 to 39."""
    ram, cpu, emc, gpu = (pattern.search(line) for pattern in (_RAM, _CPU, _EMC, _GPU))
    cores = cpu.group(1).split(",") if cpu else []
    # "12%@1420" per core, or "off".
    loads = [re.match(r"(\d+)%", core) for core in cores]
    clocks_mhz = [int(found.group(1)) for core in cores if (found := re.search(r"@(\d+)", core))]
    if cpu and cpu.group(2):  # one clock for all cores, behind the bracket
        clocks_mhz.append(int(cpu.group(2)))
    temperatures_c = {name: float(value) for name, value in _TEMPERATURE.findall(line) if float(value) > _ABSENT_C}
    rails_w = {name: int(value) / 1e3 for name, value in _RAIL.findall(line) if rails.is_rail(name)}
    return Line(
        ram_used_mb=_integer(ram, 1),
        ram_mb=_integer(ram, 2),
        cpu_load=tuple(_integer(load, 1) for load in loads),
        cpu_mhz=max(clocks_mhz, default=None),
        gpu_load=_integer(gpu, 1),
        gpu_mhz=_integer(gpu, 2),
        emc_mhz=_integer(emc, 2),
        temperatures_c=temperatures_c,
        rails_w=rails_w,
    )


def find(root: Path) -> PowerSource:
    """Start tegrastats and take the rails of its first line; see ``core.protocols.SensorModule``.

    Args:
        root: Where ``usr/bin`` is.

    Raises:
        MachineError: The program is missing, does not start, or names no rail.
    """
    program = root / _PROGRAM
    if not os.access(program, os.X_OK):
        raise MachineError(f"no /{_PROGRAM}: this is not a Jetson, or a container hides it")
    source = _Tegrastats(program)
    if not source.rails:
        source.close()
        raise MachineError(f"/{_PROGRAM} names no rail in its first line: {source.first_line[:_SHOWN]!r}")
    return source


class _Tegrastats:
    """A running tegrastats."""

    is_counter = False
    refresh_s = _INTERVAL_MS / 1e3

    def __init__(self, program: Path) -> None:
        command = [str(program), "--interval", str(_INTERVAL_MS)]
        try:
            self._child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        except OSError as err:
            raise MachineError(f"/{_PROGRAM} does not start: {err.strerror}") from err
        self.first_line = self._next_line()
        self.rails = tuple(parse(self.first_line).rails_w)
        self.total = rails.total(self.rails)
        self.description = f"{rails.description(self.rails)} (by tegrastats)"
        self.steps, self.range_j = (1e-3,) * len(self.rails), (0.0,) * len(self.rails)  # whole milliwatts

    def read(self) -> tuple[float, ...]:
        """Wait for the next line."""
        rails_w = parse(self._next_line()).rails_w
        missing = [rail for rail in self.rails if rail not in rails_w]
        if missing:
            raise OSError(f"tegrastats no longer reports {', '.join(missing)}")
        return tuple(rails_w[rail] for rail in self.rails)

    def close(self) -> None:
        if self._child.poll() is None:
            self._child.terminate()
        self._child.wait()
        if self._child.stdout:
            self._child.stdout.close()

    def _next_line(self) -> str:
        return self._child.stdout.readline().strip() if self._child.stdout else ""


def _integer(found: re.Match[str] | None, group: int) -> int | None:
    digits = found.group(group) if found else None
    return int(digits) if digits is not None else None
