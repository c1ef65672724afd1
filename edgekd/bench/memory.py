"""Peak resident memory of a fresh process that only opens and runs one engine.

``python -m edgekd.bench.memory`` is that process; ``peak`` starts it and reads its one line of JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd.core.family import load
from edgekd.core.protocols import Feeds
from edgekd.core.samples import Samples
from edgekd.core.worker import ended, fresh_python, save_feeds

_RUNS = 3
_LIMIT_S = 600
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


def peak(backend: str, engine: Path, feeds: Feeds, threads: int = 0, *, proc: Path = _PROC) -> Memory:
    """Measure one engine in a process of its own.

    Args:
        backend: File of ``edgekd/backends/``.
        engine: What that backend built.
        feeds: Input name → array, as for ``Session.run``.
        threads: As for ``Backend.open``.
        proc: Where the kernel tells about processes.

    Returns:
        The two figures, or None for both with the reason.
    """
    with tempfile.TemporaryDirectory(prefix="edgekd-memory-") as folder:
        path = save_feeds(Path(folder) / "feeds.npz", [feeds])
        words = (f"--backend={backend}", f"--engine={engine}", f"--feeds={path}", f"--threads={threads}")
        try:
            command = fresh_python("edgekd.bench.memory", *words, f"--proc={proc}")
            child = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            return Memory(None, None, f"the measuring process did not end within {_LIMIT_S} s")
    return _answer(child)


def resident(proc: Path = _PROC) -> tuple[int, int] | None:
    """Return (resident set, its high-water mark) of this process in bytes, or None where the kernel does not tell."""
    try:
        lines = (proc / "self" / "status").read_text().splitlines()
    except OSError:
        return None
    fields = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    try:
        return int(fields["VmRSS"][0]) * 1024, int(fields["VmHWM"][0]) * 1024
    except (KeyError, IndexError, ValueError):
        return None


def main(argv: Sequence[str] | None = None) -> int:
    """Open one engine, run it, and write one line of JSON to stdout: the child's side of ``peak``."""
    parser = argparse.ArgumentParser(prog="python -m edgekd.bench.memory", description=__doc__)
    parser.add_argument("--backend", required=True)
    parser.add_argument("--engine", type=Path, required=True)
    parser.add_argument("--feeds", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--proc", type=Path, default=_PROC)
    args = parser.parse_args(argv)
    backend = load("backends", args.backend).BACKEND
    feeds = Samples.load(args.feeds).feeds(0)
    _forget_peak(args.proc)
    idle = resident(args.proc)
    session = backend.open(args.engine, threads=args.threads)
    try:
        for _ in range(_RUNS):
            session.run(feeds)
        after = resident(args.proc)
    finally:
        session.close()
    answer = {"idle_bytes": idle and idle[0], "peak_bytes": after and after[1]}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def _forget_peak(proc: Path) -> None:
    """Lower the high-water mark to now, so that importing the library does not count. Source: proc(5), clear_refs."""
    with contextlib.suppress(OSError):
        (proc / "self" / "clear_refs").write_text("5")


def _answer(child: subprocess.CompletedProcess[str]) -> Memory:
    lines = child.stdout.strip().splitlines()
    if child.returncode != 0 or not lines:
        return Memory(None, None, f"the measuring process {ended(child)}")
    try:
        data = json.loads(lines[-1])  # a library may have talked above it
        idle_bytes, peak_bytes = data["idle_bytes"], data["peak_bytes"]
    except (ValueError, TypeError, KeyError):
        return Memory(None, None, f"the measuring process said {lines[-1][:200]!r}, not its figures")
    if not idle_bytes or not peak_bytes:
        return Memory(None, None, "this system has no /proc/self/status with VmRSS and VmHWM")
    return Memory(int(idle_bytes), int(peak_bytes))


if __name__ == "__main__":
    sys.exit(main())
