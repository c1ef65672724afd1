"""The properties of this machine that can change a measurement. Nothing that identifies its owner is recorded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgekd.core.clock import CLOCK_NAME
from edgekd.core.conditions import WORKSTATION, Conditions
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
    """Record the conditions of a measurement on this machine.

    Args:
        config: Backend, threads, scenario and streams.
        libraries: Distributions whose version can change a latency.
        device: Where the backend runs.
        batch: Samples in one inference.
        root: Where ``proc``, ``sys`` and ``etc`` are.
    """
    # The cores that this process may use: a container or taskset may allow fewer than there are.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    board = jetson.model(root)
    emc_max_mhz = jetson.emc_max_mhz(root) if board else None
    gpu = _gpu(root) if device == "gpu" else None  # a Jetson's driver lists none: its board's name stands for it
    return Conditions(
        target=board or WORKSTATION,
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
    """Describe this machine's present state for people.

    Args:
        root: Where ``proc``, ``sys``, ``etc`` and ``var`` are.

    Returns:
        Name → a value, or "unavailable: " and the reason. "L4T", "power mode" and "TPC mask" on a Jetson only.
    """
    limits_mhz = clock_limits_mhz(root)
    temperatures = ", ".join(f"{name} {value_c:.1f} °C" for name, value_c in temperatures_c(root).items())
    found = {
        "governor": _governor(root)
        or _unavailable("no /sys/devices/system/cpu/*/cpufreq (virtual machines have none)"),
        "clocks": _clocks(limits_mhz) or _unavailable("the kernel reports no frequency of CPU or GPU"),
        "temperature": temperatures or _unavailable("no zone of /sys/class/thermal answers"),
    }
    if jetson.model(root) is None:
        return found
    mode, reason = jetson.mode(root)
    mode_parts = [mode.name if mode else _unavailable(reason), jetson.power_mode_warning(root)]
    mask = jetson.tpc_mask(root)
    board = {
        "L4T": jetson.l4t(root) or _unavailable("no /etc/nv_tegra_release; mount it into the container"),
        "power mode": " · ".join(filter(None, mode_parts)),
        "TPC mask": _unavailable("the GPU's driver has none")
        if mask is None
        else f"{mask} (a bit set is a TPC switched off)",
    }
    return board | found


def _unavailable(reason: str) -> str:
    return f"unavailable: {reason}"


def _clocks(limits_mhz: Mapping[str, float]) -> str:
    """Describe the range of each clock; "" if there is none."""
    ranges = []
    for unit in dict.fromkeys(name.partition("_")[0] for name in limits_mhz):  # "cpu0", "cpu4", "gpu", in order
        low_mhz, high_mhz = limits_mhz.get(f"{unit}_min"), limits_mhz.get(f"{unit}_max")
        if low_mhz is not None and high_mhz is not None:
            ranges.append(f"{unit} {low_mhz:g} to {high_mhz:g} MHz")
        else:
            ranges.append(f"{unit} limit partly unavailable")
    is_unpinned = ranges and not pinned_mhz(dict(limits_mhz))
    return ", ".join(ranges) + ("; none is pinned" if is_unpinned else "")


def _cpu(root: Path) -> str | None:
    fields: dict[str, str] = {}
    for line in text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        # The file repeats its keys for every core; the first core's count.
        fields.setdefault(key.strip().lower(), value.strip())
    if name := fields.get("model name") or fields.get("hardware"):
        return " ".join(name.split())
    # Arm kernels give numbers only: 0x41 is Arm, 0xd42 the Cortex-A78AE.
    part = fields.get("cpu part")
    return f"Arm implementer {fields.get('cpu implementer', '?')} part {part}" if part else None


def _gpu(root: Path) -> str | None:
    """Return the model of the first GPU that the NVIDIA driver lists."""
    for path in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        for line in text(path).splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "Model":
                return value.strip()
    return None


def _governor(root: Path) -> str | None:
    """Return the CPU frequency governor, several joined by "+"; None if unavailable."""
    paths = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return "+".join(sorted({name for path in paths if (name := text(path))})) or None
