"""What this machine is, as far as it can change a figure. Never who it belongs to: no host name, no address."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from edgekd.bench import _jetson
from edgekd.bench._sysfs import clock_limits_mhz, text
from edgekd.bench.measure import CLOCK_NAME
from edgekd.core.family import version_of
from edgekd.core.result import Conditions

_GPU_BACKENDS = ("tensorrt", "tensorrt_rtx")


def observe(
    backend: str, libraries: Sequence[str], *, threads: int, batch: int, scenario: str, root: Path = Path("/")
) -> Conditions:
    """Note the conditions of a measurement on this machine.

    Args:
        backend: Which backend runs the engines.
        libraries: Distributions whose version can change a latency.
        threads: As given to ``Backend.open``; 0 stands for every core.
        batch: Samples in one inference.
        scenario: MLPerf's name.
        root: Where ``proc``, ``sys`` and ``etc`` lie.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    board = _jetson.model(root)
    emc_max_mhz = _jetson.emc_max_mhz(root) if board else None
    gpu = _gpu(root) if backend in _GPU_BACKENDS else None
    return Conditions(
        target=board or "workstation",
        processor=gpu or _cpu(root) or board or "unknown",
        backend=backend,
        libraries={library: version_of(library) or "unknown" for library in sorted(libraries)},
        threads=threads or cores,
        cores=cores,
        batch=batch,
        scenario=scenario,
        clock=CLOCK_NAME,
        governor=_governor(root),
        l4t=_jetson.l4t(root),
        power_mode=_jetson.power_mode(root),
        tpc_mask=_jetson.tpc_mask(root) if board else None,
        clock_limits_mhz=clock_limits_mhz(root) | ({"emc_max": emc_max_mhz} if emc_max_mhz else {}),
    )


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
