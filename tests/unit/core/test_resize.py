"""Bilinear resizing in numpy: it agrees with Pillow, and has the properties of any resizing."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgekd.core.errors import InputError
from edgekd.core.resize import resize_bilinear


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("size", [(128, 128), (17, 31), (40, 30), (90, 20), (7, 200), (1, 1), (39, 61)])
def test_it_is_pillows_bilinear(size):
    image = _noise(40, 60, 3)
    expected = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR), np.float64)
    found = resize_bilinear(image, *size)
    assert found.shape == (*size, 3)
    assert found.dtype == np.float64
    # Pillow rounds to 8 bits twice.
    assert np.abs(found - expected).max() <= 1.0
    assert np.abs(found - expected).mean() < 0.45


def test_halving_a_row_weights_neighbours_by_a_triangle():
    row = np.array([0.0, 0.0, 8.0, 0.0, 0.0, 0.0, 0.0, 0.0])[None, :, None]
    # The second pixel's centre is 3.0: pixels 1 to 4 lie 1.5, 0.5, 0.5, 1.5 from it; their weights are 1, 3, 3, 1 of 8.
    np.testing.assert_allclose(resize_bilinear(row, 1, 4)[0, :, 0], [8 / 7, 3.0, 0.0, 0.0])


def test_doubling_a_row_interpolates():
    row = np.array([0.0, 4.0])[None, :, None]
    np.testing.assert_allclose(resize_bilinear(row, 1, 4)[0, :, 0], [0.0, 1.0, 3.0, 4.0])


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_a_flat_image_stays_flat_and_the_same_size_is_the_same_image(channels):
    np.testing.assert_allclose(resize_bilinear(np.full((9, 14, channels), 7.0), 30, 5), 7.0)
    image = _noise(9, 14, channels)
    np.testing.assert_array_equal(resize_bilinear(image, 9, 14), image)


@pytest.mark.parametrize(("shape", "size"), [((4, 4), (2, 2)), ((4, 4, 3), (0, 2)), ((0, 4, 3), (2, 2))])
def test_invalid_images_and_sizes_are_refused(shape, size):
    with pytest.raises(InputError, match=rf"{size[0]}x{size[1]} pixels; \(H, W, C\)"):
        resize_bilinear(np.zeros(shape), *size)


@pytest.mark.parametrize("size", [(5, 40), (31, 7), (60, 60)])
def test_values_stay_within_those_of_the_image(size):
    image = _noise(20, 24, 3)
    found = resize_bilinear(image, *size)
    assert found.min() >= image.min()
    assert found.max() <= image.max()


def test_mirroring_and_resizing_commute():
    image = _noise(13, 22, 3)
    for axis in (0, 1):
        np.testing.assert_allclose(
            np.flip(resize_bilinear(image, 9, 31), axis), resize_bilinear(np.flip(image, axis), 9, 31)
        )
