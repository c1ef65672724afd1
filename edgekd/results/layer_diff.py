"""Which nodes of a slower engine take more time: its profile compared with the accepted engine's.

It explains a verdict and never changes one. Nodes are matched by name. A library that fuses differently, or an export
of a changed network, gives nodes new names: such nodes are "gone" from one engine and "new" in the other, each with all
of its time. A node without a name is called by its place in the graph, so inserting a node before it renames it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgekd.results.result import CandidateResult, NodeTime

_NODES_MAX = 5


@dataclass(frozen=True, slots=True)
class LayerChange:
    """One node in both profiles.

    Attributes:
        name, op: As the new engine's profile has them, or the accepted one's if the node is gone.
        old_ms, new_ms: Median times; None if that engine has no such node.
        change_ms: New minus old.
        share: Of the change of the profiles' sums; None if the sum did not grow.
        is_clear: Whether the change exceeds the scatter of both profiles (their MADs, added in squares).
    """

    name: str
    op: str
    old_ms: float | None
    new_ms: float | None
    change_ms: float
    share: float | None
    is_clear: bool


@dataclass(frozen=True, slots=True)
class LayerDiff:
    """Where one candidate became slower.

    Attributes:
        candidate: Name of the candidate.
        changes: Nodes that changed most, up or down, the largest change first.
        others: Number of remaining nodes.
        others_ms: Sum of their changes.
        old_sum_ms, new_sum_ms: Sum of all nodes. Profiling slows the engine, so this is not its latency.
        old_latency_ms, new_latency_ms: Median latency, measured without profiling.
        reason: Why no node is named; "" if some are.
    """

    candidate: str
    changes: tuple[LayerChange, ...]
    others: int
    others_ms: float
    old_sum_ms: float
    new_sum_ms: float
    old_latency_ms: float
    new_latency_ms: float
    reason: str = ""


def layer_diff(new: CandidateResult, old: CandidateResult, most: int = _NODES_MAX) -> LayerDiff:
    """Compare the new engine's profile with the accepted one's.

    Args:
        new: The slower one.
        old: The accepted one.
        most: How many nodes to name.
    """
    new_nodes, old_nodes = _by_name(new), _by_name(old)
    missing = []
    if not old_nodes:
        missing.append("the accepted engine")
    if not new_nodes:
        missing.append("the new engine")
    changes: list[LayerChange] = []
    if not missing:
        total_ms = new.nodes_ms - old.nodes_ms
        names = dict.fromkeys((*new_nodes, *old_nodes))
        changes = [_layer_change(new_nodes.get(name), old_nodes.get(name), total_ms) for name in names]
        changes.sort(key=lambda change: -abs(change.change_ms))
    named = tuple(change for change in changes[:most] if change.change_ms)
    rest = changes[len(named) :]
    return LayerDiff(
        candidate=new.name,
        changes=named,
        others=len(rest),
        others_ms=math.fsum(change.change_ms for change in rest),
        old_sum_ms=old.nodes_ms,
        new_sum_ms=new.nodes_ms,
        old_latency_ms=old.percentile_ms(50),
        new_latency_ms=new.percentile_ms(50),
        reason=f"there is no profile of {' or '.join(missing)}" if missing else "",
    )


def _by_name(candidate: CandidateResult) -> dict[str, NodeTime]:
    """Return name → node; nodes that share a name are added up."""
    found: dict[str, NodeTime] = {}
    for node in candidate.nodes:
        same = found.get(node.name, NodeTime(node.name, node.op, 0.0, 0.0))
        mad_ms = math.hypot(node.mad_ms or 0.0, same.mad_ms or 0.0)
        found[node.name] = NodeTime(node.name, same.op, node.median_ms + same.median_ms, mad_ms)
    return found


def _layer_change(new: NodeTime | None, old: NodeTime | None, total_ms: float) -> LayerChange:
    node = new or old
    assert node is not None  # the name is from one of the two profiles
    new_ms, old_ms = (side.median_ms if side else None for side in (new, old))
    change_ms = (new_ms or 0.0) - (old_ms or 0.0)
    scatter_ms = math.hypot(*(side.mad_ms or 0.0 for side in (new, old) if side))
    share = change_ms / total_ms if total_ms > 0 else None
    return LayerChange(node.name, node.op, old_ms, new_ms, change_ms, share, abs(change_ms) > scatter_ms)
