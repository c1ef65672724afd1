"""Dehazing in the graph: the haze map for any window and box, ties in reading order, sizes that cannot be exported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgekd.convert.preprocessing import dehazing as member
from edgekd.core.errors import InputError
from edgekd.tasks import dehazing as task
from tests.unit.convert.task_networks import photograph


def assert_equal_to_numpy(image: NDArray[np.uint8], options: dict[str, Any]) -> None:
    found = member.Preprocess(options, image.shape[:2]).eval()(torch.from_numpy(image)[None])[0].numpy()
    np.testing.assert_allclose(found, task.preprocess(image, options), rtol=0, atol=member.TOLERANCE)


@pytest.mark.parametrize(("window", "box"), [(15, 60), (4, 7), (1, 1), (8, 33), (6, 20)])
def test_the_haze_map_of_any_window_and_box(window: int, box: int) -> None:
    assert_equal_to_numpy(photograph("rocket_tower", (80, 64)), {"window": window, "box": box})


@pytest.mark.parametrize("size", [(16, 16), (128, 96)])
def test_the_haze_map_of_any_size(size: tuple[int, int]) -> None:
    # 16 x 16 pixels have one haziest pixel, which is not left out of the sum.
    assert_equal_to_numpy(photograph("grass", size), {"window": 3, "box": 9})


def flat(grey: int) -> NDArray[np.uint8]:
    return np.full((64, 96, 3), grey, np.uint8)


def two_levels() -> NDArray[np.uint8]:
    """More equally hazy pixels than are averaged, of two colours: reading order decides which."""
    image = np.random.default_rng(5).integers(0, 90, (64, 96, 3), dtype=np.uint8)
    image[40:60, 10:40] = (200, 250, 220)
    image[5:20, 50:90] = (255, 200, 240)
    return image


def one_brighter() -> NDArray[np.uint8]:
    """A few pixels above the k-th value, the rest of the count among equals."""
    image = two_levels()
    image[30:34, 3:7] = 255
    return image


@pytest.mark.parametrize(
    "image",
    [flat(0), flat(255), flat(37), two_levels(), one_brighter()],
    ids=["black", "white", "grey", "two levels", "one brighter"],
)
def test_equally_hazy_pixels_are_taken_in_reading_order(image: NDArray[np.uint8]) -> None:
    assert_equal_to_numpy(image, {"window": 3, "box": 9})


@pytest.mark.parametrize(
    ("options", "size", "values"),
    [
        ({}, (100, 128), ("128x100", "16")),
        ({"box": 60}, (16, 128), ("task.box = 60", "32")),
        ({}, (2048, 2048), ("4193", "3840")),
        ({"bax": 3}, (64, 64), ("task.bax",)),
    ],
    ids=["no multiple of the stride", "box too large", "more pixels than TopK finds", "unknown option"],
)
def test_what_cannot_be_exported_is_refused(options: dict[str, int], size: tuple[int, int], values) -> None:
    with pytest.raises(InputError) as caught:
        member.Preprocess(options, size)
    assert [value for value in values if value not in str(caught.value)] == []


def test_the_largest_size_that_topk_takes_is_accepted() -> None:
    # 1952 x 1968 = 3 841 536 pixels, of which 3841 are haziest and 3840 are summed.
    assert member.Preprocess({}, (1952, 1968)).summed == 3840


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(InputError, match=r"task\.size = -1"):
        member.Postprocess({"size": -1})


def test_minus_one_to_one_becomes_bytes() -> None:
    output = torch.tensor([-7.0, -1.0, 0.0, 1.0, 1.5]).expand(1, 3, 1, 5)
    assert member.Postprocess({})(output)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]
