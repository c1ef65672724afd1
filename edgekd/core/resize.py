"""Bilinear resizing with numpy alone, antialiased as PIL's, so that a board and a workstation see the same picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError


def resize_bilinear(image: NDArray[Any], height: int, width: int) -> NDArray[np.float64]:
    """Resize a picture; a weighted mean of pixels, so values stay within those of ``image``.

    The kernel is a triangle, stretched by the scale when shrinking; at borders it is cut off and its weights add up to
    1 again. Source: Pillow's ``Image.resize(..., BILINEAR)``, which rounds to 8 bits after each axis; this does not
    round, so the two differ by at most 1 of 255.

    Args:
        image: (H, W, C) of any number type.
        height: Of the result, pixels.
        width: Of the result, pixels.

    Returns:
        (height, width, C) float64 in the units of ``image``.

    Raises:
        InputError: The picture is not (H, W, C), or a size is below 1.
    """
    if image.ndim != 3 or min(*image.shape, height, width) < 1:
        raise InputError(
            f"a picture of shape {image.shape} cannot be resized to {height}x{width} pixels; (H, W, C) and sizes of "
            "1 or more were expected"
        )
    across = _triangles(image.shape[1], width)
    down = _triangles(image.shape[0], height)
    rows = np.matmul(across, image.astype(np.float64))  # (H, width, C)
    return np.tensordot(down, rows, axes=(1, 0))


def _triangles(size_in: int, size_out: int) -> NDArray[np.float64]:
    """Return the (size_out, size_in) matrix that resizes one axis; rows add up to 1."""
    step = size_in / size_out
    centre = (np.arange(size_out) + 0.5) * step
    reach = max(step, 1.0)
    apart = np.abs(np.arange(size_in) + 0.5 - centre[:, None])
    weights = np.maximum(0.0, 1.0 - apart / reach)
    total: NDArray[np.float64] = weights.sum(axis=1, keepdims=True)
    return weights / total
