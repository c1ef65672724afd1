"""Which pictures are shown, and the PNG writer."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgekd.core.previews import Previews
from edgekd.report.pictures import Pictures, png
from tests.unit.report.example_result import agreeing, example, previews


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (40, 33)])
@pytest.mark.parametrize("kind", ["noise", "flat", "ramp"])
def test_png_is_read_back_exactly(shape, kind):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    ramp = (np.arange(noise.size) % 251).astype(np.uint8).reshape(noise.shape)
    image = {"noise": noise, "flat": np.full_like(noise, 7), "ramp": ramp}[kind]
    with Image.open(io.BytesIO(png(image))) as found:
        found.load()
        assert found.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(found), image)


def test_filters_make_a_smooth_image_small():
    x, y = np.meshgrid(np.arange(128), np.arange(128))
    smooth = np.stack([x + y, x, y], axis=2).astype(np.uint8)
    assert len(png(smooth)) < 0.05 * smooth.nbytes


def test_the_first_of_each_role_and_the_last_candidate_are_shown():
    shown = Pictures.of(previews(), example()).samples
    assert list(shown) == ["cat", "cup"]
    assert [p.label for p in shown["cat"]] == ["bicubic", "teacher/fp32", "student/fp32", "student/int8", "original"]
    assert [p.score for p in shown["cup"]] == [34.1, 38.9, 38.2, 37.9, None]
    np.testing.assert_array_equal(shown["cup"][-1].image, previews().target[1])


def test_samples_of_one_name_are_both_kept():
    twice = replace(previews(), names=("cat", "cat"))
    assert list(Pictures.of(twice, example()).samples) == ["cat", "cat (2)"]


def test_without_ground_truth_there_is_no_original():
    row = Pictures.of(replace(previews(), target=None), example()).samples["cat"]
    assert row[-1].label == "student/int8"


def test_painted_labels_are_the_target_and_the_input_has_no_score():
    target = previews().target
    pictures = {"input": target, "teacher/fp32": target, "student/int8": target}
    row = Pictures.of(Previews(pictures, ("a", "b"), "test", target), agreeing()).samples["a"]
    assert [(p.label, p.score) for p in row] == [
        ("input", None), ("teacher/fp32", None), ("student/int8", 0.81), ("target", None),
    ]  # fmt: skip


def test_a_picture_that_was_not_scored_has_no_score():
    three = previews().target[[0, 1, 0]]
    shown = Pictures.of(Previews({"student/int8": three}, ("a", "b", "c"), "test"), example()).samples
    assert [row[0].score for row in shown.values()] == [35.9, 37.9, None]  # two samples were scored


def test_answers_in_words_follow_their_sample():
    texts = {"teacher/fp32": ("leaf", "oak"), "target": ("leaf", "elm")}
    shown = Pictures.of(replace(previews(), texts=texts), example())
    assert shown.answers["cup"] == (("teacher/fp32", "oak"), ("target", "elm"))
    assert Pictures.of(previews(), example()).answers == {}
