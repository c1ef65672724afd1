"""The gate: is a new engine worse than the accepted one by more than is allowed? Pass, regress, or inconclusive.

A figure regresses if it is *different*, by an exact test with one figure per process, **and** *larger than the limit*.
It passes if its 95 % interval ends below the limit. Otherwise the samples do not decide, and the check says how many
processes would.

Two modes. *Paired*: both engines are timed interleaved in the same processes, now, on this machine. Noise and drift
affect both alike, and the test flips signs. An inconclusive verdict is measured again in up to three interim analyses.
*Recorded*: each engine was measured in its own time. The test compares ranks, the whole interval must exceed the limit,
and a reference workload timed beside both shows what the machine did in between: a verdict stands only if it is the
same with and without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgekd.core.errors import NotComparable
from edgekd.results.checks import ALPHA, Pair, check_pair, decide, processes_needed
from edgekd.results.compare import Side, reference_workloads, require_alike
from edgekd.results.layer_diff import layer_diff
from edgekd.results.limits import Limits
from edgekd.results.result import BenchmarkResult
from edgekd.results.verdict import Check, Status, Verdict, publish_verdict, read_verdict

__all__ = [
    "ALPHA",
    "MAX_ANALYSES",
    "PROCESSES",
    "Check",
    "Limits",
    "Status",
    "Verdict",
    "decide",
    "judge_paired",
    "judge_recorded",
    "processes_needed",
    "publish_verdict",
    "read_verdict",
]

# One more than the fewest that can reach ALPHA.
PROCESSES = 8
# Interim analyses of an inconclusive verdict, each after as many processes more. Each is another chance of ALPHA to be
# wrong, so there are few.
MAX_ANALYSES = 3


def judge_paired(result: BenchmarkResult, new: str, old: str, limits: Limits) -> Verdict:
    """Judge two candidates of one result, which were timed interleaved.

    Args:
        result: Holds both.
        new: Name of the candidate that is judged.
        old: Name of the accepted one.
        limits: What is checked.

    Raises:
        NotComparable: A candidate is missing, or the two did not run the same rounds.
    """
    mine, other = result.candidate(new), result.candidate(old)
    if [len(blocks) for blocks in mine.kept_ns] != [len(blocks) for blocks in other.kept_ns]:
        raise NotComparable(f"{new} and {old} of {result.title} did not run the same rounds; measure them in one go")
    checks = check_pair(Pair(mine, other, result, paired=True), limits)
    verdict = Verdict(result.title, "paired", tuple(checks), result.notes)
    return replace(verdict, layer_diffs=(layer_diff(mine, other),)) if verdict.slower else verdict


def judge_recorded(
    result: BenchmarkResult, baseline: BenchmarkResult, limits: Limits, candidates: Sequence[str] = ()
) -> Verdict:
    """Judge a result by one that was recorded earlier.

    Args:
        result: The new one.
        baseline: The accepted one.
        limits: What is checked.
        candidates: Names of the candidates to judge; by default all that both results have.

    Raises:
        NotComparable: Conditions, inputs or pairs differ, or a candidate is missing.
    """
    if result.title != baseline.title:
        raise NotComparable(f"the result is of {result.title}, the baseline of {baseline.title}; give one of the same")
    require_alike(baseline, result)
    known = {candidate.name for candidate in baseline.candidates}
    names = candidates or [candidate.name for candidate in result.candidates if candidate.name in known]
    checks: list[Check] = []
    for name in names:
        new, old = result.candidate(name), baseline.candidate(name)
        references = reference_workloads(Side(result, new), Side(baseline, old))
        checks += check_pair(Pair(new, old, result, paired=False, references=references), limits)
    verdict = Verdict(result.title, "recorded", tuple(checks), result.notes)
    diffs = [layer_diff(result.candidate(name), baseline.candidate(name)) for name in verdict.slower]
    return replace(verdict, layer_diffs=tuple(diffs))
