"""What a Jetson tells of itself: L4T release, power mode by name, which TPCs it has switched off.

Files, as they were recorded on boards: see tests/unit/bench/boards/README.md.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from edgekd.machine.sysfs import clock_limits_mhz, number, text

_RELEASE = re.compile(r"R(\d+) \(release\), REVISION: ([\d.]+)")
_MODE = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=([^\s>]+)\s*>")
_GPU_MAX = re.compile(r"^GPU MAX_FREQ\s+(-?\d+)\s*$", re.MULTILINE)
# Orin's two places, of JetPack 5 and 6: "_KNEXT" in NVIDIA's own nvpmodel files.
_TPC_MASKS = ("sys/devices/gpu.0/tpc_pg_mask", "sys/devices/platform/gpu.0/tpc_pg_mask")
_EMC_CAPS = ("sys/kernel/nvpmodel_clk_cap/emc", "sys/kernel/nvpmodel_emc_cap/emc_iso_cap")
# A mode's cap is rounded to a step of the GPU's table.
_CAP_SHARE = 0.04


@dataclass(frozen=True, slots=True)
class Mode:
    """One power mode of nvpmodel.conf.

    Attributes:
        name: nvpmodel's.
        gpu_max_mhz: The GPU's cap; None where the mode sets none.
    """

    name: str
    gpu_max_mhz: float | None = None


def model(root: Path) -> str | None:
    """Return the Jetson's own name for itself, or None on anything else.

    The name alone does not tell: a developer kit of JetPack 5 calls itself "NVIDIA Orin Nano Developer Kit".
    """
    found, chips = (text(root / "proc/device-tree" / name) for name in ("model", "compatible"))
    if "jetson" in found.lower() or "tegra" in f"{found} {chips}".lower() or text(root / "etc/nv_tegra_release"):
        return found or "Jetson"
    return None


def l4t(root: Path) -> str | None:
    """Return the release of Jetson Linux, "36.4.3"."""
    found = _RELEASE.search(text(root / "etc/nv_tegra_release"))
    return f"{found.group(1)}.{found.group(2)}" if found else None


def modes(conf: str) -> dict[int, Mode]:
    """Parse the text of an nvpmodel.conf: number → mode."""
    heads = list(_MODE.finditer(conf))
    ends = [head.start() for head in heads[1:]] + [len(conf)]
    found = {}
    for head, end in zip(heads, ends, strict=True):
        cap = _GPU_MAX.search(conf, head.end(), end)
        hz = int(cap.group(1)) if cap else -1
        found[int(head.group(1))] = Mode(head.group(2), hz / 1e6 if hz > 0 else None)
    return found


def mode(root: Path) -> tuple[Mode | None, str]:
    """Return the power mode that is set, or None and the reason."""
    status = text(root / "var/lib/nvpmodel/status")
    set_ = re.match(r"pmode:(\d+)", status)
    if not set_:
        return None, "/var/lib/nvpmodel/status names none: nvpmodel has not run, or a container hides it"
    # nvpmodel leaves the path of what it was started with; one of many boards' files is linked to /etc/nvpmodel.conf.
    named = text(root / "var/lib/nvpmodel/conf_file_path")
    conf = (named and text(root / named.lstrip("/"))) or text(root / "etc/nvpmodel.conf")
    if not conf:
        return None, f"mode {int(set_.group(1))} has no name without /etc/nvpmodel.conf; mount it into the container"
    found = modes(conf).get(int(set_.group(1)))
    return found, "" if found else f"nvpmodel.conf names no mode {int(set_.group(1))}"


def power_mode(root: Path) -> str | None:
    """Return nvpmodel's name of the power mode that is set."""
    found, _ = mode(root)
    return found.name if found else None


def tpc_mask(root: Path) -> int | None:
    """Return which TPCs are power-gated, a bit each, as the GPU's driver reads it back."""
    for path in _TPC_MASKS:
        with contextlib.suppress(ValueError):
            return int(text(root / path), 0)
    return None


def emc_max_mhz(root: Path) -> float | None:
    """Return the memory clock's cap; root alone may read it, and 0 stands for none."""
    found = (number(root / path) for path in _EMC_CAPS)
    return next((round(value / 1e6, 3) for value in found if value), None)


def unkept(root: Path) -> str:
    """Say where the GPU's limit is above the power mode's: nvpmodel may fail at boot and leave the name; "" if not."""
    found, _ = mode(root)
    limit = clock_limits_mhz(root).get("gpu_max")
    cap = found.gpu_max_mhz if found else None
    if found is None or cap is None or limit is None or limit <= cap * (1 + _CAP_SHARE):
        return ""
    return (
        f"power mode {found.name} caps the GPU at {cap:.0f} MHz, but its limit is {limit:.0f}: it is not in force; "
        "see `systemctl status nvpmodel`, set it again with `sudo nvpmodel -m`"
    )
