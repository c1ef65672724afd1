"""The texts around the charts: the setup, and the comparison in tiles."""

from __future__ import annotations

from dataclasses import replace

from edgekd.report.page_words import setup, tiles
from tests.unit.report.example_result import CONDITIONS, agreeing, bare, example


def test_the_setup_names_what_was_compared_and_how():
    texts = setup(example())
    assert texts["Compared"] == "teacher/fp32, teacher/int8, student/fp32, student/fp16, student/int8"
    assert texts["Machine"] == "workstation: Some CPU, 2 of 2 cores"
    assert texts["CPU governor"] == "unavailable"
    assert texts["Software"] == "onnxruntime (onnxruntime 1.31.1), edgekd 0.1.0"
    assert texts["Workload"] == "batch 1, single_stream (one inference after another)"
    assert texts["Inputs"] == "input 1x3x64x64"
    assert texts["Timing"].startswith("one process, 12 rounds, candidates timed interleaved (A B B A); 60 inf")
    assert texts["Warm-up"].startswith("20 inferences per candidate and process, discarded; latency was steady")
    assert texts["Accuracy"].startswith("2 samples; ")
    assert "ground truth" in texts["Accuracy"]


def test_a_governor_and_an_unknown_scenario_are_shown_as_they_are():
    texts = setup(example(conditions=replace(CONDITIONS, governor="schedutil", scenario="server")))
    assert texts["CPU governor"] == "schedutil"
    assert texts["Workload"] == "batch 1, server"


def test_one_candidate_alone_is_not_interleaved():
    assert "interleaved" not in setup(bare())["Timing"]


def test_the_setup_hides_no_warm_up_that_was_not_steady():
    candidates = list(example().candidates)
    (run,) = candidates[1].runs
    candidates[1] = replace(candidates[1], runs=(run, replace(run, is_steady=False, warmup_iterations=31)))
    texts = setup(example(candidates=tuple(candidates)))
    assert texts["Timing"].startswith("2 separate processes, 12 to 24 rounds")
    assert texts["Warm-up"].startswith("20 to 31 inferences")
    assert "1 of 6" in texts["Warm-up"]


def test_agreement_is_never_called_ground_truth():
    assert setup(agreeing())["Accuracy"].startswith("2 samples; agreement with teacher/fp32")
    assert "scored against" not in setup(agreeing())["Accuracy"]
    assert "Accuracy" not in setup(bare())


def test_tiles_set_the_student_beside_the_teacher_at_one_precision():
    found = {tile.label: (tile.figure, tile.change) for tile in tiles(example())}
    figure, change = found["Latency (p50)"]
    assert figure.startswith("59.")
    assert figure.endswith(" ms")
    assert change.endswith(") as fast")
    assert found["PSNR on Y"] == ("37.90 → 37.20 dB", "−0.70 dB")
    assert found["Parameters"] == ("1.37 M → 199 k", "6.88x smaller")
    assert found["Peak memory"] == ("95.4 → 95.4 MiB", "same size")


def test_a_larger_student_is_called_larger():
    first, *_ = example().candidates
    grown = replace(example().candidates[2], onnx_bytes=2 * first.onnx_bytes)
    found = {tile.label: tile.change for tile in tiles(example(candidates=(first, grown)))}
    assert found["ONNX file"] == "2.00x larger"


def test_agreement_is_named_in_its_tile():
    found = {tile.label: (tile.figure, tile.change) for tile in tiles(agreeing())}
    assert found["mIoU agreement with teacher/fp32"] == ("100.00 → 84.00 %", "−16.00 points")


def test_a_score_that_is_not_finite_has_no_tile():
    first, _, student, *_ = example().candidates
    student = replace(student, accuracy={"psnr_y_db": float("inf")})
    assert "PSNR on Y" not in {tile.label for tile in tiles(example(candidates=(first, student)))}


def test_one_candidate_alone_has_no_tiles():
    assert tiles(bare()) == ()


def test_tiles_of_one_role_set_the_last_precision_beside_the_first():
    candidates = tuple(c for c in example().candidates if c.role == "teacher")
    found = {tile.label: tile.figure for tile in tiles(example(candidates=candidates))}
    assert found["ONNX file"] == "5.23 → 1.31 MiB"
