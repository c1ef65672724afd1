"""A new engine against the accepted one, measured interleaved now, with interim analyses until the verdict is clear.

Both engines share every process, so that noise and drift of the machine affect both. Where the verdict is still
inconclusive, more processes could settle it and the budget lasts, as many processes again are measured and the verdict
is worked out anew, ``gate.MAX_ANALYSES`` times at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgekd.bench import suite
from edgekd.bench.candidate import Candidate, backend_of, candidates_of
from edgekd.bench.plan import BenchPlan
from edgekd.core.artifact import Artifact
from edgekd.core.config import BenchConfig
from edgekd.core.errors import MachineError
from edgekd.core.reporter import Reporter
from edgekd.core.samples import SampleSource
from edgekd.results import gate
from edgekd.results.gate import Limits, Verdict
from edgekd.results.layer_diff import layer_diff
from edgekd.results.result import read_result

NEW, ACCEPTED = "new", "accepted"

# Engines that share every process need no reference workload, and the gate does not ask about end-to-end time.
# A minute is for all analyses together.
CONFIG = BenchConfig(processes=gate.PROCESSES, budget_s=60.0, end_to_end=False, reference_workload=False)


def run(
    engines: tuple[Artifact, Artifact],
    limits: Limits,
    config: BenchConfig,
    out: Path,
    reporter: Reporter,
    samples: SampleSource | None = None,
) -> Verdict:
    """Measure a new engine and the accepted one interleaved, and judge the new one.

    Only where time regressed are both engines profiled, to name the layers that became slower.

    Args:
        engines: (new, accepted), of one backend.
        limits: How much worse the new one may be.
        config: ``CONFIG``, or what changes of it.
        out: Where the raw result goes.
        reporter: Receives the progress.
        samples: What is fed, and scored where the limits ask about accuracy.

    Raises:
        NotComparable: The engines are of two backends.
        MachineError: An engine does not run here.
    """
    new, accepted = engines
    # The accepted one comes first: its outputs replace the ground truth where the samples have none.
    pair = [accepted, new]
    config = replace(config, backend=backend_of(pair))
    candidates = candidates_of(pair, keys=(ACCEPTED, NEW))
    plan = BenchPlan(new.path.stem, config, samples, samples, times_nodes=False)
    made = suite.run(candidates, plan, out, reporter)
    verdict = _analyse(candidates, plan, made, limits, reporter)
    if not verdict.slower:
        return verdict
    reporter.message("slower: timing both engines' nodes interleaved, with profiling on")
    result = suite.with_nodes(candidates, plan, read_result(out))
    return replace(verdict, layer_diffs=(layer_diff(result.candidate(NEW), result.candidate(ACCEPTED)),))


def _analyse(
    candidates: Sequence[Candidate], plan: BenchPlan, made: Artifact, limits: Limits, reporter: Reporter
) -> Verdict:
    """Judge, and measure more while the verdict is inconclusive, more could settle it, and the budget lasts."""
    analyses, config = 1, plan.config
    while True:
        verdict = gate.judge_paired(read_result(made.path), NEW, ACCEPTED, limits)
        settled = verdict.status != "inconclusive" or verdict.processes_needed is None
        if settled or analyses == gate.MAX_ANALYSES:
            return verdict
        spent_s = float(made.facts["timed_s"])
        left_s = config.budget_s - spent_s
        if left_s < spent_s / analyses:
            reporter.message(f"inconclusive, and {left_s:.0f} s of bench.budget_s are too few to measure more")
            return verdict
        analyses += 1
        reporter.message(
            f"inconclusive: analysis {analyses} of at most {gate.MAX_ANALYSES}, with {config.processes} more processes"
        )
        more = replace(plan, config=replace(config, budget_s=left_s))
        try:
            made = suite.extend(candidates, more, made, reporter)
        except MachineError as err:
            reporter.warning(f"the additional processes were lost: {err}")
            return verdict
