"""The summary: every phrase follows from the figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekd.report.summary import sentences, summary
from edgekd.results.result import EngineRow
from tests.unit.report.example_result import CAVEAT, agreeing, bare, candidate, example, timed_end_to_end


def pair(student_ms=12.0, student_psnr=37.2, blocks=12, **changes):
    both = (
        candidate("teacher", "fp32", 60.0, 37.9, blocks=blocks),
        candidate("student", "fp32", student_ms, student_psnr, blocks=blocks),
    )
    return example(candidates=both, **{"engines": (), "baseline_accuracy": {}, **changes})


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({}, "faster than the teacher at FP32 and loses 0.70 dB PSNR on Y: 12."),
        ({"student_ms": 240.0}, "slower than the teacher"),
        ({"student_ms": 60.0}, "no measurable difference in speed from the teacher at FP32 ("),
        ({"blocks": 2}, "too few rounds"),
        ({"student_psnr": 38.1}, "gains 0.20 dB PSNR on Y"),
        ({"student_psnr": 37.9}, "keeps its PSNR on Y"),
        ({}, "199 k parameters instead of 1.37 M"),
        ({"baseline_accuracy": {"psnr_y_db": 33.6}}, "No-network baseline: 33.60 dB PSNR on Y"),
        ({"baseline_accuracy": {"psnr_y_db": 33.6}}, "3.60 to 4.30 dB above"),
        ({"baseline_accuracy": {"psnr_y_db": 40.0}}, "2.10 to 2.80 dB below it"),
        ({"baseline_accuracy": {"psnr_y_db": 37.5}}, "0.30 dB below to 0.40 dB above it"),
    ],
)
def test_student_relative_to_teacher(changes, phrase):
    assert phrase in summary(pair(**changes))


def test_candidates_of_one_score_have_one_distance_from_the_baseline():
    result = pair(student_psnr=37.9, baseline_accuracy={"psnr_y_db": 36.9})
    assert "the candidates are 1.00 dB above it" in summary(result)


def test_a_slower_student_gets_its_interval_inverted():
    text = sentences(pair(student_ms=240.0))[0]
    value, rest = text.split("is ")[1].split("x (")
    low, high = rest.split(")")[0].split("–")
    assert float(low) <= float(value) <= float(high)
    assert float(value) == pytest.approx(4, rel=0.05)


def test_precisions_of_the_last_role_are_compared_with_its_first():
    text = summary(example())
    assert "For the student, FP16 shows no measurable difference in speed from FP32" in text
    assert "INT8 is 2.0" in text
    assert "faster than FP32 and loses 0.30 dB PSNR on Y" in text


def test_an_int8_engine_that_runs_in_another_precision_is_named():
    engines = tuple(replace(row, backend="onnxruntime") for row in example().engines)
    facts = {"engine_convolutions": 37, "int8_convolutions": 0}
    none_in_int8 = tuple(replace(row, facts=facts) if row.facts else row for row in engines)
    assert "onnxruntime runs none of its 37 convolutions in INT8" in summary(example(engines=none_in_int8))
    assert "runs none" not in summary(example(engines=engines))


def test_engines_are_counted_with_their_caveat():
    text = summary(example())
    assert "tensorrt_rtx built 4 of 5 engines" in text
    assert "teacher/int8 33 of 37, student/int8 33 of 37" in text
    assert CAVEAT in text


def test_one_candidate_alone():
    assert summary(bare()).startswith("model/fp32 takes ")
    assert "inferences per second, on Some CPU." in summary(bare())


def test_candidates_with_nothing_in_common_are_introduced_by_the_first():
    teacher, _, _, _, student = example().candidates
    (first, *_) = sentences(example(candidates=(teacher, student)))
    assert first.startswith("teacher/fp32 takes ")


def test_a_metric_without_a_style_is_named_by_its_key():
    scored = tuple(replace(c, accuracy={"dice_score": a}) for c, a in zip(pair().candidates, (0.9, 0.85), strict=True))
    text = summary(replace(pair(), primary_metric="dice_score", candidates=scored))
    assert "loses 0.0500 dice score" in text


def test_an_engine_that_was_refused_is_not_counted_as_built():
    row = EngineRow("teacher/fp32", "tensorrt", False, "", "no driver")
    assert "tensorrt built 0 of 1 engines." in summary(pair(engines=(row,)))


def test_shares_are_percent_and_their_differences_points():
    scored = tuple(replace(c, accuracy={"top1": a}) for c, a in zip(pair().candidates, (0.9, 0.872), strict=True))
    text = summary(replace(pair(), primary_metric="top1", candidates=scored, baseline_accuracy={"top1": 0.5}))
    assert "loses 2.80 points top-1 accuracy" in text
    assert "50.00 % top-1 accuracy; the candidates are 37.20 to 40.00 points above it" in text


def test_agreement_is_never_called_accuracy():
    text = summary(agreeing())
    assert "reaches 84.00 % mIoU agreement with teacher/fp32 (not accuracy" in text
    assert "INT8 is 2.0" in text
    assert "loses 3.00 points mIoU agreement with teacher/fp32" in text
    assert "keeps its mIoU agreement with teacher/fp32" in text
    assert "accuracy" not in text.replace("not accuracy", "")


def test_time_outside_the_engine_is_named_where_it_is_much():
    text = summary(timed_end_to_end(2.0))
    assert "take 25 % of student/fp32's 16.0 ms end-to-end latency, which is 3.99x (3." in text
    assert "faster than teacher/fp32's." in text
    assert "end-to-end" not in summary(timed_end_to_end(0.5))


def test_the_first_candidate_has_no_end_to_end_speed_up():
    only = replace(timed_end_to_end(9.0), candidates=timed_end_to_end(9.0).candidates[:1])
    assert "take 23 % of teacher/fp32's 77.9 ms" in summary(only)
    assert "faster than" not in summary(only)


def test_a_query_of_several_samples_is_named():
    only = replace(bare().candidates[0], samples_per_query=8)
    text = summary(replace(bare(), candidates=(only,)))
    assert "ms for 8 samples (p50; p99 " in text
    assert "samples per second, on Some CPU." in text
