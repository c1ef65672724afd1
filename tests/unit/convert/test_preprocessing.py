"""Before and After of every task against its numpy code, on photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgekd.core.errors import InputError
from edgekd.core.family import load, names
from edgekd.core.preprocessing import answer_of
from edgekd.core.recipe import pairs_root
from edgekd.datasets.pictures import read_picture

SIZE = (96, 128)
OPTIONS = {
    "super_resolution": {"scale": 2},
    "dehazing": {"window": 6, "box": 20},  # even, so that pools are cut
    "classification": {"classes": 7, "std": [0.2, 0.25, 0.3]},
    "segmentation": {"classes": 7, "mean": [0.4, 0.5, 0.6]},
}
# Shape of what the network gives, and how far float32 in torch may be from the task's numpy: the haze map divides by a
# variance of 1e-4 and more.
OUTPUTS = {
    "super_resolution": (3, *SIZE),
    "dehazing": (3, *SIZE),
    "classification": (7,),
    "segmentation": (7, *SIZE),
}
FAR = {"super_resolution": 0.0, "dehazing": 5e-4, "classification": 2e-6, "segmentation": 2e-6}
PHOTOGRAPHS = ("grass", "rocket_pad", "retina_a", "hubble")


def photograph(name: str, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    folder: Path = pairs_root() / "edsr_from_edsr/pictures/calibration"
    picture = read_picture(folder / f"{name}.png")
    assert picture.shape[0] >= size[0] <= picture.shape[1]
    return np.ascontiguousarray(picture[: size[0], : size[1]])


def before(task: str, picture: NDArray[np.uint8], options) -> NDArray[np.float32]:
    made = (
        load("convert.preprocessing", task).Before(options, picture.shape[:2]).eval()(torch.from_numpy(picture)[None])
    )
    assert (made.dtype, made.shape[0]) == (torch.float32, 1)
    return made[0].numpy()


def test_every_task_can_be_embedded() -> None:
    assert names("convert.preprocessing") == names("tasks") == sorted(OPTIONS)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("task", sorted(OPTIONS))
def test_before_is_the_tasks_preprocessing(task: str, name: str) -> None:
    picture = photograph(name)
    expected = load("tasks", task).preprocess(picture, OPTIONS[task])
    np.testing.assert_allclose(before(task, picture, OPTIONS[task]), expected, rtol=0, atol=FAR[task])


@pytest.mark.parametrize("task", sorted(OPTIONS))
def test_after_is_the_tasks_postprocessing(task: str) -> None:
    output = np.random.default_rng(3).normal(0.2, 0.7, OUTPUTS[task]).astype(np.float32)
    member, after = load("tasks", task), load("convert.preprocessing", task).After(OPTIONS[task]).eval()
    found = after(torch.from_numpy(output)[None])[0].numpy()
    expected = answer_of(member, np.asarray(member.postprocess(output, OPTIONS[task])), OPTIONS[task])
    assert found.dtype == expected.dtype
    if found.dtype == np.uint8:
        assert np.abs(found.astype(int) - expected).max() <= 1
        assert np.mean(found != expected) <= 1e-4
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_pictures_round_half_up() -> None:
    halves = (np.arange(1, 255, dtype=np.float64) + 0.5) / 255  # a grey level and a half, to float32's last digit
    output = np.broadcast_to(halves.astype(np.float32), (3, 2, 254)).copy()
    member, options = load("tasks", "super_resolution"), {"scale": 2}
    found = load("convert.preprocessing", "super_resolution").After(options)(torch.from_numpy(output)[None])[0].numpy()
    expected = member.picture(member.postprocess(output, options), options)
    exact = (output.astype(np.float64) * 255) % 1 == 0.5
    assert np.abs(found.astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(found[exact.transpose(1, 2, 0)], expected[exact.transpose(1, 2, 0)])
    edges = torch.tensor([-1.0, 0.0, 0.4999 / 255, 0.5001 / 255, 1.0, 7.0]).expand(1, 3, 1, 6)
    assert load("convert.preprocessing", "super_resolution").After(options)(edges)[0, 0, :, 0].tolist() == [
        0,
        0,
        0,
        1,
        255,
        255,
    ]


@pytest.mark.parametrize(("window", "box"), [(15, 60), (4, 7), (1, 1), (8, 33)])
def test_the_haze_map_of_any_window_and_box(window: int, box: int) -> None:
    options, picture = {"window": window, "box": box}, photograph("rocket_tower", (80, 64))
    expected = load("tasks", "dehazing").preprocess(picture, options)
    np.testing.assert_allclose(before("dehazing", picture, options), expected, rtol=0, atol=FAR["dehazing"])


def flat(grey: int) -> NDArray[np.uint8]:
    return np.full((64, 96, 3), grey, np.uint8)


def two_levels() -> NDArray[np.uint8]:
    """More equally hazy pixels than are averaged, of two colours, the reading order deciding which."""
    picture = np.random.default_rng(5).integers(0, 90, (64, 96, 3), dtype=np.uint8)
    picture[40:60, 10:40] = (200, 250, 220)
    picture[5:20, 50:90] = (255, 200, 240)
    return picture


def one_brighter() -> NDArray[np.uint8]:
    """One dark value above the last that counts, the rest of the count among equals."""
    picture = two_levels()
    picture[30:34, 3:7] = 255
    return picture


@pytest.mark.parametrize("picture", [flat(0), flat(255), flat(37), two_levels(), one_brighter()])
def test_equally_hazy_pixels_are_taken_in_reading_order(picture: NDArray[np.uint8]) -> None:
    options = {"window": 3, "box": 9}
    expected = load("tasks", "dehazing").preprocess(picture, options)
    np.testing.assert_allclose(before("dehazing", picture, options), expected, rtol=0, atol=FAR["dehazing"])


@pytest.mark.parametrize(
    ("options", "size", "words"),
    [
        ({}, (100, 128), "128x100 pixels; multiples of 16"),
        ({"box": 60}, (16, 128), r"task.box = 60 .* less than 32 was expected"),
        ({}, (2048, 2048), r"whose 4193 haziest are averaged; TensorRT finds up to 3840"),
        ({"bax": 3}, (64, 64), "unknown key task.bax"),
    ],
)
def test_what_cannot_be_embedded_is_said(options, size: tuple[int, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        load("convert.preprocessing", "dehazing").Before(options, size)


@pytest.mark.parametrize(
    ("task", "wrong", "key"),
    [
        ("super_resolution", {"scale": 0}, "scale"),
        ("dehazing", {"size": -1}, "size"),
        ("classification", {"classes": 1}, "classes"),
        ("segmentation", {"classes": "two"}, "classes"),
    ],
)
def test_wrong_options_are_named(task: str, wrong: dict[str, object], key: str) -> None:
    with pytest.raises(InputError, match=f"task.{key} = "):
        load("convert.preprocessing", task).After(wrong)
