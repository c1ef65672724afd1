"""A result whose every text tries to become markup or script."""

from __future__ import annotations

from dataclasses import replace

from edgekd.results.result import BenchmarkResult, StageTime
from tests.unit.report.example_result import example

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{data}}\"'&"


def hostile() -> BenchmarkResult:
    """Make the example with hostile names, engines, conditions, stages and notes."""
    result = example()
    candidates = [replace(c, name=f"{HOSTILE}{i}", role=f"{HOSTILE}{c.role}") for i, c in enumerate(result.candidates)]
    engines = [replace(row, candidate=HOSTILE, summary=HOSTILE, caveat=HOSTILE) for row in result.engines]
    return replace(
        result,
        title=HOSTILE,
        candidates=tuple(candidates),
        engines=tuple(engines),
        conditions=replace(result.conditions, processor=HOSTILE),
        steps=(HOSTILE,),
        notes=(HOSTILE,),
        stage_seconds=(StageTime(HOSTILE, 1.0),),
    )
