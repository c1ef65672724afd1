"""What the kernel tells in small files: clocks and their limits, temperatures. The root is an argument everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_HZ_TO_MHZ, _KHZ_TO_MHZ = 1e-6, 1e-3
# The GPU's clock domain in /sys/class/devfreq: Orin (17000000.gpu, before JetPack 6 17000000.ga10b), Xavier (.gv11b),
# TX2 (.gp10b), Nano and TX1 (57000000.gpu), Thor (gpu-gpc-0; gpu-nvd-0 beside it are its video engines).
_GPU_DOMAINS = ("*.gpu", "*.ga10b", "*.gv11b", "*.gp10b", "gpu-gpc-0")
# Hotter than this no chip here lives, colder than this it is a sensor that is switched off (-256 on Orin's idle GPU).
_PLAUSIBLE_C = (-50.0, 150.0)
# A machine of many cores has as many policies; between two blocks there is time to read a few.
_POLICIES_MOST = 8


def text(path: Path) -> str:
    """Return a small file's text without the blanks around it; "" where there is none, or it may not be read."""
    try:
        return path.read_text(errors="replace").strip("\0 \n\t")
    except OSError:
        return ""


def number(path: Path) -> float | None:
    """Return a file's one number, None where there is none."""
    try:
        return float(text(path))
    except ValueError:
        return None


def policies(root: Path) -> tuple[Path, ...]:
    """Return the folders of the CPU's frequency policies: cores that share a clock."""
    found = (root / "sys/devices/system/cpu/cpufreq").glob("policy[0-9]*")
    return tuple(sorted(found, key=lambda path: int(path.name.removeprefix("policy"))))


def gpu_domain(root: Path) -> Path | None:
    """Return the folder of a Jetson GPU's clock, None on anything else."""
    for pattern in _GPU_DOMAINS:
        for path in sorted((root / "sys/class/devfreq").glob(pattern)):
            return path
    return None


def clock_limits_mhz(root: Path) -> dict[str, float]:
    """Return "cpu0_min", "cpu0_max" (of the policy that begins with core 0), "gpu_min" ... → MHz, where told."""
    files = {
        f"cpu{path.name.removeprefix('policy')}_{end}": (path / f"scaling_{end}_freq", _KHZ_TO_MHZ)
        for path in policies(root)
        for end in ("min", "max")
    }
    if gpu := gpu_domain(root):
        files |= {f"gpu_{end}": (gpu / f"{end}_freq", _HZ_TO_MHZ) for end in ("min", "max")}
    read = {name: (number(path), unit) for name, (path, unit) in files.items()}
    return {name: round(value * unit, 3) for name, (value, unit) in read.items() if value is not None}


def pinned_mhz(limits_mhz: dict[str, float]) -> dict[str, float]:
    """Return "cpu", "gpu" → the clock that its limits leave no choice about (as jetson_clocks does); absent else."""
    found = {}
    for unit in ("cpu", "gpu"):
        names = [name.removesuffix("_max") for name in limits_mhz if name.startswith(unit) and name.endswith("_max")]
        if names and all(limits_mhz.get(f"{name}_min") == limits_mhz[f"{name}_max"] for name in names):
            found[unit] = max(limits_mhz[f"{name}_max"] for name in names)
    return found


@dataclass(frozen=True, slots=True)
class Thermometer:
    """Sensors worth reading between two blocks.

    Attributes:
        files: Each holds thousandths of a degree Celsius.
        trip_c: The lowest temperature at which the kernel slows something down; None where none is told.
    """

    files: tuple[Path, ...] = ()
    trip_c: float | None = None

    def read_c(self) -> float | None:
        """Return the hottest of them, None where none answers: a GPU that is switched off has no temperature."""
        found = [value / 1e3 for path in self.files if (value := number(path)) is not None]
        return max((c for c in found if _PLAUSIBLE_C[0] < c < _PLAUSIBLE_C[1]), default=None)


def thermometer(root: Path) -> Thermometer:
    """Choose the zones of the CPU and the GPU.

    Not tj-thermal, a Jetson's hottest of all: reading it reads every zone. Not the PMIC's, whose 50 or 100 °C is a
    constant. Source for trips and their types: the kernel's Documentation/driver-api/thermal/sysfs-api.rst; "passive"
    is the one that throttles.
    """
    zones = {zone: text(zone / "type").lower() for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*"))}
    wanted = [zone for zone, kind in zones.items() if kind.startswith(("cpu", "gpu", "mcpu", "bcpu", "x86_pkg_temp"))]
    trips = [trip for zone in wanted for trip in _passive_trips_c(zone)]
    return Thermometer(tuple(zone / "temp" for zone in wanted), min(trips, default=None))


def temperatures_c(root: Path) -> dict[str, float]:
    """Return every zone's type → degrees Celsius, where it tells one that can be."""
    found = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        if (value := Thermometer((zone / "temp",)).read_c()) is not None:
            found[text(zone / "type") or zone.name] = value
    return found


@dataclass(frozen=True, slots=True)
class Clocks:
    """Where the present clocks stand."""

    cpu: tuple[Path, ...]
    gpu: Path | None

    @classmethod
    def of(cls, root: Path) -> Clocks:
        """Find them on this machine."""
        gpu = gpu_domain(root)
        cpu = tuple(path / "scaling_cur_freq" for path in policies(root)[:_POLICIES_MOST])
        return cls(cpu, gpu / "cur_freq" if gpu else None)

    def cpu_mhz(self) -> float | None:
        """Return the fastest core's clock: the one that works."""
        found = [value for path in self.cpu if (value := number(path)) is not None]
        return round(max(found) * _KHZ_TO_MHZ, 1) if found else None

    def gpu_mhz(self) -> float | None:
        """Return the GPU's clock."""
        value = number(self.gpu) if self.gpu else None
        return None if value is None else round(value * _HZ_TO_MHZ, 1)


def _passive_trips_c(zone: Path) -> list[float]:
    kinds = {path: text(path) for path in zone.glob("trip_point_*_type")}
    files = [path.with_name(path.name.replace("_type", "_temp")) for path, kind in kinds.items() if kind == "passive"]
    found = [value / 1e3 for path in files if (value := number(path)) is not None]
    return [c for c in found if 0 < c < _PLAUSIBLE_C[1]]  # below 0 is the kernel's "none"
