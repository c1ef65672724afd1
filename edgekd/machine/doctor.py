"""What is installed here: this machine, its sensors, and which backends load on it."""

from __future__ import annotations

import contextlib
import platform
from typing import Any

import numpy as np

from edgekd import __version__
from edgekd.core import family
from edgekd.core.config import BenchConfig
from edgekd.core.errors import EdgeKDError
from edgekd.core.protocols import PowerSource
from edgekd.machine import conditions, power


def doctor() -> dict[str, Any]:
    """Examine this machine and try to load every backend.

    Returns:
        Plain data: ``edgekd``, ``python``, ``numpy``, ``machine``, ``board`` (None if not a Jetson), ``processor``,
        ``cores``, ``governor``, ``state`` (see ``machine.conditions.state``), ``energy`` (sensor → {"why": None or the
        reason why it is missing, "description": what it measures}), and ``backends`` (name → {"loads": bool, "why":
        None or the reason why it does not load, "caveat": str, "versions": library → version}).
    """
    # The backend's name does not matter here: only what is observed of the machine is used.
    observed = conditions.observe(BenchConfig("null"), ())
    return {
        "edgekd": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "board": observed.target if observed.is_board else None,
        "processor": observed.processor,
        "cores": observed.cores,
        "governor": observed.governor,
        "state": conditions.state(),
        "energy": {name: _sensor_facts(found) for name, found in power.sensors().items()},
        "backends": {name: _backend_facts(name) for name in family.names("backends")},
    }


def _sensor_facts(found: PowerSource | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"why": found, "description": ""}
    with contextlib.closing(found):
        return {"why": None, "description": f"{found.description}; rails {', '.join(found.rails)}"}


def _backend_facts(name: str) -> dict[str, Any]:
    try:
        backend = family.load("backends", name).BACKEND
    except (EdgeKDError, ImportError, OSError) as err:  # OSError: one of the library's shared objects is missing
        return {"loads": False, "why": " ".join(str(err).split()), "caveat": "", "versions": {}}
    return {
        "loads": True,
        "why": None,
        "caveat": backend.caveat,
        "versions": {library: family.version_of(library) for library in backend.libraries},
    }
