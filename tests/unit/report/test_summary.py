"""The verdict in words: every turn of phrase follows from the figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekd.report.summary import sentences, verdict
from edgekd.results.result import EngineRow
from tests.unit.report.example_result import NOTICE, agreeing, bare, candidate, example, staged


def pair(student_ms=12.0, student_psnr=37.2, blocks=12, **changes):
    both = (
        candidate("teacher", "fp32", 60.0, 37.9, blocks=blocks),
        candidate("student", "fp32", student_ms, student_psnr, blocks=blocks),
    )
    return example(candidates=both, **{"engines": (), "baseline_accuracy": {}, **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "faster than the teacher at FP32 and loses 0.70 dB PSNR on Y: 12."),
        ({"student_ms": 240.0}, "slower than the teacher"),
        ({"student_ms": 60.0}, "is as fast as the teacher at FP32, as far as these samples can tell ("),
        ({"blocks": 2}, "(too few rounds for an interval)"),
        ({"student_psnr": 38.1}, "and gains 0.20 dB PSNR on Y"),
        ({"student_psnr": 37.9}, "and keeps its PSNR on Y"),
        ({}, "199 k parameters instead of 1.37 M"),
        (
            {"baseline_accuracy": {"psnr_y_db": 33.6}},
            "scores 33.60 dB PSNR on Y; the candidates are 3.60 to 4.30 dB above",
        ),
        ({"baseline_accuracy": {"psnr_y_db": 40.0}}, "2.10 to 2.80 dB below it"),
        ({"baseline_accuracy": {"psnr_y_db": 37.5}}, "0.30 dB below to 0.40 dB above it"),
    ],
)
def test_student_against_teacher(changes, said):
    assert said in verdict(pair(**changes))


def test_a_slower_student_gets_its_interval_turned_round():
    text = sentences(pair(student_ms=240.0))[0]
    value, rest = text.split("is ")[1].split("x (")
    low, high = rest.split(")")[0].split("–")
    assert float(low) <= float(value) <= float(high)
    assert float(value) == pytest.approx(4, rel=0.05)


def test_precisions_of_the_last_role_are_held_against_its_first():
    text = verdict(example())
    assert "For the student, FP16 is as fast as FP32" in text
    assert "INT8 is 2.0" in text
    assert "faster than FP32 and loses 0.30 dB PSNR on Y" in text


def test_engines_are_counted_with_their_notice():
    text = verdict(example())
    assert "tensorrt_rtx built 4 of 5 engines" in text
    assert "teacher/int8 33 of 37, student/int8 33 of 37" in text
    assert NOTICE in text


def test_one_candidate_alone():
    assert verdict(bare()).startswith("model/fp32 takes ")
    assert "inferences per second, on Some CPU." in verdict(bare())


def test_a_metric_nobody_named_is_said_by_its_key():
    scored = tuple(replace(c, accuracy={"dice_score": a}) for c, a in zip(pair().candidates, (0.9, 0.85), strict=True))
    text = verdict(replace(pair(), primary_metric="dice_score", candidates=scored))
    assert "loses 0.0500 dice score" in text


def test_an_engine_that_was_refused_is_not_counted_as_built():
    row = EngineRow("teacher/fp32", "tensorrt", False, "", "no driver")
    assert "tensorrt built 0 of 1 engines." in verdict(pair(engines=(row,)))


def test_shares_are_percent_and_their_differences_points():
    scored = tuple(replace(c, accuracy={"top1": a}) for c, a in zip(pair().candidates, (0.9, 0.872), strict=True))
    text = verdict(replace(pair(), primary_metric="top1", candidates=scored, baseline_accuracy={"top1": 0.5}))
    assert "loses 2.80 points top-1 accuracy" in text
    assert "scores 50.00 % top-1 accuracy; the candidates are 37.20 to 40.00 points above it" in text


def test_agreement_is_never_called_accuracy():
    text = verdict(agreeing())
    assert "reaches 84.00 % mIoU agreement with teacher/fp32 (not accuracy: nobody knows the truth)" in text
    assert "INT8 is 2.0" in text
    assert "loses 3.00 points mIoU agreement with teacher/fp32" in text
    assert "keeps its mIoU agreement with teacher/fp32" in text
    assert "accuracy" not in text.replace("not accuracy", "")


def test_time_beside_the_engine_is_named_where_it_is_much():
    said = verdict(staged(2.0))
    assert "Preprocessing and postprocessing are 25% of student/fp32's time: it takes 16.0 ms from the picture" in said
    assert "from the picture to the answer and is 3.99x (3." in said
    assert "faster than teacher/fp32 end to end." in said
    assert "from the picture" not in verdict(staged(0.5))
    first = verdict(replace(staged(9.0), candidates=staged(9.0).candidates[:1]))
    assert "23% of teacher/fp32's time: it takes 77.9 ms" in first
    assert "faster than" not in first


def test_a_query_of_several_samples_is_said():
    only = replace(bare().candidates[0], samples_per_query=8)
    assert "ms for 8 samples (p50; p99 " in verdict(replace(bare(), candidates=(only,)))
    assert "samples per second, on Some CPU." in verdict(replace(bare(), candidates=(only,)))
