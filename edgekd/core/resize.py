"""Antialiased bilinear resizing in numpy, like Pillow's, so that boards and workstations feed equal images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError


def resize_bilinear(image: NDArray[Any], height: int, width: int) -> NDArray[np.float64]:
    """Resize an image by weighted means of its pixels, so that values stay within those of ``image``.

    The kernel is a triangle, stretched by the scale when shrinking; at borders it is truncated and normalised to 1.
    Source: Pillow's ``Image.resize(..., BILINEAR)``, which rounds to 8 bits after each axis; this function does not
    round, so the two differ by at most 1 of 255.

    Args:
        image: (H, W, C) of any numeric dtype.
        height: Of the result, pixels.
        width: Of the result, pixels.

    Returns:
        (height, width, C) float64 in the units of ``image``.

    Raises:
        InputError: The image is not (H, W, C), or a size is below 1.
    """
    if image.ndim != 3 or min(*image.shape, height, width) < 1:
        raise InputError(
            f"an image of shape {image.shape} cannot be resized to {height}x{width} pixels; (H, W, C) and sizes of 1 "
            "or more were expected"
        )
    horizontal = _triangle_weights(image.shape[1], width)
    vertical = _triangle_weights(image.shape[0], height)
    rows = np.matmul(horizontal, image.astype(np.float64))  # (H, width, C)
    return np.tensordot(vertical, rows, axes=(1, 0))  # (height, width, C)


def _triangle_weights(size_in: int, size_out: int) -> NDArray[np.float64]:
    """Return the (size_out, size_in) matrix that resizes one axis; rows add up to 1."""
    scale = size_in / size_out
    centre = (np.arange(size_out) + 0.5) * scale  # of each output pixel, in input pixels
    radius = max(scale, 1.0)  # enlarging interpolates between neighbours; shrinking averages over ``scale`` pixels
    distance = np.abs(np.arange(size_in) + 0.5 - centre[:, None])
    weights = np.maximum(0.0, 1.0 - distance / radius)
    total: NDArray[np.float64] = weights.sum(axis=1, keepdims=True)
    return weights / total
