"""Peak resident memory of a fresh process that only opens and runs one engine."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd.bench.candidate import Candidate
from edgekd.core import worker
from edgekd.core.errors import EdgeKDError
from edgekd.core.family import load

_INFERENCES = 2  # an arena may grow once more when an inference is repeated
_TIMEOUT_S = 600
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Memory:
    """What one engine's process held.

    Attributes:
        idle_bytes: Resident set with numpy, the engine library and the feeds loaded, before the engine was opened.
        peak_bytes: Largest resident set from there to the end of the last inference.
        reason: Why the two are None; "" where they are not.
    """

    idle_bytes: int | None
    peak_bytes: int | None
    reason: str = ""


def measure(candidate: Candidate, backend: str, threads: int = 0, *, proc: Path = _PROC) -> Memory:
    """Measure one engine in its own process.

    Args:
        candidate: With its feeds; the first inference of its query is run.
        backend: File of ``edgekd/backends/``.
        threads: As for ``Backend.open``.
        proc: Where the kernel shows processes.

    Returns:
        The two figures, or None for both with the reason.
    """
    plan = {"candidate": candidate.to_json(), "backend": backend, "threads": threads, "proc": str(proc)}
    try:
        found = worker.call(
            "edgekd.bench.memory:measure_here", plan, timeout_s=_TIMEOUT_S, name="the process that measures memory"
        )
    except EdgeKDError as err:
        return Memory(None, None, str(err))
    if not found["idle_bytes"] or not found["peak_bytes"]:
        return Memory(None, None, "this system has no /proc/self/status with VmRSS and VmHWM")
    return Memory(int(found["idle_bytes"]), int(found["peak_bytes"]))


def measure_here(plan: Mapping[str, Any]) -> dict[str, int | None]:
    """Open one engine and run it in this process: the child's side of ``measure``."""
    candidate, proc = Candidate.from_json(plan["candidate"]), Path(plan["proc"])
    backend = load("backends", plan["backend"]).BACKEND
    feeds = candidate.query()[0]
    _reset_peak(proc)
    idle = resident(proc)
    with contextlib.closing(backend.open(candidate.engine, threads=plan["threads"])) as session:
        for _ in range(_INFERENCES):
            session.run(feeds)
        after = resident(proc)
    return {"idle_bytes": idle and idle[0], "peak_bytes": after and after[1]}


def resident(proc: Path = _PROC) -> tuple[int, int] | None:
    """Return (resident set, its high-water mark) of this process in bytes, or None where the kernel shows neither."""
    try:
        lines = (proc / "self" / "status").read_text().splitlines()
    except OSError:
        return None
    fields = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    try:
        return int(fields["VmRSS"][0]) * 1024, int(fields["VmHWM"][0]) * 1024
    except (KeyError, IndexError, ValueError):
        return None


def _reset_peak(proc: Path) -> None:
    """Lower the high-water mark to now, so that importing the library does not count. Source: proc(5), clear_refs."""
    with contextlib.suppress(OSError):
        (proc / "self" / "clear_refs").write_text("5")
