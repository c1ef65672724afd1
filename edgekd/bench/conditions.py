"""What this machine is, as far as it can change a figure. Never who it belongs to: no host name, no address."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from edgekd.bench.measure import CLOCK_NAME
from edgekd.core.family import version_of
from edgekd.core.result import Conditions
from edgekd.core.sections import BenchConfig

_GPU_BACKENDS = ("tensorrt", "tensorrt_rtx")


def observe(config: BenchConfig, libraries: Sequence[str], *, batch: int = 1, root: Path = Path("/")) -> Conditions:
    """Note the conditions of a measurement on this machine.

    Args:
        config: Backend, threads, scenario and streams.
        libraries: Distributions whose version can change a latency.
        batch: Samples in one inference.
        root: Where ``proc``, ``sys`` and ``etc`` lie.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    board = _board(root)
    gpu = _gpu(root) if config.backend in _GPU_BACKENDS else None
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
    )


def _board(root: Path) -> str | None:
    """Return the Jetson's own name for itself, or None on anything else."""
    model = _read(root / "proc/device-tree/model").rstrip("\0").strip()
    if any(word in model.lower() for word in ("jetson", "tegra")):
        return model
    return "Jetson" if _read(root / "etc/nv_tegra_release") else None


def _cpu(root: Path) -> str | None:
    fields: dict[str, str] = {}
    for line in _read(root / "proc/cpuinfo").splitlines():
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
        for line in _read(path).splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "Model":
                return value.strip()
    return None


def _governor(root: Path) -> str | None:
    """Return the CPU frequency governor, several joined by "+", or None where the machine does not tell."""
    paths = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return "+".join(sorted({name for path in paths if (name := _read(path).strip())})) or None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
