"""Checks of single figures: the rule, timed figures, exact ones, scores, energy, and figures that are missing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edgekd.core.errors import RecipeError
from edgekd.results.checks import ALPHA, decide, processes_needed
from edgekd.results.compare import energy_ratio, ratio
from edgekd.results.gate import Check, Limits, Verdict, judge_paired, judge_recorded
from edgekd.results.result import Run
from edgekd.results.statistics import hierarchical_bootstrap, sign_flip
from tests.unit.report.example_result import example
from tests.unit.results.timed_candidates import LATENCY, beside, energy_check, paired, recorded, timed, with_energy

# Figure → its property of a candidate, and what represents a process.
TIMED = {"latency": ("block_medians_ms", np.median), "throughput": ("block_means_ms", np.mean)}


@pytest.mark.parametrize(
    ("change", "low", "high", "p", "status", "recorded_status"),
    [
        (0.05, 0.04, 0.06, 0.001, "regress", "regress"),
        (0.05, 0.02, 0.08, 0.001, "regress", "inconclusive"),  # different and larger, but not the whole interval
        (0.05, 0.04, 0.06, 0.02, "inconclusive", "inconclusive"),  # larger, but not surely different
        (0.02, 0.01, 0.029, 0.001, "pass", "pass"),  # different, but allowed
        (0.02, 0.01, 0.031, 0.5, "inconclusive", "inconclusive"),
        (0.03, 0.03, 0.03, 0.001, "pass", "pass"),  # the limit itself is allowed
        (0.05, 0.04, 0.06, ALPHA, "regress", "regress"),
        (-0.9, -0.95, -0.8, 1.0, "pass", "pass"),
        (0.05, 0.03, 0.06, 0.001, "regress", "inconclusive"),
    ],
)
def test_the_rule(change, low, high, p, status, recorded_status):
    assert decide(change, low, high, p, 0.03) == status
    assert decide(change, low, high, p, 0.03, recorded=True) == recorded_status


@pytest.mark.parametrize(
    ("change", "low", "high", "limit", "processes", "needed"),
    [
        # Four times as many halve the interval: from 0.02 + 0.02 to the limit, 0.03.
        (0.02, 0.00, 0.04, 0.03, 10, 40),
        (0.04, 0.02, 0.06, 0.03, 10, 40),
        (0.02, 0.00, 0.04, 0.03, 4, 16),
        (0.0, -0.001, 0.031, 0.03, 3, 7),  # the exact test needs seven
        (0.0, -0.01, 0.0301, 0.03, 9, 10),  # at least one more than there are
        (0.03, 0.0, 0.06, 0.03, 10, None),
        (0.0299, 0.0, 0.06, 0.03, 10, None),
        (0.05, 0.05, 0.05, 0.03, 2, 7),
        (0.02, -0.08, 0.04, 0.03, 10, 40),  # only the end on the limit's side counts
        (0.04, 0.02, 0.14, 0.03, 10, 40),
        (0.05, 0.04, 0.06, 0.03, 10, 11),  # narrow enough: the test needs one more
        (0.02, 0.00, 0.0401, 0.03, 10, 41),  # 40.4
        (0.0, -0.1, 0.1, 0.01, 10, 1000),
        (0.0, -0.2, 0.2, 0.01, 10, None),
        (0.03, 0.03, 0.05, 0.03, 10, None),
        (0.03, 0.03, 0.03, 0.03, 2, 7),
    ],
)
def test_how_many_processes_would_decide(change, low, high, limit, processes, needed):
    assert processes_needed(change, low, high, limit, processes) == needed


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_limit_is_a_finite_share(value):
    with pytest.raises(RecipeError, match=r"latency = .* 0 or more"):
        Limits(latency=value)


def test_only_figures_with_a_limit_are_enabled():
    assert Limits().enabled() == {}
    assert Limits(accuracy=0.0, latency=0.03).enabled() == {"latency": 0.03, "accuracy": 0.0}


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_a_reason_counts_the_processes(processes):
    old, new = (timed(name, ms, processes=processes) for name, ms in (("old", 10.0), ("new", 11.0)))
    (check,) = judge_paired(example(candidates=(old, new)), "new", "old", LATENCY).checks
    assert (check.processes, check.processes_needed) == (processes, 7)
    counted = f"{processes} process{'es' if processes > 1 else ''} "
    assert check.reason.startswith(counted)
    assert "7" in check.reason


def test_a_change_at_the_limit_is_never_decided():
    verdict = paired(10.3, limits=Limits(latency=paired(10.3).checks[0].change))
    (check,) = verdict.checks
    assert (check.status, check.processes_needed, verdict.processes_needed) == ("inconclusive", None, None)
    assert "too close" in check.reason


def missing(metric: str, limit: float, old: float | None, new: float | None, reason: str) -> Check:
    """Make the check of a figure that a side does not have."""
    return Check("new", metric, old, new, None, None, None, None, limit, "inconclusive", reason=reason)


def assert_missing(check: Check, metric: str, limit: float, old: float | None, new: float | None) -> None:
    """Assert that a check is inconclusive, and that its reason names the side without a figure."""
    assert check == missing(metric, limit, old, new, check.reason)
    assert ("new" in check.reason, "accepted" in check.reason) == (new is None, old is None)


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


def test_a_size_that_was_not_measured_never_passes():
    verdict = _sizes(peak_memory_bytes=None)
    assert verdict.status == "inconclusive"
    assert_missing(verdict.checks[0], "peak_memory", 0.05, 100_000_000, None)
    sides = timed("old", 10.0, peak_memory_bytes=0), timed("new", 10.0)
    (check,) = judge_paired(example(candidates=sides), "new", "old", Limits(peak_memory=0.05)).checks
    assert_missing(check, "peak_memory", 0.05, None, 100_000_000)


@pytest.mark.parametrize(("old", "new"), [(None, math.nan), (33.0, None), (math.inf, 33.0)])
def test_a_score_that_is_missing_or_not_finite_never_passes(old, new):
    given = [{} if score is None else {"psnr_y_db": score} for score in (old, new)]
    sides = tuple(timed(name, 1.0, accuracy=scores) for name, scores in zip(("old", "new"), given, strict=True))
    (check,) = judge_paired(example(candidates=sides), "new", "old", Limits(accuracy=1.0)).checks
    finite = [score if score == 33.0 else None for score in (old, new)]
    assert_missing(check, "accuracy", 1.0, *finite)


def _scored(drop: float, noise: float = 0.01, images: int = 30, **changes) -> Check:
    """Check the score of a candidate that loses ``drop`` dB, give or take ``noise``, on every image."""
    rng = np.random.default_rng(0)
    old = rng.uniform(20, 40, images)
    new = old - drop + rng.normal(0, noise, images)
    sides = []
    for name, scores in (("old", old), ("new", new)):
        mean, each = {"psnr_y_db": float(np.mean(scores))}, {"psnr_y_db": tuple(scores)}
        sides.append(timed(name, 10.0, accuracy=mean, accuracy_per_sample=each))
    result = example(candidates=tuple(sides), **changes)
    return judge_paired(result, "new", "old", Limits(accuracy=0.1)).checks[0]


def test_accuracy_is_paired_by_image():
    assert (_scored(0.0).status, _scored(0.0).reason) == ("pass", "")
    check = _scored(0.2)
    assert check.status == "regress"
    assert check.change == pytest.approx(0.2, abs=0.01)
    assert check.p <= ALPHA
    assert check.high - check.low < 0.02  # although images differ by 20 dB
    unsure = _scored(0.05, noise=0.9)
    assert (unsure.status, unsure.processes_needed) == ("inconclusive", None)
    assert "30 images" in unsure.reason


def test_accuracy_is_a_mean_over_images():
    old, new = (33.0, 30.0, 31.0, 35.0), (32.0, 30.0, 31.0, 30.0)
    sides = tuple(
        timed(name, 10.0, accuracy={"psnr_y_db": float(np.mean(of))}, accuracy_per_sample={"psnr_y_db": of})
        for name, of in (("old", old), ("new", new))
    )
    (check,) = judge_paired(example(candidates=sides), "new", "old", Limits(accuracy=0.1)).checks
    found = hierarchical_bootstrap([np.subtract(old, new)], np.mean)
    assert (check.old, check.new, check.change) == (32.25, 30.75, 1.5)
    assert (check.low, check.high, check.p, check.status) == (found.low, found.high, 0.25, "inconclusive")


def test_a_metric_of_the_whole_set_is_exact():
    check = _scored(0.2, set_metrics=("psnr_y_db",))
    assert check.change == pytest.approx(0.2, abs=0.01)
    same = (check.change,) * 3
    assert check == Check("new", "accuracy", check.old, check.old - check.change, *same, None, 0.1, "regress")
    assert _scored(0.05, noise=0.5, images=1).p is None
    assert _scored(0.05, noise=0.5, images=2).p is not None
    assert _scored(0.0, noise=0.0, set_metrics=("psnr_y_db",)).status == "pass"
    sides = tuple(timed(name, 1.0, accuracy={"psnr_y_db": 33.0}, accuracy_per_sample={}) for name in ("old", "new"))
    (check,) = judge_paired(example(candidates=sides), "new", "old", Limits(accuracy=0.1)).checks
    assert check == Check("new", "accuracy", 33.0, 33.0, 0.0, 0.0, 0.0, None, 0.1, "pass")


def test_every_timed_figure_has_its_own_value():
    result = example(candidates=(timed("old", 10.0), timed("new", 12.0)))
    checks = judge_paired(result, "new", "old", Limits(latency=0.5, latency_p99=0.5, throughput=0.1)).checks
    assert [check.metric for check in checks] == ["latency", "latency_p99", "throughput"]
    assert [check.status for check in checks] == ["pass", "pass", "regress"]
    assert checks[2].old == pytest.approx(100, rel=0.02)
    assert checks[2].change == pytest.approx(0.2, abs=0.02)  # a fifth more time for each
    assert checks[1].old > checks[0].old


@pytest.mark.parametrize("metric", TIMED)
def test_a_paired_check_is_the_ratio_and_the_sign_test(metric):
    figures, center = TIMED[metric]
    rng = np.random.default_rng(5)
    # What the processes share falls out of a paired ratio.
    levels = np.exp(rng.normal(0, 0.2, 7))

    def side(name, ms):
        runs = []
        for level in levels:
            blocks = ms * 1e6 * level * np.exp(rng.normal(0, 0.005, (6, 5)))
            runs.append(Run(tuple(tuple(map(int, block)) for block in blocks), 0))
        return replace(timed(name, ms), runs=tuple(runs))

    old, new = side("old", 10.0), side("new", 12.0)
    (check,) = judge_paired(example(candidates=(old, new)), "new", "old", Limits(**{metric: 0.03})).checks
    found = [end - 1 for end in ratio(getattr(new, figures), getattr(old, figures), paired=True, center=center)]
    shown = {
        "latency": [of.percentile_ms(50) for of in (old, new)],
        "throughput": [of.throughput_per_s for of in (old, new)],
    }
    assert check == Check("new", metric, *shown[metric], *found, 2**-7, 0.03, "regress", 7, None, "")
    assert found[2] - found[1] < 0.02


@pytest.mark.parametrize("metric", TIMED)
def test_a_recorded_check_is_the_unpaired_ratio_and_the_rank_test(metric):
    figures, center = TIMED[metric]
    new, old = timed("net", 12.0, seed=2), timed("net", 10.0, seed=1)
    (check,) = judge_recorded(beside(new, seed=4), beside(old, seed=3), Limits(**{metric: 0.03})).checks
    found = [end - 1 for end in ratio(getattr(new, figures), getattr(old, figures), paired=False, center=center)]
    assert (check.change, check.low, check.high) == tuple(found)
    assert (check.candidate, check.metric, check.processes, check.status) == ("net", metric, 7, "regress")
    assert check.p == pytest.approx(1 / 3432)  # 14 choose 7


@pytest.mark.parametrize(("judge", "limit", "status"), [(paired, 0.03, "regress"), (recorded, 0.037, "inconclusive")])
def test_larger_and_different_is_enough_only_if_interleaved(judge, limit, status):
    """The interval reaches below the limit, though not below 0."""
    verdict = judge(10.45, Limits(latency=limit), scatter=0.012)
    (check,) = verdict.checks
    assert check.p <= ALPHA
    assert check.low < check.limit < check.change
    assert (verdict.status, check.status) == (status, status)


def test_an_outlier_in_each_process_changes_only_the_tail():
    slow = timed("new", 10.0)
    runs = tuple(replace(run, blocks_ns=((99_000_000, *run.blocks_ns[0][1:]), *run.blocks_ns[1:])) for run in slow.runs)
    result = example(candidates=(timed("old", 10.0), replace(slow, runs=runs)))
    latency, tail = judge_paired(result, "new", "old", Limits(latency=0.03, latency_p99=0.03)).checks
    assert (latency.status, tail.status) == ("pass", "regress")


@pytest.mark.parametrize(("slow", "change"), [(1, 0.0), (2, 0.0), (3, 8.9)])
def test_the_tail_is_the_99th_percentile_and_not_the_slowest(slow, change):
    """Of about 200 latencies two may be slow before the 99th percentile is."""
    calm = ((10_000_000,) * 100,) * 2
    old = replace(timed("old", 10.0), runs=tuple(Run((*calm, (99_000_000, 10_000_000)), 0) for _ in range(8)))
    runs = tuple(Run((*calm, (99_000_000,) * slow + (10_000_000,) * (2 - slow)), 0) for _ in range(8))
    result = example(candidates=(old, replace(old, name="new", runs=runs)))
    (check,) = judge_paired(result, "new", "old", Limits(latency_p99=0.03)).checks
    assert check.change == pytest.approx(change)
    assert check.status == ("regress" if change else "pass")


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
    old = with_energy("old", 50.0 if mj > 1 else mj, windows=windows, scatter=scatter)
    new = with_energy("new", mj, windows=windows, scatter=scatter)
    check = energy_check(old, new)
    value, low, high = (end - 1 for end in energy_ratio(new.energy, old.energy, paired=True))
    assert (check.change, check.low, check.high, check.status) == (value, low, high, status)
    assert check.p == sign_flip(np.log(new.energy.mj) - np.log(old.energy.mj))
    assert (check.old, check.new) == (np.mean(old.energy.mj), np.mean(new.energy.mj))
    assert check.processes == windows
    is_open = status == "inconclusive"
    assert check.processes_needed == (processes_needed(value, low, high, 0.03, windows) if is_open else None)
    assert bool(check.reason) == is_open
    if status == "regress":
        assert (check.p, value) == (2**-8, pytest.approx(0.2, abs=0.01))


def test_one_window_of_energy_is_never_decided():
    check = energy_check(with_energy("old", 50.0, windows=1), with_energy("new", 25.0, windows=1))
    assert (check.status, check.processes_needed) == ("inconclusive", 7)
    assert energy_check(with_energy("old", 50.0, windows=2), with_energy("new", 25.0, windows=2)).status == "pass"


@pytest.mark.parametrize(
    "new", [with_energy("new", 60.0, sensor="rapl"), with_energy("new", 0.0), with_energy("new", -1)]
)
def test_energies_without_a_ratio_are_inconclusive(new):
    old = with_energy("old", 50.0)
    check = energy_check(old, new)
    assert check == missing("energy", 0.03, np.mean(old.energy.mj), np.mean(new.energy.mj), check.reason)
    assert "sensor" in check.reason


def test_energies_of_unlike_windows_are_judged_unpaired():
    old, new = with_energy("old", 50.0, windows=8), with_energy("new", 51.5, windows=9, scatter=0.01)
    check = energy_check(old, new)
    found = tuple(end - 1 for end in energy_ratio(new.energy, old.energy, paired=False))
    assert (check.change, check.low, check.high) == found
    # Unpaired, the whole interval must exceed the limit.
    assert check.p <= ALPHA
    assert check.low <= 0.03
    assert check.status != "regress"


def test_recorded_energy_is_judged_unpaired():
    old = example(candidates=(with_energy("net", 50.0),))
    (check,) = judge_recorded(example(candidates=(with_energy("net", 60.0),)), old, Limits(energy=0.03)).checks
    assert check.status == "regress"
    assert check.p == pytest.approx(1 / 12870)  # 16 choose 8


def test_recorded_energy_regresses_only_if_the_whole_interval_does():
    new, old = with_energy("net2", 52.5, scatter=0.015), with_energy("net", 50.0, scatter=0.015)
    sides = [example(candidates=(replace(side, name="net"),)) for side in (new, old)]
    (check,) = judge_recorded(*sides, Limits(energy=0.03)).checks
    assert check.p <= ALPHA
    assert check.low < check.limit < check.change
    assert check.status == "inconclusive"


def test_missing_energy_names_the_side_and_the_result_s_reason():
    result = example(candidates=(timed("old", 10.0), timed("new", 10.0)), energy_unavailable="no RAPL counters")
    (check,) = judge_paired(result, "new", "old", Limits(energy=0.03)).checks
    assert_missing(check, "energy", 0.03, None, None)
    assert check.reason.endswith("no RAPL counters")
    for without in ("old", "new"):
        sides = [with_energy(name, 50.0) for name in ("old", "new")]
        figures = [None if side.name == without else float(np.mean(side.energy.mj)) for side in sides]
        sides = [replace(side, energy=None) if side.name == without else side for side in sides]
        assert_missing(energy_check(*sides), "energy", 0.03, *figures)
