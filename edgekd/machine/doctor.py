"""What is here: this machine, its sensors, and which backends load on it."""

from __future__ import annotations

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
    """Find out what this machine is and which backends load on it.

    Returns:
        Plain data: ``edgekd``, ``python``, ``numpy``, ``machine``, ``board`` (None off one), ``processor``, ``cores``,
        ``state`` (what it tells of clocks, heat and power mode: name → a value, or why not), ``energy`` (reader →
        {"why": None or why not, "sees": what it sees}), and ``backends``: name → {"loads": bool, "why": None or the
        reason why not, "versions": library → version}.
    """
    seen = conditions.observe(BenchConfig("null"), ())
    return {
        "edgekd": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "board": None if seen.target == "workstation" else seen.target,
        "processor": seen.processor,
        "cores": seen.cores,
        "governor": seen.governor,
        "state": conditions.state(),
        "energy": {
            name: {"why": found, "sees": ""} if isinstance(found, str) else {"why": None, "sees": _closed(found)}
            for name, found in power.sensors().items()
        },
        "backends": {name: _backend_facts(name) for name in family.names("backends")},
    }


def _closed(source: PowerSource) -> str:
    source.close()
    return f"{source.sees}; rails {', '.join(source.rails)}"


def _backend_facts(name: str) -> dict[str, Any]:
    try:
        backend = family.load("backends", name).BACKEND
    except (EdgeKDError, ImportError, OSError) as err:  # OSError: a library whose own shared objects are missing
        return {"loads": False, "why": " ".join(str(err).split()), "versions": {}}
    return {
        "loads": True,
        "why": None,
        "notice": backend.notice,
        "versions": {library: family.version_of(library) for library in backend.libraries},
    }
