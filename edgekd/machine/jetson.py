"""What a Jetson reports about itself: L4T release, power mode by name, which TPCs are switched off.

Recorded files of boards: see tests/unit/machine/boards/README.md.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from edgekd.machine.sysfs import clock_limits_mhz, number, text

_RELEASE = re.compile(r"R(\d+) \(release\), REVISION: ([\d.]+)")
_MODE = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=([^\s>]+)\s*>")
_STATUS = re.compile(r"pmode:(\d+)")
_GPU_MAX = re.compile(r"^GPU MAX_FREQ\s+(-?\d+)\s*$", re.MULTILINE)
# Orin's file under JetPack 5 and under JetPack 6 ("_KNEXT" in NVIDIA's nvpmodel files).
_TPC_MASKS = ("sys/devices/gpu.0/tpc_pg_mask", "sys/devices/platform/gpu.0/tpc_pg_mask")
_EMC_CAPS = ("sys/kernel/nvpmodel_clk_cap/emc", "sys/kernel/nvpmodel_emc_cap/emc_iso_cap")
# nvpmodel rounds a mode's cap to a step of the GPU's clock table, so the limit may be up to 4 % above it.
_CAP_TOLERANCE = 0.04


@dataclass(frozen=True, slots=True)
class Mode:
    """One power mode of nvpmodel.conf.

    Attributes:
        name: nvpmodel's name for it.
        gpu_max_mhz: The GPU's clock cap; None if the mode sets none.
    """

    name: str
    gpu_max_mhz: float | None = None


def model(root: Path) -> str | None:
    """Return the Jetson's model name; None on other machines.

    The name alone does not identify a Jetson: under JetPack 5 a developer kit is called "NVIDIA Orin Nano Developer
    Kit".

    Args:
        root: Where ``proc`` and ``etc`` are.
    """
    name = text(root / "proc/device-tree/model")
    chips = text(root / "proc/device-tree/compatible")
    is_jetson = "jetson" in name.lower() or "tegra" in f"{name} {chips}".lower()
    if is_jetson or text(root / "etc/nv_tegra_release"):
        return name or "Jetson"
    return None


def l4t(root: Path) -> str | None:
    """Return the release of Jetson Linux, such as "36.4.3"; None if unavailable."""
    found = _RELEASE.search(text(root / "etc/nv_tegra_release"))
    return f"{found.group(1)}.{found.group(2)}" if found else None


def modes(conf: str) -> dict[int, Mode]:
    """Parse the text of an nvpmodel.conf into mode number → mode."""
    heads = list(_MODE.finditer(conf))
    ends = [head.start() for head in heads[1:]] + [len(conf)]
    found = {}
    for head, end in zip(heads, ends, strict=False):  # a file without modes has one end and no head
        cap = _GPU_MAX.search(conf, head.end(), end)
        cap_hz = int(cap.group(1)) if cap else -1  # -1 is nvpmodel's "no cap"
        found[int(head.group(1))] = Mode(head.group(2), cap_hz / 1e6 if cap_hz > 0 else None)
    return found


def mode(root: Path) -> tuple[Mode | None, str]:
    """Return the active power mode and "", or None and the reason.

    Args:
        root: Where ``var`` and ``etc`` are.
    """
    status = _STATUS.match(text(root / "var/lib/nvpmodel/status"))
    if not status:
        return None, "/var/lib/nvpmodel/status names no mode: nvpmodel has not run, or a container hides the file"
    # nvpmodel writes down which file it was started with; on most boards /etc/nvpmodel.conf is a link to it.
    started_with = text(root / "var/lib/nvpmodel/conf_file_path")
    conf = (started_with and text(root / started_with.lstrip("/"))) or text(root / "etc/nvpmodel.conf")
    number_ = int(status.group(1))
    if not conf:
        return None, f"mode {number_} has no name without /etc/nvpmodel.conf; mount it into the container"
    found = modes(conf).get(number_)
    return found, "" if found else f"nvpmodel.conf has no mode {number_}"


def power_mode(root: Path) -> str | None:
    """Return nvpmodel's name of the active power mode; None if unavailable."""
    found, _ = mode(root)
    return found.name if found else None


def tpc_mask(root: Path) -> int | None:
    """Return which TPCs are power-gated, one bit each, as the GPU's driver reports it; None if unavailable."""
    for path in _TPC_MASKS:
        with contextlib.suppress(ValueError):
            return int(text(root / path), 0)
    return None


def emc_max_mhz(root: Path) -> float | None:
    """Return the memory clock's cap; None if there is none (the file says 0) or the user is not root."""
    for path in _EMC_CAPS:
        cap_hz = number(root / path)
        if cap_hz:
            return round(cap_hz / 1e6, 3)
    return None


def power_mode_warning(root: Path) -> str:
    """Return a warning if the GPU's limit is above the power mode's cap, else "".

    nvpmodel may fail at boot and leave the mode's name in its status file.

    Args:
        root: Where ``var``, ``etc`` and ``sys`` are.
    """
    found, _ = mode(root)
    limit_mhz = clock_limits_mhz(root).get("gpu_max")
    cap_mhz = found.gpu_max_mhz if found else None
    if found is None or cap_mhz is None or limit_mhz is None or limit_mhz <= cap_mhz * (1 + _CAP_TOLERANCE):
        return ""
    return (
        f"power mode {found.name} caps the GPU at {cap_mhz:.0f} MHz, but its limit is {limit_mhz:.0f}: the mode is not "
        "active; see `systemctl status nvpmodel` and set it again with `sudo nvpmodel -m`"
    )
