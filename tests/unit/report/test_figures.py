"""The figures every format shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekd.report.figures import end_to_end, figures, mean_energy_mj, stage_shares
from edgekd.results.energy import Energy, EnergyWindow
from edgekd.results.result import StageTime
from tests.unit.report.example_result import bare, example, timed_end_to_end, timed_stages


def test_every_candidate_has_its_figures_in_order():
    rows = figures(example())
    assert [row.name for row in rows] == [candidate.name for candidate in example().candidates]
    for row, candidate in zip(rows, example().candidates, strict=True):
        assert row.p50_ms == candidate.percentile_ms(50)
        assert row.p50_ms <= row.p90_ms <= row.p95_ms <= row.p99_ms
        assert row.median_ms[0] <= np.median(candidate.latencies_ms) <= row.median_ms[1]
        assert row.throughput_interval_per_s[0] <= row.throughput_per_s <= row.throughput_interval_per_s[1]


def test_speed_ups_are_relative_to_the_first_candidate():
    first, *others = figures(example())
    assert first.speedup is None
    assert [round(row.speedup.value) for row in others] == [2, 5, 5, 10]


def test_the_strip_reaches_past_the_upper_fence_but_not_to_an_outlier():
    only = bare().candidates[0]
    (run,) = only.runs
    blocks = tuple((8_000_000 + i, 8_000_100 - i, 8_000_050) * 40 for i in range(4))
    slow = ((*blocks[0][:-1], 900_000_000), *blocks[1:])
    (row,) = figures(example(candidates=(replace(only, runs=(replace(run, blocks_ns=slow),)),)))
    assert row.spread.most == pytest.approx(900)
    assert row.strip_ms[1] < 9
    assert row.spread.above == 1


def test_a_score_that_no_chart_can_show_is_kept_apart():
    infinite = replace(example().candidates[0], accuracy={"psnr_y_db": float("inf")})
    (row,) = figures(example(candidates=(infinite,)))
    assert row.score == float("inf")
    assert row.score_shown is None
    (unscored,) = figures(bare())
    assert (unscored.score, unscored.score_shown) == (None, None)


def test_a_share_is_shown_in_percent():
    scored = replace(example().candidates[0], accuracy={"top1": 0.875})
    (row,) = figures(example(candidates=(scored,), primary_metric="top1"))
    assert (row.score, row.score_shown) == (0.875, 87.5)


def test_an_unknown_file_size_is_none():
    (row,) = figures(example(candidates=(replace(example().candidates[0], onnx_bytes=0),)))
    assert row.onnx_mib is None


def test_end_to_end_times_are_medians_of_each_stage():
    times = end_to_end(timed_end_to_end(2.0))
    assert [found.name for found in times] == ["teacher/fp32", "student/fp32"]
    student = times[1]
    assert student.medians_ms["preprocess"] == student.medians_ms["postprocess"] == 2.0
    assert student.medians_ms["end_to_end"] == pytest.approx(student.medians_ms["inference"] + 4)
    assert student.outside_share == pytest.approx(4 / 16, rel=0.01)


def test_end_to_end_speed_ups_are_relative_to_the_first_that_was_timed():
    teacher, student = end_to_end(timed_end_to_end(2.0))
    assert teacher.speedup is None
    assert student.speedup.value == pytest.approx(64 / 16, rel=0.02)
    assert student.speedup.low < student.speedup.value < student.speedup.high
    assert end_to_end(example()) == ()


def test_a_candidates_row_holds_its_end_to_end_times():
    rows = {row.name: row.end_to_end for row in figures(timed_end_to_end())}
    assert rows["student/fp32"].name == "student/fp32"
    assert rows["student/int8"] is None


def test_stages_share_the_runs_time():
    shares = stage_shares(timed_stages())
    assert [(stage.name, stage.seconds, stage.share) for stage in shares] == [
        ("distill", 90.0, 0.6), ("export", 7.5, 0.05), ("bench", 52.5, 0.35),
    ]  # fmt: skip
    assert stage_shares(example()) == ()


def test_stages_of_no_time_have_no_share():
    assert [stage.share for stage in stage_shares(example(stage_seconds=(StageTime("show", 0.0),)))] == [0.0]


def test_energy_is_the_mean_over_windows():
    window = EnergyWindow(100, 1.0, 0.5, {"cpu": 7.0}, {"cpu": 4.0}, 140, 0.0, 0.0)
    energy = Energy("rapl", "the package", ("cpu",), (window, replace(window, joules={"cpu": 9.0})))
    assert mean_energy_mj(replace(bare().candidates[0], energy=energy)) == pytest.approx(80)
    assert mean_energy_mj(bare().candidates[0]) is None
