"""Time per node: engines opened with their library's profiler on, in a fresh process that times nothing else.

Several engines run interleaved in it (A B B A), so that drift affects all of them alike. Profiling slows an engine: a
profile says where time goes, not how much.
"""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgekd.bench.candidate import Candidate
from edgekd.core import worker
from edgekd.core.errors import EdgeKDError
from edgekd.core.family import load
from edgekd.core.protocols import Feeds, NodeRuns, ProfiledSession, ProfilingBackend
from edgekd.core.schema import parse
from edgekd.results.result import NodeTime

# Half a second an engine, in rounds of equal length; the first inferences allocate and are left out.
_SHARE_MS, _ROUNDS, _INFERENCES_MIN, _INFERENCES_MAX, _WARMUPS = 500.0, 4, 4, 200, 2
_TIMEOUT_S = 600


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
    candidates: Sequence[Candidate], latencies_ms: Mapping[str, float], backend: str, threads: int = 0
) -> dict[str, Profile]:
    """Profile every candidate, interleaved, in one fresh process.

    Args:
        candidates: At least one, each with its feeds.
        latencies_ms: Key → roughly how long an inference takes: how many fit.
        backend: File of ``edgekd/backends/``.
        threads: As for ``Backend.open``.

    Returns:
        Key → nodes, or for all of them the reason why there are none.
    """
    if not isinstance(load("backends", backend).BACKEND, ProfilingBackend):
        return _without_nodes(candidates, f"{backend} times no nodes")
    plan = {
        "backend": backend,
        "threads": threads,
        "candidates": [candidate.to_json() for candidate in candidates],
        "block_lengths": [_block_length(latencies_ms[candidate.key]) for candidate in candidates],
    }
    try:
        found = worker.call(
            "edgekd.bench.profile:profile_here", plan, timeout_s=_TIMEOUT_S, name="the profiling process"
        )
    except EdgeKDError as err:
        return _without_nodes(candidates, str(err))
    profiles = {}
    for key, plain_nodes in found.items():
        nodes = tuple(parse(NodeTime, node, key) for node in plain_nodes)
        profiles[key] = Profile(nodes, "" if nodes else f"{backend} reported no node")
    return profiles


def profile_here(plan: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Profile the plan's engines in this process: the child's side of ``profile``."""
    backend = load("backends", plan["backend"]).BACKEND
    with contextlib.ExitStack() as stack:
        opened = []
        for plain, block_length in zip(plan["candidates"], plan["block_lengths"], strict=True):
            candidate = Candidate.from_json(plain)
            session: ProfiledSession = backend.open_profiled(candidate.engine, threads=plan["threads"])
            stack.callback(session.close)
            opened.append(_Opened(candidate.key, session, candidate.query()[0], block_length))
        return _run_interleaved(opened)


@dataclass(frozen=True, slots=True)
class _Opened:
    """An engine with its profiler on, what it is fed, and how many inferences make up one of its blocks."""

    key: str
    session: ProfiledSession
    feeds: Feeds
    block_length: int

    def run(self, count: int) -> None:
        for _ in range(count):
            self.session.run(self.feeds)


def _run_interleaved(opened: Sequence[_Opened]) -> dict[str, list[dict[str, Any]]]:
    """Run all blocks in balanced order and return the nodes as plain data."""
    for engine in opened:
        engine.run(_WARMUPS)
    order = list(opened)
    for _ in range(_ROUNDS):
        for engine in order:
            engine.run(engine.block_length)
        order.reverse()
    return {engine.key: [asdict(_median(node)) for node in engine.session.nodes()] for engine in opened}


def _median(node: NodeRuns) -> NodeTime:
    times_ms = node.times_ms[_WARMUPS:]
    median_ms = statistics.median(times_ms)
    mad_ms = statistics.median(abs(time_ms - median_ms) for time_ms in times_ms)
    return NodeTime(node.name, node.op, round(median_ms, 6), round(mad_ms, 6))


def _block_length(latency_ms: float) -> int:
    """Return how many inferences make up one of the rounds' blocks."""
    count = math.ceil(_SHARE_MS / max(latency_ms, 1e-6))
    return math.ceil(min(max(count, _INFERENCES_MIN), _INFERENCES_MAX) / _ROUNDS)


def _without_nodes(candidates: Sequence[Candidate], reason: str) -> dict[str, Profile]:
    return {candidate.key: Profile((), reason) for candidate in candidates}
