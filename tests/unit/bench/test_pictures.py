"""What is kept for people to look at, for answers of every kind."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from edgekd.bench.pictures import archive
from edgekd.core.samples import Samples
from edgekd.tasks import classification, segmentation, super_resolution

CLASSES = {"classes": ["sky", "road", "car"]}


def _samples(count=6, size=(16, 24), **fields):
    rng = np.random.default_rng(0)
    seen = rng.integers(0, 256, (count, *size, 3), dtype=np.uint8)
    names = tuple(str(index) for index in range(count))
    return Samples({"x": np.zeros((count, 1))}, names, "test", **{"seen": seen, **fields})


def test_labels_are_painted_beside_the_input_and_the_truth():
    truth = np.random.default_rng(1).integers(0, 3, (6, 16, 24))
    given = {"teacher/fp32": list(truth), "student/fp32": list(2 - truth)}
    kept = archive(_samples(truth=truth), given, segmentation, CLASSES)
    assert list(kept.inputs) == ["input", "teacher/fp32", "student/fp32"]
    assert len(kept) == 4
    np.testing.assert_array_equal(kept.truth, kept.inputs["teacher/fp32"])
    assert kept.truth.dtype == np.uint8
    assert not np.array_equal(kept.truth, kept.inputs["student/fp32"])


def test_the_legend_names_the_colours_that_occur_and_no_others(tmp_path):
    sky = np.zeros((16, 24), np.int64)
    kept = archive(_samples(count=1, truth=sky[None]), {"a/fp32": [sky + 2]}, segmentation, CLASSES)
    assert dict(kept.legend) == {"sky": tuple(kept.truth[0, 0, 0]), "car": tuple(kept.inputs["a/fp32"][0, 0, 0])}
    kept.save(tmp_path / "p.npz")
    assert Samples.load(tmp_path / "p.npz").legend == kept.legend


def test_classes_are_said_in_words_beside_one_picture():
    answers = [np.array([0.1, 0.8, 0.1], np.float32)] * 6
    kept = archive(_samples(truth=np.arange(6) % 3), {"teacher/fp32": answers}, classification, CLASSES)
    assert list(kept.inputs) == ["input"]
    assert kept.texts == {"teacher/fp32": ("road 80 %",) * 4, "truth": ("sky", "road", "car", "sky")}
    assert archive(_samples(), {"teacher/fp32": answers}, classification, CLASSES).texts.keys() == {"teacher/fp32"}


def test_an_enlarged_picture_does_not_stand_beside_its_input_and_large_ones_are_few():
    answers = [np.full((800, 600, 3), 0.5, np.float32)] * 6
    truth = np.zeros((6, 800, 600, 3), np.uint8)
    kept = archive(_samples(size=(400, 300), truth=truth), {"student/fp32": answers}, super_resolution, {"scale": 2})
    assert list(kept.inputs) == ["student/fp32"]
    assert len(kept) == 1


def test_answers_that_cannot_be_shown_are_not():
    assert archive(_samples(), {"a": [np.zeros(3)] * 6}, SimpleNamespace(), {}) is None


def test_texts_come_back_from_the_file(tmp_path):
    kept = archive(_samples(), {"a": [np.array([1.0, 0, 0])] * 6}, classification, CLASSES)
    kept.save(tmp_path / "p.npz")
    assert Samples.load(tmp_path / "p.npz").texts == kept.texts
