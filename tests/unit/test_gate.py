"""Verdicts: on figures that scatter, on exact ones, on what is not known, and how often they are wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edgekd.core.energy import Energy, EnergyWindow
from edgekd.core.errors import NotComparable, RecipeError
from edgekd.core.result import BenchmarkResult, Candidate, Run
from edgekd.gate import ALPHA, PROCESSES, Check, Limits, Verdict, decide, judge_paired, judge_recorded, processes_needed
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


def test_nothing_that_is_sane_would_tell():
    verdict = paired(10.3, limits=Limits(latency=paired(10.3).checks[0].change))
    (check,) = verdict.checks
    assert (check.status, check.needs, verdict.needs) == ("inconclusive", None, None)
    assert check.why == "7 processes cannot tell, nor could a thousand: the change is too near to the limit"


def _sizes(**changes) -> Verdict:
    result = example(candidates=(timed("old", 10.0), timed("new", 10.0, **changes)))
    return judge_paired(result, "new", "old", Limits(peak_memory=0.05, engine_size=0.02, onnx_size=0.0))


def test_sizes_are_exact():
    assert _sizes().status == "pass"
    verdict = _sizes(engine_bytes=1_020_000, peak_memory_bytes=106_000_000)
    assert [check.status for check in verdict.checks] == ["regress", "pass", "pass"]
    memory = verdict.checks[0]
    assert (memory.old, memory.new, memory.limit, memory.p) == (100_000_000, 106_000_000, 0.05, None)
    assert memory.low == memory.high == memory.change == pytest.approx(0.06)
    assert _sizes(onnx_bytes=796_001).status == "regress"


def test_what_was_not_measured_is_never_passed():
    verdict = _sizes(peak_memory_bytes=None)
    assert verdict.status == "inconclusive"
    assert verdict.checks[0].why == "the new engine's figure was not measured"
    assert verdict.checks[0].needs is None
    result = example(candidates=(timed("old", 1.0, accuracy={}), timed("new", 1.0, accuracy={"psnr_y_db": np.nan})))
    (check,) = judge_paired(result, "new", "old", Limits(accuracy=1.0)).checks
    assert (check.status, check.change, check.new) == ("inconclusive", None, None)
    assert check.why == "the new and the accepted engine's figure was not measured"


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
    assert _scored(0.0).status == "pass"
    check = _scored(0.2)
    assert check.status == "regress"
    assert check.change == pytest.approx(0.2, abs=0.01)
    assert check.p <= ALPHA
    assert check.high - check.low < 0.02  # pictures differ by 20 dB
    unsure = _scored(0.05, noise=0.9)
    assert unsure.status == "inconclusive"
    assert "30 pictures cannot tell" in unsure.why
    assert unsure.needs is None


def test_a_figure_of_the_whole_set_is_what_it_is():
    check = _scored(0.2, set_metrics=("psnr_y_db",))
    assert (check.status, check.p) == ("regress", None)
    assert check.change == pytest.approx(0.2, abs=0.01)
    assert _scored(0.05, noise=0.5, pictures=1).p is None
    assert _scored(0.0, noise=0.0, set_metrics=("psnr_y_db",)).status == "pass"


def test_every_timed_figure_has_its_own_reading():
    result = example(candidates=(timed("old", 10.0), timed("new", 12.0)))
    checks = judge_paired(result, "new", "old", Limits(latency=0.5, latency_p99=0.5, throughput=0.1)).checks
    assert [check.metric for check in checks] == ["latency", "latency_p99", "throughput"]
    assert [check.status for check in checks] == ["pass", "pass", "regress"]
    assert checks[2].old == pytest.approx(100, rel=0.02)
    assert checks[2].change == pytest.approx(0.2, abs=0.02)  # a fifth more time for each
    assert checks[1].old > checks[0].old


def test_an_outlier_in_each_process_moves_the_tail_alone():
    slow = timed("new", 10.0)
    runs = tuple(replace(run, blocks_ns=((99_000_000, *run.blocks_ns[0][1:]), *run.blocks_ns[1:])) for run in slow.runs)
    result = example(candidates=(timed("old", 10.0), replace(slow, runs=runs)))
    latency, tail = judge_paired(result, "new", "old", Limits(latency=0.03, latency_p99=0.03)).checks
    assert (latency.status, tail.status) == ("pass", "regress")


def test_status_of_all_is_the_worst():
    def verdict(*statuses):
        return Verdict("t", "paired", tuple(replace(paired(10.0).checks[0], status=status) for status in statuses))

    assert verdict("pass", "pass").status == "pass"
    assert verdict("pass", "inconclusive").status == "inconclusive"
    assert verdict("inconclusive", "regress", "pass").status == "regress"
    data = json.loads(verdict("pass", "regress").to_json())
    assert (data["status"], data["mode"], len(data["checks"])) == ("regress", "paired", 2)


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
        assert "held against it, the change is" in check.why
        assert check.why.endswith("measure now with --against")
    else:
        assert (verdict.status, check.why) == ("regress" if ms > 11 else "pass", "")


@pytest.mark.parametrize("without", ["new", "old", "a process"])
def test_two_times_without_a_yardstick_for_both_tell_nothing(without):
    new, old = beside(timed("net", 10.0, seed=2)), beside(timed("net", 10.0, seed=1))
    if without == "new":
        new = replace(new, yardstick=())
    elif without == "old":
        old = replace(old, yardstick=())
    else:
        new = replace(new, yardstick=new.yardstick[:-1])
    verdict = judge_recorded(new, old, LATENCY)
    assert verdict.status == "inconclusive"
    assert "one has no yardstick" in verdict.checks[0].why
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


@pytest.mark.parametrize(
    ("mj", "changes", "status"),
    [
        (50.0, {}, "pass"),
        (60.0, {}, "regress"),
        (60.0, {"windows": 3}, "inconclusive"),  # three pairs cannot reach the test's level
        (51.4, {"scatter": 0.05}, "inconclusive"),
        (60.0, {"reader": "rapl"}, "inconclusive"),
    ],
)
def test_energy_has_a_limit(mj, changes, status):
    old = with_energy("old", 50.0, windows=changes.get("windows", 8), scatter=changes.get("scatter", 0.003))
    result = example(candidates=(old, with_energy("new", mj, **changes)))
    verdict = judge_paired(result, "new", "old", Limits(energy=0.03))
    assert verdict.status == status
    (check,) = verdict.checks
    assert check.metric == "energy"
    assert check.old == pytest.approx(50.0, rel=0.05)
    if status == "regress":
        assert check.p == 2**-8
        assert check.change == pytest.approx(0.2, abs=0.01)
        assert check.processes == 8
    if "reader" in changes:
        assert "different sensors" in check.why


def test_recorded_energy_is_judged_unpaired():
    old = example(candidates=(with_energy("net", 50.0),))
    (check,) = judge_recorded(example(candidates=(with_energy("net", 60.0),)), old, Limits(energy=0.03)).checks
    assert check.status == "regress"
    assert check.p == pytest.approx(1 / 12870)  # 16 choose 8


def test_the_reason_that_energy_is_not_known_is_said():
    result = example(candidates=(timed("old", 10.0), timed("new", 10.0)), no_energy="no sensor")
    (check,) = judge_paired(result, "new", "old", Limits(energy=0.03)).checks
    assert check.why.endswith("figure was not measured: no sensor")


def test_without_a_sensor_energy_is_inconclusive():
    (check,) = paired(10.0, Limits(energy=0.03)).checks
    assert (check.status, check.why) == ("inconclusive", "the new and the accepted engine's figure was not measured")
