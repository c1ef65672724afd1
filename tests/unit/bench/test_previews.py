"""What is kept for people to look at, for outputs of every kind."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from edgekd.bench.previews import load_previews, previews_of, previews_path
from edgekd.core.samples import Sample
from edgekd.tasks import classification, segmentation, super_resolution

CLASSES = {"classes": ["sky", "road", "car"]}


def samples_of(targets=None, count=4, size=(16, 24)):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *size, 3), dtype=np.uint8)
    given = [None] * count if targets is None else targets
    return [Sample(str(i), {}, target, image) for i, (target, image) in enumerate(zip(given, images, strict=True))]


def test_labels_are_coloured_beside_the_input_and_the_target():
    target = np.random.default_rng(1).integers(0, 3, (4, 16, 24))
    outputs = {"teacher/fp32": list(target), "student/fp32": list(2 - target)}
    kept = previews_of(samples_of(target), outputs, segmentation, CLASSES, "test")
    assert list(kept.pictures) == ["input", "teacher/fp32", "student/fp32"]
    assert len(kept) == 4
    np.testing.assert_array_equal(kept.target, kept.pictures["teacher/fp32"])
    assert kept.target.dtype == np.uint8
    assert not np.array_equal(kept.target, kept.pictures["student/fp32"])


def test_the_legend_names_only_colours_that_occur(tmp_path):
    sky = np.zeros((16, 24), np.int64)
    kept = previews_of(samples_of([sky], count=1), {"a/fp32": [sky + 2]}, segmentation, CLASSES, "test")
    assert dict(kept.legend) == {"sky": tuple(kept.target[0, 0, 0]), "car": tuple(kept.pictures["a/fp32"][0, 0, 0])}
    kept.save(previews_path(tmp_path / "result.json"))
    assert load_previews(tmp_path / "result.json").legend == kept.legend


def test_classes_are_words_beside_one_image():
    outputs = {"teacher/fp32": [np.array([0.1, 0.8, 0.1], np.float32)] * 4}
    targets = [np.array(number) for number in (0, 1, 2, 0)]
    kept = previews_of(samples_of(targets), outputs, classification, CLASSES, "test")
    assert list(kept.pictures) == ["input"]
    assert kept.texts == {"teacher/fp32": ("road 80 %",) * 4, "target": ("sky", "road", "car", "sky")}
    without = previews_of(samples_of(), outputs, classification, CLASSES, "test")
    assert without.texts.keys() == {"teacher/fp32"}


def test_large_images_beside_words_are_subsampled():
    outputs = {"a": [np.array([1.0, 0, 0], np.float32)] * 4}
    kept = previews_of(samples_of(size=(16, 1030)), outputs, classification, CLASSES, "test")
    assert kept.pictures["input"].shape == (4, 6, 344, 3)


def test_enlarged_pictures_have_no_input_beside_them_and_large_ones_are_few():
    outputs = {"student/fp32": [np.full((800, 600, 3), 0.5, np.float32)] * 4}
    targets = np.zeros((4, 800, 600, 3), np.uint8)
    kept = previews_of(samples_of(targets, size=(400, 300)), outputs, super_resolution, {"scale": 2}, "test")
    assert list(kept.pictures) == ["student/fp32"]
    assert len(kept) == 1


def test_outputs_that_cannot_be_shown_are_left_out():
    assert previews_of(samples_of(), {"a": [np.zeros(3)] * 4}, SimpleNamespace(), {}, "test") is None


def test_a_result_of_another_name_has_previews_of_its_own(tmp_path):
    assert previews_path(tmp_path / "result.json").name == "pictures.npz"
    assert previews_path(tmp_path / "before.json").name == "before.pictures.npz"
    assert load_previews(tmp_path / "before.json") is None
