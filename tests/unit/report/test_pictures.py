"""Pictures for the page, and the PNG writer."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from edgekd.core.samples import Samples
from edgekd.report.pictures import Pictures, png
from tests.unit.report.example_result import agreeing, example, pictures


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


def test_filters_earn_their_keep():
    x, y = np.meshgrid(np.arange(128), np.arange(128))
    smooth = np.stack([x + y, x, y], axis=2).astype(np.uint8)
    assert len(png(smooth)) < 0.05 * smooth.nbytes


def test_one_picture_a_role_and_the_last_candidate_are_shown():
    shown = Pictures.of(pictures(), example()).samples
    assert list(shown) == ["cat", "cup"]
    assert [p.label for p in shown["cat"]] == ["bicubic", "teacher/fp32", "student/fp32", "student/int8", "original"]
    assert [p.score for p in shown["cup"]] == [34.1, 38.9, 38.2, 37.9, None]
    np.testing.assert_array_equal(shown["cup"][-1].image, pictures().truth[1])


def test_samples_of_one_name_are_both_kept():
    given = pictures()
    twice = Samples(given.inputs, ("cat", "cat"), "test", given.truth)
    assert list(Pictures.of(twice, example()).samples) == ["cat", "cat (2)"]


def test_without_truth_there_is_no_original():
    given = pictures()
    row = Pictures.of(Samples(given.inputs, given.names, "test"), example()).samples["cat"]
    assert row[-1].label == "student/int8"


def test_true_labels_are_called_truth_and_the_input_has_no_score():
    given = pictures()
    inputs = {"input": given.truth, "teacher/fp32": given.truth, "student/int8": given.truth}
    row = Pictures.of(Samples(inputs, given.names, "test", given.truth), agreeing()).samples["cat"]
    assert [(p.label, p.score) for p in row] == [
        ("input", None), ("teacher/fp32", None), ("student/int8", 0.81), ("truth", None),
    ]  # fmt: skip
