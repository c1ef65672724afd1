"""Verdicts of a gate, for the tests of every format that shows one."""

from __future__ import annotations

from dataclasses import replace

from edgekd.results.gate import judge_paired
from edgekd.results.layer_diff import LayerChange, LayerDiff
from edgekd.results.limits import Limits
from edgekd.results.verdict import Verdict
from tests.unit.report.example_result import example
from tests.unit.results.timed_candidates import timed

# A candidate's name with what XML, workflow commands and a terminal cannot take as it is.
AWKWARD_NAME = "net <&>::,%\n\x00"


def verdict(name: str = AWKWARD_NAME, **limits: float | None) -> Verdict:
    """Make a verdict of a candidate that is 20 % slower, as large as before, and whose memory is unknown."""
    new = replace(timed(name, 12.0), peak_memory_bytes=None)
    found = example(candidates=(timed("old", 10.0), new))
    asked = {"latency": 0.03, "engine_size": 0.0, "peak_memory": 0.05, **limits}
    return judge_paired(found, name, "old", Limits(**asked))


def layer_diff(**changes: object) -> LayerDiff:
    """Make a profile that shows where a candidate became slower; ``changes`` are fields to replace."""
    nodes = (
        LayerChange("body", "Conv", 4.0, 7.0, 3.0, 0.9, True),
        LayerChange("fused", "", None, 0.5, 0.5, 0.15, True),
        LayerChange("relu", "Relu", 0.5, None, -0.5, -0.15, False),
    )
    found = LayerDiff("net", nodes, 2, -0.1, 5.5, 8.5, 10.0, 13.0)
    return replace(found, **changes)  # type: ignore[arg-type]
