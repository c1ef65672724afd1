"""Which nodes a slower engine spends the time in: its profile held against the accepted one's. It changes no verdict.

Nodes are the same where their names are. A library that fuses otherwise, or an export of a changed network, names nodes
anew: those are "gone" from the one engine and "new" in the other, each with all of its time. A node without a name is
called by its place in the graph, so one that was put in before it renames it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgekd.results.result import Candidate, NodeTime

_MOST = 5


@dataclass(frozen=True, slots=True)
class Moved:
    """One node in both profiles.

    Attributes:
        name, op: The new engine's words, or the accepted one's where the node is gone.
        old_ms, new_ms: Its medians; None where that engine has no such node.
        change_ms: New less old.
        share: Of the change of the profiles' sums; None where they did not grow.
        is_clear: Whether it changed by more than both profiles scatter (their MADs, added as squares).
    """

    name: str
    op: str
    old_ms: float | None
    new_ms: float | None
    change_ms: float
    share: float | None
    is_clear: bool


@dataclass(frozen=True, slots=True)
class Blame:
    """Where one candidate became slower.

    Attributes:
        candidate: Whose.
        moved: Nodes that moved furthest, up or down, the furthest first.
        others: How many nodes moved less than those.
        others_ms: By how much in sum.
        old_sum_ms, new_sum_ms: All nodes, with profiling on, which slows them.
        old_latency_ms, new_latency_ms: Measured medians, with profiling off.
        why: Why no node is named; "" where some are.
    """

    candidate: str
    moved: tuple[Moved, ...]
    others: int
    others_ms: float
    old_sum_ms: float
    new_sum_ms: float
    old_latency_ms: float
    new_latency_ms: float
    why: str = ""


def blame(new: Candidate, old: Candidate, most: int = _MOST) -> Blame:
    """Hold the new engine's profile against the accepted one's.

    Args:
        new: The slower one.
        old: The accepted one.
        most: How many nodes to name.
    """
    mine, theirs = _by_name(new), _by_name(old)
    latencies_ms = (old.percentile_ms(50), new.percentile_ms(50))
    missing = [f"the {side} engine" for side, of in (("accepted", theirs), ("new", mine)) if not of]
    if missing:
        why = f"there is no profile of {' or '.join(missing)}"
        return Blame(new.name, (), 0, 0.0, old.nodes_ms, new.nodes_ms, *latencies_ms, why)
    total_ms = new.nodes_ms - old.nodes_ms
    found = [_moved(mine.get(name), theirs.get(name), total_ms) for name in dict.fromkeys((*mine, *theirs))]
    found.sort(key=lambda node: -abs(node.change_ms))
    named = tuple(node for node in found[:most] if node.change_ms)
    rest = found[len(named) :]
    rest_ms = math.fsum(node.change_ms for node in rest)
    return Blame(new.name, named, len(rest), rest_ms, old.nodes_ms, new.nodes_ms, *latencies_ms)


def _by_name(candidate: Candidate) -> dict[str, NodeTime]:
    """Return one entry a name: nodes that share it are added up."""
    found: dict[str, NodeTime] = {}
    for node in candidate.nodes:
        same = found.get(node.name, NodeTime(node.name, node.op, 0.0, 0.0))
        mad_ms = math.hypot(node.mad_ms or 0.0, same.mad_ms or 0.0)
        found[node.name] = NodeTime(node.name, same.op, node.median_ms + same.median_ms, mad_ms)
    return found


def _moved(new: NodeTime | None, old: NodeTime | None, total_ms: float) -> Moved:
    node = new or old
    assert node is not None  # one of the two profiles named it
    new_ms, old_ms = (side.median_ms if side else None for side in (new, old))
    change_ms = (new_ms or 0.0) - (old_ms or 0.0)
    scatter_ms = math.hypot(*(side.mad_ms or 0.0 for side in (new, old) if side))
    share = change_ms / total_ms if total_ms > 0 else None
    return Moved(node.name, node.op, old_ms, new_ms, change_ms, share, abs(change_ms) > scatter_ms)
