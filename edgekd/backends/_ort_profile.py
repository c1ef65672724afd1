"""onnxruntime's profile: a list of trace events, and from it the time of every node in every inference.

Source: onnxruntime's documentation, "Profiling Tools", and what 1.20 to 1.31 write: an event "model_run" an inference,
and inside it one "<node>_kernel_time" a node that ran, in whole microseconds, on one clock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from edgekd.core.protocols import NodeRuns

_CAST = "InsertedPrecisionFreeCast_"
_SUFFIX = "_kernel_time"
# Operators with a body, whose nodes have events of their own.
_HOLDERS = ("If", "Loop", "Scan", "SequenceMap")


def nodes_in_profile(events: Sequence[Mapping[str, Any]]) -> tuple[NodeRuns, ...]:
    """Read the events of one session.

    A node without a name is called by its operator and its place in the graph. An If or Loop is without what its body
    took; a node that did not run in an inference took 0 ms.
    """
    starts_us = sorted(int(event["ts"]) for event in events if event["name"] == "model_run")
    times_us: dict[tuple[str, str, str], list[int]] = {}
    for event, own_us in _own_times(event for event in events if event["name"].endswith(_SUFFIX)):
        run = bisect_right(starts_us, int(event["ts"])) - 1
        of = event["args"]
        # Half precision names a node anew, and the old name behind it tells which one of the network it is.
        node = (
            event["name"].removesuffix(_SUFFIX).removeprefix(_CAST),
            str(of.get("op_name", "")),
            str(of.get("node_index", "")),
        )
        if run >= 0:
            times_us.setdefault(node, [0] * len(starts_us))[run] += own_us
    return tuple(NodeRuns(name, op, tuple(us / 1e3 for us in runs)) for (name, op, _), runs in times_us.items())


def _own_times(nodes: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Yield each node with its time less that of the nodes that ran inside it, in the order they began."""
    ordered = sorted(nodes, key=lambda event: int(event["ts"]))
    own_us = [int(event["dur"]) for event in ordered]
    holders: list[int] = []
    for i, event in enumerate(ordered):
        end_us = int(event["ts"]) + int(event["dur"])
        while holders and _end_us(ordered[holders[-1]]) < end_us:
            holders.pop()
        if holders:
            own_us[holders[-1]] -= own_us[i]
        if event["args"].get("op_name") in _HOLDERS:
            holders.append(i)
    return zip(ordered, (max(us, 0) for us in own_us), strict=True)


def _end_us(event: Mapping[str, Any]) -> int:
    # Start and length are both cut to whole microseconds.
    return int(event["ts"]) + int(event["dur"]) + 2
