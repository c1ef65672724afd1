"""The two modes of the gate, what each refuses, and how often a verdict is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekd.core.errors import NotComparable
from edgekd.results.compare import ratio
from edgekd.results.gate import PROCESSES, Limits, judge_paired, judge_recorded
from edgekd.results.layer_diff import layer_diff
from tests.unit.report.example_result import CONDITIONS, example
from tests.unit.results.timed_candidates import LATENCY, REFERENCE_MS, beside, paired, recorded, timed


@pytest.mark.parametrize("judge", [paired, recorded])
@pytest.mark.parametrize(("ms", "status", "code"), [(10.0, "pass", 0), (9.0, "pass", 0), (11.0, "regress", 1)])
def test_clear_cases(judge, ms, status, code):
    verdict = judge(ms)
    assert (verdict.status, verdict.exit_code) == (status, code)
    (check,) = verdict.checks
    assert check.processes == 7
    assert check.change == pytest.approx(ms / 10 - 1, abs=0.01)
    assert check.low < check.change < check.high
    assert (check.processes_needed, check.reason) == (None, "")
    assert check.new == pytest.approx(ms, rel=0.02)


@pytest.mark.parametrize("judge", [paired, recorded])
def test_scatter_that_hides_the_limit_is_inconclusive(judge):
    verdict = judge(10.0 if judge is recorded else 10.2, scatter=0.05)
    assert (verdict.status, verdict.exit_code) == ("inconclusive", 4)
    (check,) = verdict.checks
    assert check.processes_needed > 7
    assert verdict.processes_needed == check.processes_needed
    assert str(check.processes_needed) in check.reason


def test_few_processes_never_regress():
    """Six that all point one way are 2^-6 = 1.6 %: the test cannot reach a hundredth."""
    result = example(candidates=(timed("old", 10.0, processes=6), timed("new", 20.0, processes=6)))
    verdict = judge_paired(result, "new", "old", LATENCY)
    assert verdict.status == "inconclusive"
    assert verdict.checks[0].p == 2**-6
    assert verdict.processes_needed == 7


def test_one_process_never_passes():
    """Load address and memory layout are drawn once per process: another one may be much slower."""
    alone = [timed(name, ms, processes=1) for name, ms in (("old", 10.0), ("new", 5.0))]
    verdict = judge_paired(example(candidates=tuple(alone)), "new", "old", LATENCY)
    assert (verdict.status, verdict.processes_needed) == ("inconclusive", 7)
    assert judge_recorded(beside(alone[0], seed=1), beside(alone[0], seed=2), LATENCY).status == "inconclusive"
    two = tuple(timed(name, ms, processes=2) for name, ms in (("old", 10.0), ("new", 5.0)))
    assert judge_paired(example(candidates=two), "new", "old", LATENCY).status == "pass"


def test_a_verdict_carries_title_notes_and_the_layers_of_a_slower_candidate():
    sides = example(candidates=(timed("old", 10.0), timed("new", 12.0)), notes=("a", "b"))
    verdict = judge_paired(sides, "new", "old", Limits(latency=0.03, throughput=0.03))
    assert (verdict.title, verdict.mode, verdict.notes) == ("edsr_from_edsr", "paired", ("a", "b"))
    assert verdict.layer_diffs == (layer_diff(sides.candidates[1], sides.candidates[0]),)
    assert judge_paired(sides, "old", "new", LATENCY).layer_diffs == ()
    new, old = beside(timed("net", 12.0), notes=("c",)), beside(timed("net", 10.0))
    verdict = judge_recorded(new, old, LATENCY)
    assert (verdict.title, verdict.mode, verdict.notes) == ("edsr_from_edsr", "recorded", ("c",))
    assert verdict.layer_diffs == (layer_diff(new.candidates[0], old.candidates[0]),)
    assert judge_recorded(new, old, Limits(accuracy=0.1)).status == "pass"


def test_refused_comparisons():
    short = timed("new", 10.0, processes=3)
    with pytest.raises(NotComparable, match="same rounds"):
        judge_paired(example(candidates=(timed("old", 10.0), short)), "new", "old", LATENCY)
    with pytest.raises(NotComparable, match="no candidate 'gone'"):
        judge_paired(example(), "gone", "teacher/fp32", LATENCY)
    with pytest.raises(NotComparable, match=r"of other, .* of edsr_from_edsr"):
        judge_recorded(example(title="other"), example(), LATENCY)
    with pytest.raises(NotComparable, match="threads: 2 against 4"):
        judge_recorded(example(conditions=replace(CONDITIONS, threads=4)), example(), LATENCY)
    with pytest.raises(NotComparable, match="no candidate 'student/fp8'"):
        judge_recorded(example(), example(), LATENCY, ["student/fp8"])


def test_recorded_judges_all_shared_candidates_or_the_named_ones():
    assert len(judge_recorded(example(), example(), LATENCY).checks) == 5
    (check,) = judge_recorded(example(), example(), LATENCY, ["student/int8"]).checks
    assert check.candidate == "student/int8"


@pytest.mark.parametrize(
    ("ms", "pace", "status"),
    [
        (10.8, 1.08, "inconclusive"),  # the machine is slower, and the network no more than the machine
        (10.0, 0.90, "inconclusive"),  # the machine is faster, and the network is not
        (10.0, 1.10, "pass"),  # the machine is slower, and the network is not
        (11.5, 0.95, "regress"),
    ],
)
def test_a_recorded_verdict_needs_the_reference_workload_to_agree(ms, pace, status):
    verdict = recorded(ms, pace=pace)
    (check,) = verdict.checks
    assert verdict.status == status
    assert check.change == pytest.approx(ms / 10 - 1, abs=0.01)  # what is shown is what was measured
    assert check.processes_needed is None
    if status != "inconclusive":
        assert check.reason == ""
        return
    # The reason names the machine's change, and the change relative to it.
    new, old = timed("net", ms, seed=2).block_medians_ms, timed("net", 10.0, seed=1).block_medians_ms
    new_reference = timed("yard", REFERENCE_MS * pace, seed=4).block_medians_ms
    old_reference = timed("yard", REFERENCE_MS, seed=3).block_medians_ms
    machine, _, _ = ratio(new_reference, old_reference, paired=False)
    new_share = [a / b for a, b in zip(new, new_reference, strict=True)]
    old_share = [a / b for a, b in zip(old, old_reference, strict=True)]
    value, low, high = (end - 1 for end in ratio(new_share, old_share, paired=False))
    assert f"{machine - 1:+.1%}" in check.reason
    assert f"{value:+.1%} ({low:+.1%} to {high:+.1%})" in check.reason


def test_relative_to_the_reference_workload_the_whole_interval_counts_too():
    """A tenth slower as measured; relative to reference workloads that scatter it may be less than the limit."""
    results = []
    for ms, seed, reference_seed in ((11.0, 2, 0), (10.0, 1, 100)):
        reference = timed("yard", REFERENCE_MS, scatter=0.05, seed=reference_seed)
        results.append(example(candidates=(timed("net", ms, seed=seed),), reference_workload=reference.runs))
    (check,) = judge_recorded(*results, LATENCY).checks
    assert check.low > check.limit
    assert check.status == "inconclusive"
    assert "+8.1% (+1.8% to +14.1%)" in check.reason


@pytest.mark.parametrize("without", ["new", "old", "a process", "the same network"])
def test_without_a_common_reference_workload_times_are_not_judged(without):
    new, old = beside(timed("net", 10.0, seed=2)), beside(timed("net", 10.0, seed=1))
    if without == "new":
        new = replace(new, reference_workload=())
    elif without == "old":
        old = replace(old, reference_workload=())
    elif without == "the same network":
        old = replace(old, reference_workload_sha256="a" * 64)
    else:
        new = replace(new, reference_workload=new.reference_workload[:-1])
    verdict = judge_recorded(new, old, LATENCY)
    assert verdict.status == "inconclusive"
    assert "no reference workload in common" in verdict.checks[0].reason
    assert judge_recorded(new, old, Limits(engine_size=0.1)).status == "pass"  # sizes need none


@pytest.mark.parametrize(("slowdown", "least", "most"), [(1.0, 0, 2), (1.05, 95, 100)])
def test_how_often_a_verdict_says_regress(slowdown, least, most):
    """100 trials with processes that scatter by 1 %: without a slowdown hardly ever, at 5 % nearly always."""
    limits = Limits(latency=0.01)
    regressed = 0
    for seed in range(100):
        drawn = {"seed": seed, "scatter": 0.01, "processes": PROCESSES}
        sides = (timed("old", 10.0, **drawn), timed("new", 10.0 * slowdown, **drawn))
        regressed += judge_paired(example(candidates=sides), "new", "old", limits).status == "regress"
    assert least <= regressed <= most
