"""The time of every node in every inference, from the trace events of onnxruntime's profile.

Source: onnxruntime's documentation, "Profiling Tools", and the files that 1.20 to 1.31 write: one event "model_run" per
inference, and within it one "<node>_kernel_time" per node that ran, in whole microseconds on one clock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from edgekd.core.protocols import NodeRuns

# onnxruntime renames nodes that it converts to half precision; the network's name follows this prefix.
_CAST = "InsertedPrecisionFreeCast_"
_SUFFIX = "_kernel_time"
# Operators with a body whose nodes have events of their own.
_CONTAINERS = ("If", "Loop", "Scan", "SequenceMap")


def nodes_in_profile(events: Sequence[Mapping[str, Any]]) -> tuple[NodeRuns, ...]:
    """Return the nodes of one session with one time per inference.

    onnxruntime names an unnamed node by its operator and position. The time of an If or Loop excludes its body; a node
    that did not run in an inference took 0 ms.

    Args:
        events: The profile's trace events.
    """
    starts_us = sorted(int(event["ts"]) for event in events if event["name"] == "model_run")
    times_us: dict[tuple[str, str, str], list[int]] = {}
    for event, own_us in _own_times(event for event in events if event["name"].endswith(_SUFFIX)):
        run = bisect_right(starts_us, int(event["ts"])) - 1  # the last inference that began before it
        args = event["args"]
        node = (
            event["name"].removesuffix(_SUFFIX).removeprefix(_CAST),
            str(args.get("op_name", "")),
            str(args.get("node_index", "")),
        )
        if run >= 0:
            times_us.setdefault(node, [0] * len(starts_us))[run] += own_us
    return tuple(NodeRuns(name, op, tuple(us / 1e3 for us in runs)) for (name, op, _), runs in times_us.items())


def _own_times(nodes: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Return each node's event with its time minus that of the nodes inside it, ordered by start."""
    ordered = sorted(nodes, key=lambda event: int(event["ts"]))
    own_us = [int(event["dur"]) for event in ordered]
    open_containers: list[int] = []  # indices into ``ordered``, the innermost last
    for i, event in enumerate(ordered):
        end_us = int(event["ts"]) + int(event["dur"])
        while open_containers and _end_us(ordered[open_containers[-1]]) < end_us:
            open_containers.pop()
        if open_containers:
            own_us[open_containers[-1]] -= own_us[i]
        if event["args"].get("op_name") in _CONTAINERS:
            open_containers.append(i)
    return zip(ordered, (max(us, 0) for us in own_us), strict=True)


def _end_us(event: Mapping[str, Any]) -> int:
    # Start and duration are both truncated to whole microseconds: the end may be up to 2 us later than their sum.
    return int(event["ts"]) + int(event["dur"]) + 2
