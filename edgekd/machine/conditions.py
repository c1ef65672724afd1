"""What this machine is, as far as it can change a figure. Never who it belongs to: no host name, no address."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgekd.core.clock import CLOCK_NAME
from edgekd.core.conditions import Conditions
from edgekd.core.config import BenchConfig
from edgekd.core.family import version_of
from edgekd.core.protocols import Device
from edgekd.machine import jetson
from edgekd.machine.sysfs import clock_limits_mhz, pinned_mhz, temperatures_c, text


def observe(
    config: BenchConfig,
    libraries: Sequence[str],
    *,
    device: Device = "cpu",
    batch: int = 1,
    root: Path = Path("/"),
) -> Conditions:
    """Note the conditions of a measurement on this machine.

    Args:
        config: Backend, threads, scenario and streams.
        libraries: Distributions whose version can change a latency.
        device: Where the backend runs.
        batch: Samples in one inference.
        root: Where ``proc``, ``sys`` and ``etc`` lie.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    board = jetson.model(root)
    emc_max_mhz = jetson.emc_max_mhz(root) if board else None
    gpu = _gpu(root) if device == "gpu" else None
    return Conditions(
        target=board or "workstation",
        processor=gpu or _cpu(root) or board or "unknown",
        backend=config.backend,
        libraries={library: version_of(library) or "unknown" for library in sorted(libraries)},
        threads=config.threads or cores,
        cores=cores,
        batch=batch,
        scenario=config.scenario,
        clock=CLOCK_NAME,
        governor=_governor(root),
        streams=config.streams,
        l4t=jetson.l4t(root),
        power_mode=jetson.power_mode(root),
        tpc_mask=jetson.tpc_mask(root) if board else None,
        clock_limits_mhz=clock_limits_mhz(root) | ({"emc_max": emc_max_mhz} if emc_max_mhz else {}),
    )


def state(root: Path = Path("/")) -> dict[str, str]:
    """Return what this machine tells of its state, a line each; where it does not, why not.

    Args:
        root: Where ``proc``, ``sys`` and ``etc`` lie.
    """
    found = {
        "governor": _governor(root) or "not told: no /sys/devices/system/cpu/*/cpufreq (a virtual machine has none)"
    }
    limits = clock_limits_mhz(root)
    pinned = pinned_mhz(limits)
    found["clocks"] = _clocks(limits, pinned) or "not told: the kernel shows no frequency of CPU or GPU"
    heat = temperatures_c(root)
    found["temperature"] = ", ".join(f"{name} {c:.1f} °C" for name, c in heat.items()) or (
        "not told: /sys/class/thermal has no zone that answers"
    )
    if jetson.model(root) is None:
        return found
    mode, why = jetson.mode(root)
    mask = jetson.tpc_mask(root)
    return {
        "L4T": jetson.l4t(root) or "not told: /etc/nv_tegra_release is missing; mount it into the container",
        "power mode": " · ".join(filter(None, (mode.name if mode else f"not told: {why}", jetson.unkept(root)))),
        "TPC mask": "not told: the GPU's driver shows none" if mask is None else f"{mask} (bits of TPCs that are off)",
        **found,
    }


def _clocks(limits: Mapping[str, float], pinned: Mapping[str, float]) -> str:
    said = []
    for unit in dict.fromkeys(name.partition("_")[0] for name in limits):
        low, high = limits.get(f"{unit}_min"), limits.get(f"{unit}_max")
        said.append(
            f"{unit} {low:g} to {high:g} MHz" if low is not None and high is not None else f"{unit} partly told"
        )
    free = "" if pinned or not said else "; none is pinned"
    return ", ".join(said) + free


def _cpu(root: Path) -> str | None:
    fields: dict[str, str] = {}
    for line in text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    if name := fields.get("model name") or fields.get("hardware"):
        return " ".join(name.split())
    # Arm kernels give numbers only: 0x41 is Arm, 0xd42 the Cortex-A78AE.
    part = fields.get("cpu part")
    return f"Arm implementer {fields.get('cpu implementer', '?')} part {part}" if part else None


def _gpu(root: Path) -> str | None:
    """Return the model of the first GPU the NVIDIA driver lists."""
    for path in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        for line in text(path).splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "Model":
                return value.strip()
    return None


def _governor(root: Path) -> str | None:
    """Return the CPU frequency governor, several joined by "+", or None where the machine does not tell."""
    paths = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return "+".join(sorted({name for path in paths if (name := text(path))})) or None
