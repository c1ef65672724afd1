"""NVIDIA's tegrastats: where sysfs names a rail in a way nobody has taught us yet, its lines still do.

The line has changed with every generation: "VDD_IN 3140/3208" (Nano, TX2, early Xavier: now / mean, milliwatts),
"VDD_IN 2957mW/2957mW" (from L4T 32.6 on), "VDD_GPU 37939mW/8660mW/37939mW" (R39: now / mean / most); off, absent and
negative are told apart. Recorded lines: tests/unit/bench/boards/README.md.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgekd.core.errors import MachineError
from edgekd.core.protocols import PowerSource
from edgekd.machine import rails

SEES = ("cpu", "gpu")
RANK = 3
OF_A_BOARD = True

_PROGRAM = "usr/bin/tegrastats"
# Its shortest useful interval; sysfs is finer, which is why this is the last resort.
_INTERVAL_MS = 100
_RAM = re.compile(r"\bRAM (\d+)/(\d+)MB")
_CPU = re.compile(r"\bcpu ?\[([^\]]*)\](?:@(\d+))?", re.IGNORECASE)
_EMC = re.compile(r"\bEMC(?:_FREQ)? (?:(\d+)%)?(?:@(\d+))?")
_GPU = re.compile(r"\bGR3D(?:_FREQ)? (?:(\d+)%)?(?:@\[?(\d+))?")
_TEMPERATURE = re.compile(r"\b(\w+)@(-?[\d.]+)C\b")
_RAIL = re.compile(r"\b([A-Z][A-Z0-9_]*) (-?\d+)(?:mW)?/-?\d+(?:mW)?(?:/-?\d+(?:mW)?)?(?=\s|$)")
_ABSENT_C = -200  # Orin's sensors that are switched off say -256


@dataclass(frozen=True, slots=True)
class Line:
    """What one line says; None, or absent, is what it does not.

    Attributes:
        ram_used_mb, ram_mb: Memory.
        cpu_load: Of each core, percent; None of one that is off.
        cpu_mhz: The fastest core's clock.
        gpu_load, gpu_mhz: Of the first GPC.
        emc_mhz: The memory's clock.
        temperatures_c: Sensor → degrees Celsius.
        rails_w: Rail → power now.
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
    loads = [re.match(r"(\d+)%", core) for core in cores]
    clocks = [int(found.group(1)) for core in cores if (found := re.search(r"@(\d+)", core))]
    if cpu and cpu.group(2):
        clocks.append(int(cpu.group(2)))
    heat = {name: float(value) for name, value in _TEMPERATURE.findall(line) if float(value) > _ABSENT_C}
    # RAM and SWAP have "now/of" too, but with MB or kB behind it, which the pattern leaves out.
    rails_w = {name: int(value) / 1e3 for name, value in _RAIL.findall(line) if rails.is_rail(name)}
    return Line(
        ram_used_mb=int(ram.group(1)) if ram else None,
        ram_mb=int(ram.group(2)) if ram else None,
        cpu_load=tuple(int(load.group(1)) if load else None for load in loads),
        cpu_mhz=max(clocks, default=None),
        gpu_load=_group(gpu, 1),
        gpu_mhz=_group(gpu, 2),
        emc_mhz=_group(emc, 2),
        temperatures_c=heat,
        rails_w=rails_w,
    )


def find(root: Path) -> PowerSource:
    """Start tegrastats and read the rails of its first line."""
    program = root / _PROGRAM
    if not os.access(program, os.X_OK):
        raise MachineError(f"no /{_PROGRAM}: this is no Jetson, or a container hides it")
    lines = _Lines(program)
    if not lines.rails:
        lines.close()
        raise MachineError(f"/{_PROGRAM} names no rail: {lines.said[:120]!r}")
    return lines


class _Lines:
    """A running tegrastats."""

    counts = False
    refresh_s = _INTERVAL_MS / 1e3

    def __init__(self, program: Path) -> None:
        words = [str(program), "--interval", str(_INTERVAL_MS)]
        try:
            self._child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        except OSError as err:
            raise MachineError(f"/{_PROGRAM} does not start: {err.strerror}") from err
        self.said = self._line()
        self.rails = tuple(parse(self.said).rails_w)
        self.total, self.sees = rails.total(self.rails), f"{rails.sees(self.rails)} (by tegrastats)"
        self.steps, self.range_j = (1e-3,) * len(self.rails), (0.0,) * len(self.rails)

    def read(self) -> tuple[float, ...]:
        """Wait for the next line."""
        told = parse(self._line()).rails_w
        if missing := [rail for rail in self.rails if rail not in told]:
            raise OSError(f"tegrastats no longer tells {', '.join(missing)}")
        return tuple(told[rail] for rail in self.rails)

    def close(self) -> None:
        if self._child.poll() is None:
            self._child.terminate()
        self._child.wait()
        if self._child.stdout:
            self._child.stdout.close()

    def _line(self) -> str:
        return self._child.stdout.readline().strip() if self._child.stdout else ""


def _group(found: re.Match[str] | None, group: int) -> int | None:
    text = found.group(group) if found else None
    return int(text) if text is not None else None
