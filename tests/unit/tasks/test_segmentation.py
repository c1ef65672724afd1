"""Segmentation: preprocessing, labels, mIoU from one confusion matrix, and invalid input."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.core.errors import InputError
from edgekd.tasks import segmentation
from tests.contract import task_contract

OPTIONS = {"classes": 3}


def labels(*rows):
    return np.array(rows, np.int64)


def test_preprocess_normalises_each_channel() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    image[..., 1] = 255
    found = segmentation.preprocess(image, {"mean": [0.5, 0.25, 0.0], "std": [0.5, 0.25, 1.0]})
    assert found.shape == (3, 2, 3)
    assert found.dtype == np.float32
    assert found.flags["C_CONTIGUOUS"]
    np.testing.assert_allclose(found[:, 0, 0], [-1.0, 3.0, 0.0], atol=1e-6)


def test_preprocess_takes_imagenets_statistics_where_none_are_given() -> None:
    image = np.full((1, 1, 3), 51, np.uint8)
    expected = (0.2 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(segmentation.preprocess(image, {})[:, 0, 0], expected, rtol=1e-5)


def test_postprocess_takes_the_largest_logit() -> None:
    logits = np.zeros((3, 1, 2), np.float32)
    logits[2, 0, 0], logits[1, 0, 1] = 1.0, 2.0
    np.testing.assert_array_equal(segmentation.postprocess(logits, OPTIONS), [[2, 1]])


@pytest.mark.parametrize("shape", [(4, 2, 2), (3, 2), (1, 3, 2, 2)])
def test_an_output_of_other_classes_is_refused(shape) -> None:
    with pytest.raises(InputError, match=r"task\.classes has 3 classes; \(3, H, W\)"):
        segmentation.postprocess(np.zeros(shape, np.float32), OPTIONS)


def test_summary_is_of_one_confusion_matrix_and_not_the_mean_of_pictures() -> None:
    targets = [labels([0, 0, 0, 1]), labels([1, 1, 255, 1])]
    outputs = [labels([0, 0, 1, 1]), labels([1, 0, 2, 1])]
    # Class 0: 2 of 4; class 1: 3 of 5; class 2 occurs only where nothing is labelled.
    found = segmentation.summarize(outputs, targets, OPTIONS)
    assert tuple(found) == segmentation.METRICS
    assert found == pytest.approx({"miou": (2 / 4 + 3 / 5) / 2, "pixel_accuracy": 5 / 7})
    mean = np.mean([segmentation.metric(o, t, OPTIONS)["miou"] for o, t in zip(outputs, targets, strict=True)])
    assert found["miou"] != pytest.approx(mean)


def test_a_class_that_is_only_in_the_output_counts_as_0() -> None:
    found = segmentation.metric(labels([0, 2]), labels([0, 0]), OPTIONS)
    assert found == pytest.approx({"miou": 0.25, "pixel_accuracy": 0.5})


def test_the_target_itself_is_perfect_and_an_image_without_labels_scores_0() -> None:
    target = labels([0, 1, 2, 255])
    assert segmentation.metric(np.array([[0, 1, 2, 0]]), target, OPTIONS) == {"miou": 1.0, "pixel_accuracy": 1.0}
    unlabelled = labels([255, 255])
    assert segmentation.metric(labels([0, 1]), unlabelled, OPTIONS) == {"miou": 0.0, "pixel_accuracy": 0.0}


def test_labels_that_are_no_class_or_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="the target holds labels 0 to 3; 0 to 2"):
        segmentation.metric(labels([0, 1]), labels([0, 3]), OPTIONS)
    with pytest.raises(InputError, match="the output holds labels -1 to 1"):
        segmentation.metric(labels([-1, 1]), labels([0, 1]), OPTIONS)
    with pytest.raises(InputError, match=r"\(1, 2\) and target labels of \(1, 3\)"):
        segmentation.metric(labels([0, 1]), labels([0, 1, 1]), OPTIONS)


def test_picture_has_a_colour_of_its_own_for_each_class_and_black_for_none() -> None:
    options = {"classes": 21}
    found = segmentation.picture(np.array([[*range(21), 255]]), options)
    assert found.shape == (1, 22, 3)
    assert found.dtype == np.uint8
    assert len({tuple(colour) for colour in found[0]}) == 22
    np.testing.assert_array_equal(found[0, 21], 0)


def test_fit_resizes_images_smoothly_and_labels_to_existing_values() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[:, 2:] = 200
    target = np.zeros((4, 4), np.int64)
    target[:, 2:] = 2
    small, labelled = segmentation.fit(image, target, (2, 2), OPTIONS)
    assert small.shape == (2, 2, 3)
    assert small.dtype == np.uint8
    np.testing.assert_array_equal(labelled, [[0, 2], [0, 2]])
    large, labelled = segmentation.fit(image, target, None, {**OPTIONS, "size": [8, 6]})
    assert large.shape == (8, 6, 3)
    assert 0 < large[0, 2, 0] < 200
    assert set(np.unique(labelled)) == {0, 2}


@pytest.mark.parametrize(("shape", "expected"), [((40, 60), (20, 30)), ((60, 40), (30, 20)), ((20, 31), (20, 31))])
def test_one_size_is_the_shorter_side(shape, expected) -> None:
    image, target = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.int64)
    found, labelled = segmentation.fit(image, target, None, {**OPTIONS, "size": 20})
    assert found.shape == (*expected, 3)
    assert labelled is not None
    assert labelled.shape == expected


def test_fit_without_a_size_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    found, labelled = segmentation.fit(image, None, None, OPTIONS)
    np.testing.assert_array_equal(found, image)
    assert labelled is None


@pytest.mark.parametrize("classes", [None, 1, 256, True, "many", [], ["one"], [1, 2], 2.0])
def test_wrong_classes_are_named(classes) -> None:
    with pytest.raises(InputError, match=r"task\.classes = "):
        segmentation.class_names({"classes": classes})


def test_classes_by_number_and_by_name() -> None:
    assert segmentation.class_names({"classes": 2}) == ("0", "1")
    assert segmentation.class_names({"classes": ["sky", "road"]}) == ("sky", "road")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"mean": 0.5}, r"task\.mean = 0\.5"),
        ({"mean": [0.1, 0.2]}, r"task\.mean"),
        ({"std": [1.0, 0.0, 1.0]}, r"task\.std"),
        ({"std": [1.0, float("nan"), 1.0]}, r"task\.std"),
    ],
)
def test_wrong_statistics_are_named(options, named) -> None:
    with pytest.raises(InputError, match=named):
        segmentation.preprocess(np.zeros((2, 2, 3), np.uint8), options)


@pytest.mark.parametrize("size", [0, [10], [0, 5], [1, 2, 3], True, "large", [1.5, 2]])
def test_a_wrong_size_is_named(size) -> None:
    with pytest.raises(InputError, match=r"task\.size = "):
        segmentation.fit(np.zeros((4, 4, 3), np.uint8), None, None, {"size": size})


def _contract_example() -> task_contract.Example:
    def network_output(target: np.ndarray) -> np.ndarray:
        return 8 * np.moveaxis(np.eye(3, dtype=np.float32)[target], -1, 0)  # (3, H, W)

    target = np.random.default_rng(1).integers(0, 3, (96, 128))
    return task_contract.Example(
        segmentation,
        OPTIONS,
        ("classes", 1),
        task_contract.photo(),
        target,
        wrong_target=(target + 1) % 3,
        network_output=network_output,
    )


@pytest.mark.parametrize("check", task_contract.CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_contract_of_tasks(check) -> None:
    check(_contract_example())
