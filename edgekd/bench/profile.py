"""Time per node: engines opened with their library's profiler on, in a fresh process that times nothing else.

``python -m edgekd.bench.profile`` is that process; ``profile`` starts it. Several engines take turns in it (A B B A),
so that drift falls on all of them alike. A profile is slower than the engine: it says where time goes, not how much.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgekd.bench.processes import Entrant
from edgekd.core.artifact import read_json, write_atomic
from edgekd.core.errors import EdgeKDError
from edgekd.core.family import load
from edgekd.core.protocols import Feeds, NodeRuns, ProfiledSession
from edgekd.core.samples import Samples
from edgekd.core.schema import parse
from edgekd.core.worker import ended, fresh_python, save_feeds
from edgekd.results.result import NodeTime

# Half a second an engine, in rounds of equal length; the first inferences allocate and are left out.
_SHARE_MS, _ROUNDS, _LEAST, _MOST, _WARMUPS = 500.0, 4, 8, 200, 2
_LIMIT_S = 600


@dataclass(frozen=True, slots=True)
class Profile:
    """One engine's nodes.

    Attributes:
        nodes: In the engine's order.
        reason: Why there are none; "" where there are.
    """

    nodes: tuple[NodeTime, ...]
    reason: str = ""


def profile(
    backend: str, entrants: Sequence[Entrant], latencies_ms: Mapping[str, float], threads: int = 0
) -> dict[str, Profile]:
    """Profile every entrant, in turns, in one fresh process.

    Args:
        backend: File of ``edgekd/backends/``.
        entrants: At least one; names are unique.
        latencies_ms: Name → about how long an inference takes: how many fit.
        threads: As for ``Backend.open``.

    Returns:
        Name → nodes, or for all the reason why there are none.
    """
    if not hasattr(load("backends", backend).BACKEND, "open_profiled"):
        return _none(entrants, f"{backend} times no nodes")
    with tempfile.TemporaryDirectory(prefix="edgekd-profile-") as folder:
        plan, out = Path(folder) / "plan.json", Path(folder) / "out.json"
        planned = [
            _planned(entrant, latencies_ms[entrant.name], Path(folder) / f"feeds{i}.npz")
            for i, entrant in enumerate(entrants)
        ]
        write_atomic(plan, json.dumps({"backend": backend, "threads": threads, "entrants": planned}))
        words = fresh_python("edgekd.bench.profile", str(plan), str(out))
        try:
            child = subprocess.run(
                words, capture_output=True, text=True, errors="replace", timeout=_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return _none(entrants, f"the profiling process did not end within {_LIMIT_S} s")
        if child.returncode:
            return _none(entrants, f"the profiling process {ended(child)}")
        found: dict[str, list[Any]] = read_json(out)
    nodes = {name: tuple(parse(NodeTime, node, name) for node in given) for name, given in found.items()}
    return {name: Profile(of, "" if of else f"{backend} reported no node") for name, of in nodes.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Profile the plan's engines in this process and write their nodes: the child's side of ``profile``."""
    parser = argparse.ArgumentParser(prog="python -m edgekd.bench.profile", description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args(argv)
    plan = json.loads(args.plan.read_text())
    backend = load("backends", plan["backend"]).BACKEND
    with contextlib.ExitStack() as stack:
        turns = []
        try:
            for name, engine, feeds, block in plan["entrants"]:
                session: ProfiledSession = backend.open_profiled(Path(engine), threads=plan["threads"])
                stack.callback(session.close)
                turns.append((name, session, Samples.load(Path(feeds)).feeds(0), block))
            found = _take_turns(turns)
        except EdgeKDError as err:
            sys.stderr.write(" ".join(str(err).split()) + "\n")
            return err.exit_code
    write_atomic(args.out, json.dumps({name: [asdict(node) for node in nodes] for name, nodes in found.items()}))
    return 0


def _take_turns(turns: Sequence[tuple[str, ProfiledSession, Feeds, int]]) -> dict[str, list[NodeTime]]:
    """Run everyone's blocks in balanced order and return their nodes."""
    for _, session, feeds, _ in turns:
        for _ in range(_WARMUPS):
            session.run(feeds)
    order = list(turns)
    for _ in range(_ROUNDS):
        for _, session, feeds, block in order:
            for _ in range(block):
                session.run(feeds)
        order.reverse()
    return {name: [_median(node) for node in session.nodes()] for name, session, *_ in turns}


def _median(node: NodeRuns) -> NodeTime:
    times_ms = node.times_ms[_WARMUPS:]
    middle_ms = statistics.median(times_ms)
    mad_ms = statistics.median(abs(ms - middle_ms) for ms in times_ms)
    return NodeTime(node.name, node.op, round(middle_ms, 6), round(mad_ms, 6))


def _planned(entrant: Entrant, latency_ms: float, feeds: Path) -> tuple[str, str, str, int]:
    """Write an entrant's feeds; return (name, engine, feeds, inferences in a block) as a plan has them."""
    save_feeds(feeds, entrant.feeds[:1])
    count = min(max(math.ceil(_SHARE_MS / max(latency_ms, 1e-6)), _LEAST), _MOST)
    return entrant.name, str(entrant.engine.resolve()), str(feeds), math.ceil(count / _ROUNDS)


def _none(entrants: Sequence[Entrant], reason: str) -> dict[str, Profile]:
    return {entrant.name: Profile((), reason) for entrant in entrants}


if __name__ == "__main__":
    sys.exit(main())
