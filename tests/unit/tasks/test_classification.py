"""Classification: ImageNet's preprocessing, probabilities, top-1 and macro F1, and invalid options."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import normalize

from edgekd.core.errors import InputError
from edgekd.tasks import classification as task
from tests.contract import task_contract

NAMES = {"classes": ["Healthy", "Early blight", "Late blight"]}


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_preprocess_is_imagenets():
    image = _noise(6, 5, 3)
    scaled = torch.from_numpy(image.transpose(2, 0, 1).copy()).float() / 255
    expected = normalize(scaled, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)).numpy()
    found = task.preprocess(image, NAMES)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32
    assert found.flags["C_CONTIGUOUS"]


def test_the_recipes_mean_and_deviation_are_used():
    image = np.full((2, 2, 3), 255, np.uint8)
    found = task.preprocess(image, {"mean": [0.5, 0.0, 1], "std": [0.5, 0.25, 1]})
    np.testing.assert_allclose(found[:, 0, 0], [1.0, 4.0, 0.0])


def test_postprocess_gives_probabilities_even_of_large_logits():
    np.testing.assert_allclose(task.postprocess(np.log([1.0, 2.0, 5.0]), NAMES), [0.125, 0.25, 0.625], rtol=1e-6)
    found = task.postprocess(np.array([1000.0, 1000.0, -1000.0], np.float32), NAMES)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [0.5, 0.5, 0.0])


@pytest.mark.parametrize("shape", [(4,), (2,), (1, 3), ()])
def test_an_output_of_other_classes_is_refused_with_both_numbers(shape):
    with pytest.raises(InputError, match=r"shape \(.*\) and task\.classes has 3 classes"):
        task.postprocess(np.zeros(shape), NAMES)


def _certain(*classes: int) -> list[np.ndarray]:
    return [np.eye(3, dtype=np.float32)[index] for index in classes]


def test_metric_scores_one_picture():
    right, wrong = (task.metric(_certain(1)[0], np.array(target), NAMES) for target in (1, 2))
    assert (right, wrong) == ({"top1": 1.0}, {"top1": 0.0})


def test_macro_f1_is_the_mean_of_the_classes():
    # Class 0: 2 right, 1 of it missed → F1 4/5; class 1: 1 right, 1 too many → 2/3; class 2: right.
    targets = [np.array(x) for x in (0, 0, 0, 1, 2)]
    found = task.summarize(_certain(0, 0, 1, 1, 2), targets, NAMES)
    assert found == pytest.approx({"top1": 4 / 5, "macro_f1": (4 / 5 + 2 / 3 + 1) / 3})
    assert tuple(found) == task.METRICS


def test_a_class_that_does_not_occur_is_left_out_and_one_only_predicted_counts_zero():
    targets = [np.array(0), np.array(0)]
    assert task.summarize(_certain(0, 0), targets, NAMES) == {"top1": 1.0, "macro_f1": 1.0}
    assert task.summarize(_certain(0, 1), targets, NAMES) == pytest.approx({"top1": 0.5, "macro_f1": (2 / 3 + 0) / 2})


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        ([], [], "0 outputs and 0 targets"),
        (_certain(0), [np.array(0)] * 2, "1 outputs and 2 targets"),
        (_certain(0), [np.array(3)], r"classes 0 to 3; 0 to 2"),
        (_certain(0), [np.array(-1)], r"classes -1 to 0; 0 to 2"),
    ],
)
def test_a_set_that_cannot_be_scored_is_refused(outputs, targets, message):
    with pytest.raises(InputError, match=message):
        task.summarize(outputs, targets, NAMES)


def test_label_has_the_class_and_its_probability():
    assert task.label(np.array([0.05, 0.931, 0.019], np.float32), NAMES) == "Early blight 93 %"
    assert task.label(np.array([0.1, 0.9]), {"classes": 2}) == "class 1 90 %"


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (64, 100), (33, 31)])
def test_fit_resizes_the_short_side_and_crops_the_centre(shape):
    image = _noise(*shape, 3)
    found, target = task.fit(image, np.array(2), None, {"size": 56, "crop": 0.875})
    assert found.shape == (56, 56, 3)
    assert found.dtype == np.uint8
    assert int(target) == 2
    scale = 64 / min(shape)
    height, width = (round(side * scale) for side in shape)
    whole = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    top, left = (height - 56) // 2, (width - 56) // 2
    expected = np.asarray(whole.crop((left, top, left + 56, top + 56)), np.int64)
    assert np.abs(found - expected).max() <= 1


def test_fit_takes_the_engines_size_before_the_recipes():
    found, target = task.fit(_noise(50, 90, 3), None, (24, 40), {"size": 56, "crop": 1.0})
    assert found.shape == (24, 40, 3)
    assert target is None


def test_fit_does_not_change_an_image_of_the_right_size():
    image = _noise(32, 32, 3)
    found, _ = task.fit(image, None, None, {"size": 32, "crop": 1.0})
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("classes", [None, 1, True, 0, "Healthy", [], ["a"], ["a", "a"], ["a", ""], ["a", 2], 3.0])
def test_invalid_classes_are_refused(classes):
    with pytest.raises(InputError, match=r"task\.classes = "):
        task.class_names({"classes": classes})


@pytest.mark.parametrize(
    "options",
    [
        {"size": 0},
        {"size": 2.5},
        {"size": True},
        {"crop": 0.0},
        {"crop": 1.5},
        {"crop": "all"},
        {"crop": float("nan")},
    ],
)
def test_an_invalid_size_or_crop_is_refused(options):
    with pytest.raises(InputError, match=rf"task\.{next(iter(options))} = "):
        task.fit(_noise(8, 8, 3), None, None, options)


@pytest.mark.parametrize(
    "options", [{"mean": [0.5, 0.5]}, {"mean": 0.5}, {"std": [0.2, 0.0, 0.2]}, {"std": [1, "a", 1]}]
)
def test_an_invalid_mean_or_deviation_is_refused(options):
    with pytest.raises(InputError, match=rf"task\.{next(iter(options))} = "):
        task.preprocess(_noise(4, 4, 3), options)


def _contract_example() -> task_contract.Example:
    def network_output(target: np.ndarray) -> np.ndarray:
        return 8 * np.eye(3, dtype=np.float32)[target]

    return task_contract.Example(
        task,
        {**NAMES, "size": 32},
        ("classes", "abc"),
        task_contract.photo(),
        target=np.array(2),
        wrong_target=np.array(0),
        network_output=network_output,
    )


@pytest.mark.parametrize("check", task_contract.CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_contract_of_tasks(check):
    check(_contract_example())
