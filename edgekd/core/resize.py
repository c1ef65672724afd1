"""Antialiased resizing in numpy, like Pillow's, so that boards and workstations feed equal images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError

Interpolation = Literal["bilinear", "bicubic", "nearest"]
_BICUBIC_A = -0.5  # Pillow's; torch's and OpenCV's is -0.75


def resize(image: NDArray[Any], height: int, width: int, interpolation: Interpolation) -> NDArray[Any]:
    """Resize an image as Pillow's ``Image.resize`` does.

    Pillow rounds to 8 bits after each axis; this function does not, so the two differ by 1 of 255 at most where nothing
    overshoots.

    Args:
        image: (H, W, C) of any numeric dtype.
        height: Of the result, pixels.
        width: Of the result, pixels.
        interpolation: "nearest" keeps values and dtype.

    Returns:
        (height, width, C), float64 in the units of ``image``; bicubic may exceed its range.

    Raises:
        InputError: The image is not (H, W, C), or a size is below 1.
    """
    if image.ndim != 3 or min(*image.shape, height, width) < 1:
        raise InputError(
            f"an image of shape {image.shape} cannot be resized to {height}x{width} pixels; (H, W, C) and sizes of 1 "
            "or more were expected"
        )
    if interpolation == "nearest":
        rows, columns = nearest(image.shape[0], height), nearest(image.shape[1], width)
        return np.asarray(image[rows[:, None], columns])
    kernel, radius = _KERNELS[interpolation]
    horizontal = _axis_matrix(image.shape[1], width, kernel, radius)
    vertical = _axis_matrix(image.shape[0], height, kernel, radius)
    narrowed = np.matmul(horizontal, image.astype(np.float64))  # (H, width, C)
    return np.tensordot(vertical, narrowed, axes=(1, 0))  # (height, width, C)


def resize_bilinear(image: NDArray[Any], height: int, width: int) -> NDArray[np.float64]:
    """Resize (H, W, C) to (height, width, C) float64 by weighted means: values stay within those of ``image``.

    Raises:
        InputError: As ``resize``.
    """
    return resize(image, height, width, "bilinear")


def nearest(size_in: int, size_out: int) -> NDArray[np.int64]:
    """Return (size_out,) indices into an axis of ``size_in``: the pixel whose centre is nearest."""
    positions = (np.arange(size_out) + 0.5) * size_in / size_out
    return np.minimum(positions, size_in - 1).astype(np.int64)


def _triangle(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(0.0, 1.0 - distance)


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """R. Keys, "Cubic Convolution Interpolation for Digital Image Processing", IEEE TASSP 29(6), 1981, equation 4."""
    a = _BICUBIC_A
    inner = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    outer = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance < 1, inner, np.where(distance < 2, outer, 0.0))


_KERNELS: dict[str, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], float]] = {
    "bilinear": (_triangle, 1.0),
    "bicubic": (_cubic, 2.0),
}


def _axis_matrix(
    size_in: int, size_out: int, kernel: Callable[[NDArray[np.float64]], NDArray[np.float64]], radius: float
) -> NDArray[np.float64]:
    """Return the (size_out, size_in) matrix that resizes one axis.

    The kernel is stretched by the scale when shrinking; at borders it is truncated, and every row adds up to 1.
    """
    scale = size_in / size_out
    stretch = max(scale, 1.0)  # enlarging interpolates between neighbours; shrinking averages over ``scale`` pixels
    centre = (np.arange(size_out) + 0.5) * scale  # of each output pixel, in input pixels
    distance = np.abs(np.arange(size_in) + 0.5 - centre[:, None])
    weights = kernel(distance / stretch)
    # Pillow takes whole pixels between centre - radius and centre + radius, both rounded.
    first = np.maximum(0, np.floor(centre - radius * stretch + 0.5))[:, None]
    last = np.minimum(size_in, np.floor(centre + radius * stretch + 0.5))[:, None]
    index = np.arange(size_in)
    weights = np.where((index >= first) & (index < last), weights, 0.0)
    total: NDArray[np.float64] = weights.sum(axis=1, keepdims=True)
    return weights / total
