"""Verdicts: on figures that scatter, on exact ones, on what is not known, and how often they are wrong."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from edgekd.core.errors import NotComparable, RecipeError
from edgekd.results.compare import energy_ratio, ratio
from edgekd.results.energy import Energy, EnergyWindow
from edgekd.results.gate import (
    ALPHA,
    PROCESSES,
    Check,
    Limits,
    Verdict,
    decide,
    judge_paired,
    judge_recorded,
    processes_needed,
)
from edgekd.results.layer_diff import blame
from edgekd.results.result import BenchmarkResult, Candidate, Run
from edgekd.results.statistics import sign_flip, two_level
from tests.unit.report.example_result import CONDITIONS, candidate, example

LATENCY = Limits(latency=0.03)


def timed(name: str, ms: float, *, processes: int = 7, scatter: float = 0.005, seed: int = 0, **changes) -> Candidate:
    """A candidate in several processes: each draws its own level, and blocks scatter around it."""
    rng = np.random.default_rng([seed, *name.encode()])
    runs = []
    for _ in range(processes):
        level = ms * 1e6 * np.exp(rng.normal(0, scatter))
        runs.append(Run(tuple(tuple(map(int, level * np.exp(rng.normal(0, scatter, 5)))) for _ in range(6)), 9))
    return replace(candidate("student", "fp32", ms, 37.0), name=name, runs=tuple(runs), **changes)


def paired(new_ms: float, limits: Limits = LATENCY, **changes) -> Verdict:
    result = example(candidates=(timed("old", 10.0), timed("new", new_ms, **changes)))
    return judge_paired(result, "new", "old", limits)


def beside(*candidates: Candidate, pace: float = 1.0, seed: int = 0, **changes) -> BenchmarkResult:
    """A result with a yardstick of 2 ms, on a machine that is ``pace`` times as slow as usual."""
    yard = timed("yard", 2.0 * pace, processes=len(candidates[0].runs), seed=seed)
    return example(candidates=candidates, yardstick=yard.runs, **changes)


def recorded(new_ms: float, limits: Limits = LATENCY, pace: float = 1.0, **changes) -> Verdict:
    old = beside(timed("net", 10.0, seed=1), seed=3)
    return judge_recorded(beside(timed("net", new_ms, seed=2, **changes), pace=pace, seed=4), old, limits)


@pytest.mark.parametrize("judge", [paired, recorded])
@pytest.mark.parametrize(("ms", "status", "code"), [(10.0, "pass", 0), (9.0, "pass", 0), (11.0, "regress", 1)])
def test_clear_cases(judge, ms, status, code):
    verdict = judge(ms)
    assert (verdict.status, verdict.exit_code) == (status, code)
    (check,) = verdict.checks
    assert check.processes == 7
    assert check.change == pytest.approx(ms / 10 - 1, abs=0.01)
    assert check.low < check.change < check.high
    assert check.needs is None
    assert check.new == pytest.approx(ms, rel=0.02)


@pytest.mark.parametrize("judge", [paired, recorded])
def test_scatter_that_hides_the_limit_is_inconclusive_and_says_what_would_tell(judge):
    verdict = judge(10.0 if judge is recorded else 10.2, scatter=0.05)
    assert (verdict.status, verdict.exit_code) == ("inconclusive", 4)
    (check,) = verdict.checks
    assert check.needs > 7
    assert verdict.needs == check.needs
    assert f"7 processes cannot tell; {check.needs} could" in check.why


def test_few_processes_never_regress():
    """Six that all point one way are 2^-6 = 1.6 %: the test cannot reach a hundredth."""
    result = example(candidates=(timed("old", 10.0, processes=6), timed("new", 20.0, processes=6)))
    verdict = judge_paired(result, "new", "old", LATENCY)
    assert verdict.status == "inconclusive"
    assert verdict.checks[0].p == 2**-6
    assert verdict.needs == 7


@pytest.mark.parametrize(
    ("change", "low", "high", "p", "status", "of_recorded"),
    [
        (0.05, 0.04, 0.06, 0.001, "regress", "regress"),
        (0.05, 0.02, 0.08, 0.001, "regress", "inconclusive"),  # different and larger, but not the whole interval
        (0.05, 0.04, 0.06, 0.02, "inconclusive", "inconclusive"),  # larger and not surely different
        (0.02, 0.01, 0.029, 0.001, "pass", "pass"),  # different and allowed
        (0.02, 0.01, 0.031, 0.5, "inconclusive", "inconclusive"),
        (0.03, 0.03, 0.03, 0.001, "pass", "pass"),  # the limit itself is allowed
        (0.05, 0.04, 0.06, ALPHA, "regress", "regress"),
        (-0.9, -0.95, -0.8, 1.0, "pass", "pass"),
        (0.05, 0.03, 0.06, 0.001, "regress", "inconclusive"),
    ],
)
def test_the_rule(change, low, high, p, status, of_recorded):
    assert decide(change, low, high, p, 0.03) == status
    assert decide(change, low, high, p, 0.03, recorded=True) == of_recorded


def test_how_many_processes_would_tell():
    # Four times as many halve the interval: from 0.02 + 0.02 to the limit, 0.03.
    assert processes_needed(0.02, 0.00, 0.04, 0.03, 10) == 40
    assert processes_needed(0.04, 0.02, 0.06, 0.03, 10) == 40
    assert processes_needed(0.02, 0.00, 0.04, 0.03, 4) == 16
    assert processes_needed(0.0, -0.001, 0.031, 0.03, 3) == 7  # the exact test needs seven
    assert processes_needed(0.0, -0.01, 0.0301, 0.03, 9) == 10  # one more than there are, at least
    assert processes_needed(0.03, 0.0, 0.06, 0.03, 10) is None
    assert processes_needed(0.0299, 0.0, 0.06, 0.03, 10) is None
    assert processes_needed(0.05, 0.05, 0.05, 0.03, 2) == 7
    assert processes_needed(0.02, -0.08, 0.04, 0.03, 10) == 40  # the side that the limit lies on counts
    assert processes_needed(0.04, 0.02, 0.14, 0.03, 10) == 40
    assert processes_needed(0.05, 0.04, 0.06, 0.03, 10) == 11  # narrow enough: it is the test that wants more
    assert processes_needed(0.02, 0.00, 0.0401, 0.03, 10) == 41  # 40.4
    assert processes_needed(0.0, -0.1, 0.1, 0.01, 10) == 1000
    assert processes_needed(0.0, -0.2, 0.2, 0.01, 10) is None
    assert processes_needed(0.03, 0.03, 0.05, 0.03, 10) is None
    assert processes_needed(0.03, 0.03, 0.03, 0.03, 2) == 7


@pytest.mark.parametrize(("processes", "few"), [(1, "1 process"), (2, "2 processes"), (3, "3 processes")])
def test_few_processes_are_counted_in_words(processes, few):
    sides = (timed(name, ms, processes=processes) for name, ms in (("old", 10.0), ("new", 11.0)))
    verdict = judge_paired(example(candidates=tuple(sides)), "new", "old", LATENCY)
    assert verdict.checks[0].why == f"{few} cannot tell; 7 could"


def test_one_process_is_never_passed():
    """Load address and memory layout are drawn once in each: another one may be as slow as it likes."""
    sides = [timed(name, ms, processes=1) for name, ms in (("old", 10.0), ("new", 5.0))]
    verdict = judge_paired(example(candidates=tuple(sides)), "new", "old", LATENCY)
    assert (verdict.status, verdict.needs) == ("inconclusive", 7)
    assert judge_recorded(beside(sides[0], seed=1), beside(sides[0], seed=2), LATENCY).status == "inconclusive"
    check = energy_check(with_energy("old", 50.0, windows=1), with_energy("new", 25.0, windows=1))
    assert (check.status, check.needs) == ("inconclusive", 7)
    sides = (timed(name, ms, processes=2) for name, ms in (("old", 10.0), ("new", 5.0)))
    assert judge_paired(example(candidates=tuple(sides)), "new", "old", LATENCY).status == "pass"
    check = energy_check(with_energy("old", 50.0, windows=2), with_energy("new", 25.0, windows=2))
    assert check.status == "pass"


def test_nothing_that_is_sane_would_tell():
    verdict = paired(10.3, limits=Limits(latency=paired(10.3).checks[0].change))
    (check,) = verdict.checks
    assert (check.status, check.needs, verdict.needs) == ("inconclusive", None, None)
    assert check.why == "7 processes cannot tell, nor could a thousand: the change is too near to the limit"


def unknown(metric: str, limit: float, old: float | None, new: float | None, missing: str, why: str = "") -> Check:
    """What is said of a figure that one side or both do not have."""
    why = why or f"{missing} engine's figure was not measured"
    return Check("new", metric, old, new, None, None, None, None, limit, "inconclusive", why=why)


def _sizes(**changes) -> Verdict:
    result = example(candidates=(timed("old", 10.0), timed("new", 10.0, **changes)))
    return judge_paired(result, "new", "old", Limits(peak_memory=0.05, engine_size=0.02, onnx_size=0.0))


def test_sizes_are_exact():
    assert _sizes().status == "pass"
    verdict = _sizes(engine_bytes=1_020_000, peak_memory_bytes=106_000_000)
    assert [check.status for check in verdict.checks] == ["regress", "pass", "pass"]
    more = 106_000_000 / 100_000_000 - 1
    assert verdict.checks[0] == Check("new", "peak_memory", 1e8, 1.06e8, more, more, more, None, 0.05, "regress")
    assert _sizes(onnx_bytes=796_001).status == "regress"


def test_what_was_not_measured_is_never_passed():
    verdict = _sizes(peak_memory_bytes=None)
    assert verdict.status == "inconclusive"
    assert verdict.checks[0] == unknown("peak_memory", 0.05, 100_000_000, None, "the new")
    sides = timed("old", 10.0, peak_memory_bytes=0), timed("new", 10.0)
    (check,) = judge_paired(example(candidates=sides), "new", "old", Limits(peak_memory=0.05)).checks
    assert check == unknown("peak_memory", 0.05, None, 100_000_000, "the accepted")


@pytest.mark.parametrize(
    ("old", "new", "missing"),
    [
        (None, math.nan, "the new and the accepted"),
        (33.0, None, "the new"),
        (math.inf, 33.0, "the accepted"),
    ],
)
def test_a_score_that_is_not_there_is_never_passed(old, new, missing):
    given = [{} if score is None else {"psnr_y_db": score} for score in (old, new)]
    sides = (timed(name, 1.0, accuracy=scores) for name, scores in zip(("old", "new"), given, strict=True))
    (check,) = judge_paired(example(candidates=tuple(sides)), "new", "old", Limits(accuracy=1.0)).checks
    finite = [score if score == 33.0 else None for score in (old, new)]
    assert check == unknown("accuracy", 1.0, *finite, missing)


def _scored(drop: float, noise: float = 0.01, pictures: int = 30, **changes) -> Check:
    rng = np.random.default_rng(0)
    old = rng.uniform(20, 40, pictures)
    new = old - drop + rng.normal(0, noise, pictures)
    sides = (
        timed(
            name,
            10.0,
            accuracy={"psnr_y_db": float(np.mean(scores))},
            accuracy_per_sample={"psnr_y_db": tuple(scores)},
        )
        for name, scores in (("old", old), ("new", new))
    )
    result = example(candidates=tuple(sides), **changes)
    return judge_paired(result, "new", "old", Limits(accuracy=0.1)).checks[0]


def test_accuracy_is_paired_by_picture():
    assert (_scored(0.0).status, _scored(0.0).why) == ("pass", "")
    check = _scored(0.2)
    assert check.status == "regress"
    assert check.change == pytest.approx(0.2, abs=0.01)
    assert check.p <= ALPHA
    assert check.high - check.low < 0.02  # pictures differ by 20 dB
    unsure = _scored(0.05, noise=0.9)
    assert unsure.status == "inconclusive"
    assert unsure.why == "30 pictures cannot tell; score more of them"
    assert unsure.needs is None


def test_accuracy_is_a_mean_over_pictures():
    old, new = (33.0, 30.0, 31.0, 35.0), (32.0, 30.0, 31.0, 30.0)
    sides = (
        timed(name, 10.0, accuracy={"psnr_y_db": float(np.mean(of))}, accuracy_per_sample={"psnr_y_db": of})
        for name, of in (("old", old), ("new", new))
    )
    (check,) = judge_paired(example(candidates=tuple(sides)), "new", "old", Limits(accuracy=0.1)).checks
    found = two_level([np.subtract(old, new)], np.mean)
    assert check == Check(
        *("new", "accuracy", 32.25, 30.75, 1.5, found.low, found.high, 0.25, 0.1, "inconclusive"),
        why="4 pictures cannot tell; score more of them",
    )


def test_a_figure_of_the_whole_set_is_what_it_is():
    check = _scored(0.2, set_metrics=("psnr_y_db",))
    assert check.change == pytest.approx(0.2, abs=0.01)
    same = (check.change,) * 3
    assert check == Check("new", "accuracy", check.old, check.old - check.change, *same, None, 0.1, "regress")
    assert _scored(0.05, noise=0.5, pictures=1).p is None
    assert _scored(0.05, noise=0.5, pictures=2).p is not None
    assert _scored(0.0, noise=0.0, set_metrics=("psnr_y_db",)).status == "pass"
    sides = (timed(name, 1.0, accuracy={"psnr_y_db": 33.0}, accuracy_per_sample={}) for name in ("old", "new"))
    (check,) = judge_paired(example(candidates=tuple(sides)), "new", "old", Limits(accuracy=0.1)).checks
    assert check == Check("new", "accuracy", 33.0, 33.0, 0.0, 0.0, 0.0, None, 0.1, "pass")


def test_every_timed_figure_has_its_own_reading():
    result = example(candidates=(timed("old", 10.0), timed("new", 12.0)))
    checks = judge_paired(result, "new", "old", Limits(latency=0.5, latency_p99=0.5, throughput=0.1)).checks
    assert [check.metric for check in checks] == ["latency", "latency_p99", "throughput"]
    assert [check.status for check in checks] == ["pass", "pass", "regress"]
    assert checks[2].old == pytest.approx(100, rel=0.02)
    assert checks[2].change == pytest.approx(0.2, abs=0.02)  # a fifth more time for each
    assert checks[1].old > checks[0].old


CENTERS = {"latency": np.median, "throughput": np.mean}


def logs(blocks, metric: str, seen) -> list[float]:
    """One figure a process: the center of the logs of its blocks."""
    return [float(CENTERS[metric](seen(np.log(of)))) for of in blocks]


@pytest.mark.parametrize("metric", CENTERS)
def test_a_paired_check_tells_what_it_rests_on(metric):
    """What both share in a process falls out of the interval."""
    rng = np.random.default_rng(5)
    shared = [np.exp(rng.normal(0, 0.2, (6, 1))) * np.exp(rng.normal(0, 0.004, (6, 3))) for _ in range(7)]

    def side(name, ms):
        own = np.random.default_rng([*name.encode()])
        blocks = [(1e6 * ms * of * np.exp(own.normal(0, 0.004, of.shape))).astype(int).tolist() for of in shared]
        return replace(timed(name, ms), runs=tuple(Run(tuple(map(tuple, of)), 0) for of in blocks))

    old, new = side("old", 10.0), side("new", 12.0)
    (check,) = judge_paired(example(candidates=(old, new)), "new", "old", Limits(**{metric: 0.03})).checks
    given = {"latency": "block_medians_ms", "throughput": "block_means_ms"}[metric]
    mine, theirs = getattr(new, given), getattr(old, given)
    found = [end - 1 for end in ratio(mine, theirs, paired=True, center=CENTERS[metric])]
    shown = {
        "latency": [of.percentile_ms(50) for of in (old, new)],
        "throughput": [of.throughput_per_s for of in (old, new)],
    }
    assert check == Check("new", metric, *shown[metric], *found, 2**-7, 0.03, "regress", 7, None, "")
    assert found[2] - found[1] < 0.02


@pytest.mark.parametrize("metric", CENTERS)
def test_a_recorded_check_tells_what_it_rests_on(metric):
    new, old = timed("net", 12.0, seed=2), timed("net", 10.0, seed=1)
    (check,) = judge_recorded(beside(new, seed=4), beside(old, seed=3), Limits(**{metric: 0.03})).checks
    given = {"latency": "block_medians_ms", "throughput": "block_means_ms"}[metric]
    mine, theirs = getattr(new, given), getattr(old, given)
    found = [end - 1 for end in ratio(mine, theirs, paired=False, center=CENTERS[metric])]
    assert (check.change, check.low, check.high) == tuple(found)
    assert (check.candidate, check.metric, check.processes, check.status) == ("net", metric, 7, "regress")
    assert check.p == pytest.approx(1 / 3432)  # 14 choose 7


@pytest.mark.parametrize(("judge", "limit", "status"), [(paired, 0.03, "regress"), (recorded, 0.037, "inconclusive")])
def test_larger_and_different_is_enough_in_turns_alone(judge, limit, status):
    """The interval reaches below the limit, though not below nothing."""
    verdict = judge(10.45, Limits(latency=limit), scatter=0.012)
    (check,) = verdict.checks
    assert check.p <= ALPHA
    assert check.low < check.limit < check.change
    assert (verdict.status, check.status) == (status, status)


def test_a_verdict_tells_whose_it_is():
    sides = example(candidates=(timed("old", 10.0), timed("new", 12.0)), notes=("a", "b"))
    verdict = judge_paired(sides, "new", "old", Limits(latency=0.03, throughput=0.03))
    assert (verdict.title, verdict.mode, verdict.notes) == ("edsr_from_edsr", "paired", ("a", "b"))
    assert verdict.blames == (blame(sides.candidates[1], sides.candidates[0]),)
    assert judge_paired(sides, "old", "new", LATENCY).blames == ()
    new, old = beside(timed("net", 12.0), notes=("c",)), beside(timed("net", 10.0))
    verdict = judge_recorded(new, old, LATENCY)
    assert (verdict.title, verdict.mode, verdict.notes) == ("edsr_from_edsr", "recorded", ("c",))
    assert verdict.blames == (blame(new.candidates[0], old.candidates[0]),)
    assert judge_recorded(new, old, Limits(accuracy=0.1)).status == "pass"


def test_an_outlier_in_each_process_moves_the_tail_alone():
    slow = timed("new", 10.0)
    runs = tuple(replace(run, blocks_ns=((99_000_000, *run.blocks_ns[0][1:]), *run.blocks_ns[1:])) for run in slow.runs)
    result = example(candidates=(timed("old", 10.0), replace(slow, runs=runs)))
    latency, tail = judge_paired(result, "new", "old", Limits(latency=0.03, latency_p99=0.03)).checks
    assert (latency.status, tail.status) == ("pass", "regress")


def test_the_tail_is_the_99th_percentile_and_not_the_slowest():
    runs = tuple(Run((*((10_000_000,) * 100,) * 2, (99_000_000, 10_000_000)), 0) for _ in range(8))
    slow = tuple(replace(run, blocks_ns=(*run.blocks_ns[:2], (99_000_000, 99_000_000))) for run in runs)
    slower = tuple(replace(run, blocks_ns=(*run.blocks_ns[:2], (99_000_000,) * 3)) for run in runs)
    old = replace(timed("old", 10.0), runs=runs)
    for given, change in ((runs, 0.0), (slow, 0.0)):
        result = example(candidates=(old, replace(old, name="new", runs=given)))
        (check,) = judge_paired(result, "new", "old", Limits(latency_p99=0.03)).checks
        assert (check.change, check.status) == (change, "pass")
    result = example(candidates=(old, replace(old, name="new", runs=slower)))
    (check,) = judge_paired(result, "new", "old", Limits(latency_p99=0.03)).checks
    assert (check.old, check.new, check.status) == (10.0, 99.0, "regress")
    assert check.change == pytest.approx(8.9)


def test_status_of_all_is_the_worst():
    def verdict(*statuses):
        return Verdict("t", "paired", tuple(replace(paired(10.0).checks[0], status=status) for status in statuses))

    assert verdict("pass", "pass").status == "pass"
    assert verdict("pass", "inconclusive").status == "inconclusive"
    assert verdict("inconclusive", "regress", "pass").status == "regress"
    text = verdict("pass", "regress").to_json()
    data = json.loads(text)
    assert (data["status"], data["needs"], data["mode"], len(data["checks"])) == ("regress", None, "paired", 2)
    assert text.startswith('{\n "status": "regress",\n "needs": null,\n "title"')


def test_what_cannot_be_compared_is_refused():
    short = timed("new", 10.0, processes=3)
    with pytest.raises(NotComparable, match="did not run the same rounds"):
        judge_paired(example(candidates=(timed("old", 10.0), short)), "new", "old", LATENCY)
    with pytest.raises(NotComparable, match="no candidate 'gone'"):
        judge_paired(example(), "gone", "teacher/fp32", LATENCY)
    with pytest.raises(NotComparable, match="the result is of other, the baseline of edsr"):
        judge_recorded(example(title="other"), example(), LATENCY)
    with pytest.raises(NotComparable, match="threads: 2 against 4"):
        judge_recorded(example(conditions=replace(CONDITIONS, threads=4)), example(), LATENCY)
    with pytest.raises(NotComparable, match="no candidate 'student/fp8'"):
        judge_recorded(example(), example(), LATENCY, ["student/fp8"])


@pytest.mark.parametrize(
    ("ms", "pace", "says"),
    [
        (10.8, 1.08, "pace changed by +"),  # the machine is slower, and the network no more than it
        (10.0, 0.90, "pace changed by -"),  # the machine is faster: the network ought to be
        (10.0, 1.10, ""),  # the machine is slower and the network is not: all the better
        (11.5, 0.95, ""),
    ],
)
def test_a_verdict_on_two_times_stands_where_the_yardstick_bears_it_out(ms, pace, says):
    verdict = recorded(ms, pace=pace)
    (check,) = verdict.checks
    assert check.change == pytest.approx(ms / 10 - 1, abs=0.01)  # what is shown is what was measured
    assert check.needs is None
    if says:
        assert verdict.status == "inconclusive"
        assert says in check.why
        new, old = beside(timed("net", ms, seed=2), pace=pace, seed=4), beside(timed("net", 10.0, seed=1), seed=3)
        yards = [timed("yard", 2.0 * of, seed=seed).block_medians_ms for of, seed in ((pace, 4), (1.0, 3))]
        nets = [side.candidates[0].block_medians_ms for side in (new, old)]
        machine, _, _ = ratio(*yards, paired=False)
        held = [[a / b for a, b in zip(net, yard, strict=True)] for net, yard in zip(nets, yards, strict=True)]
        value, low, high = (end - 1 for end in ratio(*held, paired=False))
        assert check.why == (
            f"the machine's own pace changed by {machine - 1:+.1%} between the two; held against it, the change is "
            f"{value:+.1%} ({low:+.1%} to {high:+.1%}): measure now with --against"
        )
    else:
        assert (verdict.status, check.why) == ("regress" if ms > 11 else "pass", "")


def test_held_against_the_machine_the_whole_interval_counts_too():
    """A tenth slower as measured, surely; held against yardsticks that scatter, it may be less than the limit."""
    results = [
        example(candidates=(timed("net", ms, seed=seed),), yardstick=timed("yard", 2.0, scatter=0.05, seed=yard).runs)
        for ms, seed, yard in ((11.0, 2, 0), (10.0, 1, 100))
    ]
    (check,) = judge_recorded(*results, LATENCY).checks
    assert check.low > check.limit
    assert check.status == "inconclusive"
    assert "held against it, the change is +8.1% (+1.8% to +14.1%)" in check.why


@pytest.mark.parametrize("without", ["new", "old", "a process", "the same one"])
def test_two_times_without_a_yardstick_for_both_tell_nothing(without):
    new, old = beside(timed("net", 10.0, seed=2)), beside(timed("net", 10.0, seed=1))
    if without == "new":
        new = replace(new, yardstick=())
    elif without == "old":
        old = replace(old, yardstick=())
    elif without == "the same one":
        old = replace(old, yardstick_sha256="a" * 64)
    else:
        new = replace(new, yardstick=new.yardstick[:-1])
    verdict = judge_recorded(new, old, LATENCY)
    assert verdict.status == "inconclusive"
    assert verdict.checks[0].why == (
        "nobody knows what the machine did between the two: they have no yardstick in common; record both again, "
        "or measure now with --against"
    )
    assert judge_recorded(new, old, Limits(engine_size=0.1)).status == "pass"  # bytes need none


def test_recorded_judges_all_shared_candidates_or_those_named():
    assert len(judge_recorded(example(), example(), LATENCY).checks) == 5
    (check,) = judge_recorded(example(), example(), LATENCY, ["student/int8"]).checks
    assert check.candidate == "student/int8"


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_limit_is_a_share(value):
    with pytest.raises(RecipeError, match=r"latency = .*; a number of 0 or more"):
        Limits(latency=value)


@pytest.mark.parametrize(("slowdown", "least", "most"), [(1.0, 0, 2), (1.05, 95, 100)])
def test_how_often_it_says_regress(slowdown, least, most):
    """100 trials with processes that scatter by 1 %: at no slowdown hardly ever, at 5 % nearly always."""
    limits = Limits(latency=0.01)
    said = 0
    for seed in range(100):
        drawn = {"seed": seed, "scatter": 0.01, "processes": PROCESSES}
        sides = (timed("old", 10.0, **drawn), timed("new", 10.0 * slowdown, **drawn))
        said += judge_paired(example(candidates=sides), "new", "old", limits).status == "regress"
    assert least <= said <= most


def with_energy(
    name: str, mj: float, *, windows: int = 8, scatter: float = 0.003, reader: str = "ina3221"
) -> Candidate:
    noise = np.random.default_rng([windows, *name.encode()]).normal(1, scatter, windows)
    given = tuple(EnergyWindow(100, 1.0, 0.5, {"VDD_IN": mj * n / 10}, {"VDD_IN": 1.0}, 99, 0.0, 0.0) for n in noise)
    return timed(name, 10.0, energy=Energy(reader, "", ("VDD_IN",), given))


def energy_check(old: Candidate, new: Candidate, **changes) -> Check:
    result = example(candidates=(old, new), **changes)
    (check,) = judge_paired(result, "new", "old", Limits(energy=0.03)).checks
    return check


@pytest.mark.parametrize(
    ("mj", "windows", "scatter", "status"),
    [
        (50.0, 8, 0.003, "pass"),
        (0.5, 8, 0.003, "pass"),
        (60.0, 8, 0.003, "regress"),
        (60.0, 3, 0.003, "inconclusive"),  # three pairs cannot reach the test's level
        (51.4, 8, 0.05, "inconclusive"),
    ],
)
def test_energy_has_a_limit(mj, windows, scatter, status):
    old, new = (
        with_energy(name, of, windows=windows, scatter=scatter)
        for name, of in (("old", 50.0 if mj > 1 else mj), ("new", mj))
    )
    check = energy_check(old, new)
    value, low, high = (end - 1 for end in energy_ratio(new.energy, old.energy, paired=True))
    p = sign_flip(np.log(new.energy.mj) - np.log(old.energy.mj))
    mean_mj = (float(np.mean(side.energy.mj)) for side in (old, new))
    needs = processes_needed(value, low, high, 0.03, windows) if status == "inconclusive" else None
    why = f"{windows} processes cannot tell; {needs} could" if needs else ""
    assert check == Check("new", "energy", *mean_mj, value, low, high, p, 0.03, status, windows, needs, why)
    if status == "regress":
        assert p == 2**-8
        assert value == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    "new", [with_energy("new", 60.0, reader="rapl"), with_energy("new", 0.0), with_energy("new", -1)]
)
def test_energies_that_have_no_ratio_are_inconclusive(new):
    check = energy_check(with_energy("old", 50.0), new)
    old_mj, new_mj = (float(np.mean(side.energy.mj)) for side in (with_energy("old", 50.0), new))
    why = "the two were read by different sensors, or a sensor read less than nothing"
    assert check == unknown("energy", 0.03, old_mj, new_mj, "", why)


def test_energies_of_unlike_windows_are_judged_unpaired():
    old, new = with_energy("old", 50.0, windows=8), with_energy("new", 51.5, windows=9, scatter=0.01)
    check = energy_check(old, new)
    assert (check.change, check.low, check.high) == tuple(
        end - 1 for end in energy_ratio(new.energy, old.energy, paired=False)
    )
    # Unpaired, the whole interval must be beyond the limit.
    assert check.p <= ALPHA
    assert check.low <= 0.03
    assert check.status != "regress"


def test_recorded_energy_is_judged_unpaired():
    old = example(candidates=(with_energy("net", 50.0),))
    (check,) = judge_recorded(example(candidates=(with_energy("net", 60.0),)), old, Limits(energy=0.03)).checks
    assert check.status == "regress"
    assert check.p == pytest.approx(1 / 12870)  # 16 choose 8


def test_recorded_energy_regresses_where_the_whole_interval_does():
    sides = [
        example(candidates=(replace(with_energy(name, mj, scatter=0.015), name="net"),))
        for name, mj in (("net2", 52.5), ("net", 50.0))
    ]
    (check,) = judge_recorded(*sides, Limits(energy=0.03)).checks
    assert check.p <= ALPHA
    assert check.low < check.limit < check.change
    assert check.status == "inconclusive"


def test_the_reason_that_energy_is_not_known_is_said():
    result = example(candidates=(timed("old", 10.0), timed("new", 10.0)), no_energy="no sensor")
    (check,) = judge_paired(result, "new", "old", Limits(energy=0.03)).checks
    why = "the new and the accepted engine's figure was not measured: no sensor"
    assert check == unknown("energy", 0.03, None, None, "", why)
    for missing in ("old", "new"):
        sides = [with_energy(name, 50.0) for name in ("old", "new")]
        figures = [None if side.name == missing else float(np.mean(side.energy.mj)) for side in sides]
        sides = [replace(side, energy=None) if side.name == missing else side for side in sides]
        of = {"old": "the accepted", "new": "the new"}[missing]
        assert energy_check(*sides) == unknown("energy", 0.03, *figures, of)


def test_without_a_sensor_energy_is_inconclusive():
    (check,) = paired(10.0, Limits(energy=0.03)).checks
    assert (check.status, check.why) == ("inconclusive", "the new and the accepted engine's figure was not measured")
