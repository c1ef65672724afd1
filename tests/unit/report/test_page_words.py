"""The words around the charts: what was compared and how, and the comparison at a glance."""

from __future__ import annotations

from dataclasses import replace

from edgekd.report.page_words import glance, setup
from tests.unit.report.example_result import agreeing, bare, example


def test_the_setup_says_what_was_compared_and_how():
    said = setup(example())
    assert said["Compared"] == "teacher/fp32, teacher/int8, student/fp32, student/fp16, student/int8"
    assert said["Machine"] == "workstation: Some CPU, 2 of 2 cores, governor not told by this machine"
    assert said["Software"] == "onnxruntime (onnxruntime 1.31.1), edgekd 0.1.0"
    assert said["Workload"] == "batch 1, single_stream (one inference after another), fed input 1x3x64x64"
    assert said["Timing"].startswith("one process, 12 rounds, in each of which every candidate took its turn; 60 inf")
    assert said["Warm-up"] == "20 inferences of each candidate discarded in each process; all had settled"
    assert said["Scored on"] == "2 samples; the truth is known"


def test_the_setup_hides_no_warm_up_that_did_not_settle():
    candidates = list(example().candidates)
    (run,) = candidates[1].runs
    candidates[1] = replace(candidates[1], runs=(run, replace(run, is_steady=False, warmup_iterations=31)))
    said = setup(example(candidates=tuple(candidates)))
    assert said["Timing"].startswith("2 fresh processes, 12 to 24 rounds")
    assert said["Warm-up"].startswith("20 to 31 inferences")
    assert said["Warm-up"].endswith("1 of 6 had not settled when their time ran out")


def test_agreement_is_never_called_truth():
    assert setup(agreeing())["Scored on"] == "2 samples; the answers of teacher/fp32 stand in for the truth"
    assert "Scored on" not in setup(bare())


def test_tiles_set_the_student_beside_the_teacher_at_one_precision():
    tiles = {tile.label: (tile.figure, tile.change) for tile in glance(example())}
    figure, change = tiles["Latency (p50)"]
    assert figure.startswith("59.")
    assert figure.endswith(" ms")
    assert change.endswith(") as fast")
    assert tiles["PSNR on Y"] == ("37.90 → 37.20 dB", "−0.70 dB")
    assert tiles["Parameters"] == ("1.37 M → 199 k", "6.88x smaller")
    assert tiles["Peak memory"] == ("95.4 → 95.4 MiB", "as large")


def test_agreement_is_named_in_its_tile():
    tiles = {tile.label: (tile.figure, tile.change) for tile in glance(agreeing())}
    assert tiles["mIoU agreement with teacher/fp32"] == ("100.00 → 84.00 %", "−16.00 points")


def test_one_candidate_alone_has_no_tiles():
    assert glance(bare()) == ()


def test_tiles_of_one_role_set_the_last_precision_beside_the_first():
    candidates = tuple(c for c in example().candidates if c.role == "teacher")
    tiles = {tile.label: tile.figure for tile in glance(example(candidates=candidates))}
    assert tiles["ONNX file"] == "5.23 → 1.31 MiB"
