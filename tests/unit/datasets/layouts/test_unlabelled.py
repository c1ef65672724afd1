"""Unlabelled images: crops, order, and invalid input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekd.core.errors import InputError, RecipeError, UnknownName
from edgekd.datasets.layouts import unlabelled
from edgekd.datasets.layouts.unlabelled import Config, Training, validation
from edgekd.datasets.pictures import write_picture
from edgekd.tasks import super_resolution
from tests.contract import layout_contract

SCALE = {"scale": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of two sizes, each of one grey."""
    for index, size in enumerate([(20, 30), (24, 16), (20, 30)]):
        write_picture(np.full((*size, 3), 50 * (index + 1), np.uint8), tmp_path / f"{index}.png")
    return tmp_path


def greys(training: Training, indices: range) -> list[int]:
    return [round(float(training[index][0][0, 0, 0]) * 255) for index in indices]


def test_a_sample_is_a_preprocessed_crop_and_a_placeholder(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    write_picture(picture, tmp_path / "a.png")
    training = Training([tmp_path], Config(crop=(8, 12), flip_horizontal=0), SCALE, 0)
    network_input, target = training[4]
    crops = np.lib.stride_tricks.sliding_window_view(picture, (8, 12, 3))[:, :, 0]
    inputs = [super_resolution.preprocess(crop, SCALE) for crop in crops.reshape(-1, 8, 12, 3)]
    assert any(np.array_equal(network_input, candidate) for candidate in inputs)
    assert (target.ndim, target.dtype.name, float(target)) == (0, "float32", 0.0)
    assert list(validation([tmp_path], training.config, SCALE)) == []


def test_an_epoch_has_each_image_once_and_epochs_differ(folder: Path) -> None:
    training = Training([folder], Config(crop=(8, 8)), SCALE, 3)
    epochs = [greys(training, range(3 * epoch, 3 * epoch + 3)) for epoch in range(8)]
    assert len(training) == 3
    assert all(sorted(shown) == [50, 100, 150] for shown in epochs)
    assert len({tuple(shown) for shown in epochs}) > 1


def test_a_sample_depends_on_seed_and_index_alone(folder: Path) -> None:
    config = Config(crop=(8, 8), flip_vertical=0.5)
    straight, other = (
        Training([folder], config, SCALE, 1),
        Training([folder], Config(crop=(8, 8), memory_mib=0), SCALE, 1),
    )
    backwards = {index: other[index][0] for index in reversed(range(6))}
    assert all(np.array_equal(straight[index][0], backwards[index]) for index in range(6))


def test_mirroring_is_a_share_of_the_samples(tmp_path: Path) -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[0, 0] = 255
    write_picture(picture, tmp_path / "a.png")
    config = Config(flip_horizontal=0.5, flip_vertical=0.5)
    training = Training([tmp_path], config, SCALE, 0)
    corners = {tuple(np.argwhere(training[index][0][0] == 1)[0].tolist()) for index in range(40)}
    assert corners == {(0, 0), (0, 3), (3, 0), (3, 3)}
    still = Training([tmp_path], Config(flip_horizontal=0), SCALE, 0)
    assert all(still[index][0][0, 0, 0] == 1 for index in range(20))


def test_whole_images_are_fitted_by_the_task(folder: Path) -> None:
    classes = {"classes": 3, "size": 16}
    assert Training([folder], Config(task="classification"), classes, 0)[1][0].shape == (3, 16, 16)
    sized = Training([folder], Config(task="segmentation", size=(12, 20)), {"classes": 3}, 0)
    assert {sized[index][0].shape for index in range(3)} == {(3, 12, 20)}
    cut = Training([folder], Config(task="dehazing", crop=(16, 16), size=(32, 32)), {"box": 5, "window": 3}, 0)
    assert cut[0][0].shape == (4, 32, 32)


def test_images_smaller_than_a_crop_are_skipped(folder: Path) -> None:
    assert len(Training([folder], Config(crop=(20, 20)), SCALE, 0)) == 2
    with pytest.raises(InputError, match=r"none of 3 images in .* is 40x20 pixels"):
        Training([folder], Config(crop=(20, 40)), SCALE, 0)


def test_images_of_two_sizes_are_named(folder: Path) -> None:
    training = Training([folder], Config(), SCALE, 0)
    with pytest.raises(InputError, match=r"(30x20 and 16x24|16x24 and 30x20) pixels; one size"):
        [training[index] for index in range(3)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": (8, 0)}, r"crop = \[8, 0\]"),
        ({"size": (-1, 4)}, r"size = \[-1, 4\]"),
        ({"flip_vertical": 1.5}, "flip_vertical = 1.5"),
        ({"memory_mib": -1}, "memory_mib = -1"),
    ],
)
def test_invalid_options_are_refused(changes, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Config(**changes)


def test_an_unknown_task_is_named(folder: Path) -> None:
    with pytest.raises(UnknownName, match=r"unknown task 'dehaze' .did you mean 'dehazing'"):
        Training([folder], Config(task="dehaze"), {}, 0)


@pytest.mark.parametrize("check", layout_contract.CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_contract_of_layouts(folder: Path, check) -> None:
    check(layout_contract.Example(unlabelled, folder, Config(crop=(8, 8)), SCALE))
