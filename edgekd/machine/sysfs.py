"""Clocks, their limits and temperatures, from the kernel's files. The root is an argument everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_HZ_TO_MHZ, _KHZ_TO_MHZ = 1e-6, 1e-3
# The GPU's clock domain in /sys/class/devfreq: Orin (17000000.gpu, before JetPack 6 17000000.ga10b), Xavier (.gv11b),
# TX2 (.gp10b), Nano and TX1 (57000000.gpu), Thor (gpu-gpc-0; gpu-nvd-0 beside it is its video engines').
_GPU_DOMAINS = ("*.gpu", "*.ga10b", "*.gv11b", "*.gp10b", "gpu-gpc-0")
# No chip here survives above this range; a sensor that is switched off reads below it (-256 on Orin's idle GPU).
_PLAUSIBLE_C = (-50.0, 150.0)
# A machine with many cores has as many policies; only some can be read in the time between two blocks.
_POLICIES_MAX = 8


def text(path: Path) -> str:
    """Return a small file's text, stripped; "" if it is missing or may not be read."""
    try:
        return path.read_text(errors="replace").strip("\0 \n\t")  # device-tree strings end in NUL
    except OSError:
        return ""


def number(path: Path) -> float | None:
    """Return the number in a file; None if there is none."""
    try:
        return float(text(path))
    except ValueError:
        return None


def policies(root: Path) -> tuple[Path, ...]:
    """Return the folders of the CPU's frequency policies, that is groups of cores that share a clock."""
    found = (root / "sys/devices/system/cpu/cpufreq").glob("policy[0-9]*")
    return tuple(sorted(found, key=lambda path: int(path.name.removeprefix("policy"))))


def gpu_domain(root: Path) -> Path | None:
    """Return the folder of a Jetson GPU's clock; None on other machines."""
    for pattern in _GPU_DOMAINS:
        for path in sorted((root / "sys/class/devfreq").glob(pattern)):
            return path
    return None


def clock_limits_mhz(root: Path) -> dict[str, float]:
    """Return the clock limits that the kernel reports.

    Args:
        root: Where ``sys`` is.

    Returns:
        "cpu0_min", "cpu0_max" (of the policy that starts with core 0), "gpu_min" ... → MHz.
    """
    files: dict[str, tuple[Path, float]] = {}
    for policy in policies(root):
        first_core = policy.name.removeprefix("policy")
        for end in ("min", "max"):
            files[f"cpu{first_core}_{end}"] = (policy / f"scaling_{end}_freq", _KHZ_TO_MHZ)
    if gpu := gpu_domain(root):
        for end in ("min", "max"):
            files[f"gpu_{end}"] = (gpu / f"{end}_freq", _HZ_TO_MHZ)
    limits_mhz = {}
    for name, (path, to_mhz) in files.items():
        value = number(path)
        if value is not None:
            limits_mhz[name] = round(value * to_mhz, 3)
    return limits_mhz


def pinned_mhz(limits_mhz: dict[str, float]) -> dict[str, float]:
    """Return the clocks whose limits leave no choice, as after jetson_clocks.

    Args:
        limits_mhz: As ``clock_limits_mhz`` returns them.

    Returns:
        "cpu", "gpu" → MHz; absent if not pinned.
    """
    found = {}
    for unit in ("cpu", "gpu"):
        names = [name.removesuffix("_max") for name in limits_mhz if name.startswith(unit) and name.endswith("_max")]
        # All policies must be pinned: which core a thread runs on is the scheduler's choice.
        if names and all(limits_mhz.get(f"{name}_min") == limits_mhz[f"{name}_max"] for name in names):
            found[unit] = max(limits_mhz[f"{name}_max"] for name in names)
    return found


@dataclass(frozen=True, slots=True)
class Thermometer:
    """The temperature sensors that are read between two blocks.

    Attributes:
        files: Each holds thousandths of a degree Celsius.
        trip_c: The lowest temperature at which the kernel throttles something; None if unavailable.
    """

    files: tuple[Path, ...] = ()
    trip_c: float | None = None

    def read_c(self) -> float | None:
        """Return the hottest sensor; None if none answers, as a GPU that is switched off does not."""
        found = [value / 1e3 for path in self.files if (value := number(path)) is not None]
        return max((c for c in found if _PLAUSIBLE_C[0] < c < _PLAUSIBLE_C[1]), default=None)


def thermometer(root: Path) -> Thermometer:
    """Choose the thermal zones of the CPU and the GPU.

    Not tj-thermal, the maximum of a Jetson's zones, because reading it reads all of them. Not the PMIC's zone, whose 50
    or 100 °C is a constant. Source for trips and their types: the kernel's
    Documentation/driver-api/thermal/sysfs-api.rst; "passive" is the type that throttles.

    Args:
        root: Where ``sys`` is.
    """
    zones = {zone: text(zone / "type").lower() for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*"))}
    wanted = [zone for zone, kind in zones.items() if kind.startswith(("cpu", "gpu", "mcpu", "bcpu", "x86_pkg_temp"))]
    trips_c = [trip_c for zone in wanted for trip_c in _passive_trips_c(zone)]
    return Thermometer(tuple(zone / "temp" for zone in wanted), min(trips_c, default=None))


def temperatures_c(root: Path) -> dict[str, float]:
    """Return each thermal zone's type → degrees Celsius, without implausible readings."""
    found = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        if (value := Thermometer((zone / "temp",)).read_c()) is not None:
            found[text(zone / "type") or zone.name] = value
    return found


@dataclass(frozen=True, slots=True)
class Clocks:
    """The files with the present clocks.

    Attributes:
        cpu: One per frequency policy, kilohertz.
        gpu: The GPU's, hertz; None without a Jetson's GPU.
    """

    cpu: tuple[Path, ...]
    gpu: Path | None

    @classmethod
    def of(cls, root: Path) -> Clocks:
        """Find the files of the machine whose ``sys`` is below ``root``."""
        gpu = gpu_domain(root)
        cpu = tuple(path / "scaling_cur_freq" for path in policies(root)[:_POLICIES_MAX])
        return cls(cpu, gpu / "cur_freq" if gpu else None)

    def cpu_mhz(self) -> float | None:
        """Return the fastest core's clock, since that is the core under load."""
        found = [value for path in self.cpu if (value := number(path)) is not None]
        return round(max(found) * _KHZ_TO_MHZ, 1) if found else None

    def gpu_mhz(self) -> float | None:
        """Return the GPU's clock."""
        value = number(self.gpu) if self.gpu else None
        return None if value is None else round(value * _HZ_TO_MHZ, 1)


def _passive_trips_c(zone: Path) -> list[float]:
    found = []
    for kind in zone.glob("trip_point_*_type"):
        value = number(kind.with_name(kind.name.replace("_type", "_temp")))
        if text(kind) == "passive" and value is not None:
            found.append(value / 1e3)
    return [trip_c for trip_c in found if 0 < trip_c < _PLAUSIBLE_C[1]]  # the kernel writes a negative one for "none"
