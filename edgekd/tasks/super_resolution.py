"""Super-resolution: bicubic resizing as MATLAB does it, PSNR and SSIM on Y or RGB.

Options, the recipe's ``[task]``: ``scale``, how many times larger the output is than the input, 2 to 8.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError

METRICS = ("psnr_y_db", "ssim_y", "psnr_rgb_db")
PRIMARY = "psnr_y_db"
BASELINE = "bicubic"
CRITERION = "l1"
LAYOUT = "hr_patches"
# Input pixels that are cut from a tile's inner edges, where the network saw the tile's border instead of the image. A
# network whose receptive field reaches further (EDSR 64 x 16: 35 pixels) is very slightly off there.
TILE_OVERLAP = 32

_SSIM_WINDOW, _SSIM_SIGMA = 11, 1.5  # Wang et al. 2004


def degrade(image: NDArray[np.uint8], options: Mapping[str, Any]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Make the network's image, and its target, from a high-resolution image.

    As MATLAB's ``imresize`` does on uint8 images, by which the field's LR images were made: rows first, rounded to
    uint8 between the two axes and after them; computed on 0..255, where x2 and x4 meet exact halves.

    Args:
        image: (H, W, 3) uint8 RGB; cropped to a multiple of the scale.
        options: ``scale``.

    Returns:
        (LR (H/s, W/s, 3) uint8, HR (H, W, 3) uint8).
    """
    scale = scale_of(options)
    height, width = (size - size % scale for size in image.shape[:2])
    target = image[:height, :width]
    shrunk = _rounded(resize_bicubic(target.astype(np.float64), height // scale, width))
    return _rounded(resize_bicubic(shrunk, height // scale, width // scale)).astype(np.uint8), target


def baseline(image: NDArray[np.uint8], options: Mapping[str, Any]) -> NDArray[np.float32]:
    """Enlarge by bicubic interpolation: (h, w, 3) uint8 → (h*s, w*s, 3) float32 0..1."""
    scale = scale_of(options)
    enlarged = resize_bicubic(image / 255.0, image.shape[0] * scale, image.shape[1] * scale)
    return np.clip(enlarged, 0, 1).astype(np.float32)


def fit(
    image: NDArray[np.uint8],
    target: NDArray[np.uint8] | None,
    size: tuple[int, int] | None,
    options: Mapping[str, Any],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Crop the centre of an image, and the same part of its target, to the network's input size.

    Args:
        image: (H, W, 3) uint8, the LR image.
        target: (scale*H, scale*W, 3) uint8, or None.
        size: (height, width) of the network's input; None keeps the whole image, since these networks take any size.
        options: ``scale``.

    Raises:
        InputError: The image is smaller than ``size``, or the target is not ``scale`` times as large as the image.
    """
    scale = scale_of(options)
    if target is not None and target.shape[:2] != (image.shape[0] * scale, image.shape[1] * scale):
        raise InputError(
            f"an image of {image.shape[1]}x{image.shape[0]} has a target of {target.shape[1]}x{target.shape[0]}; "
            f"task.scale = {scale} times its size was expected"
        )
    if size is None:
        return image, target
    height, width = size
    if image.shape[0] < height or image.shape[1] < width:
        raise InputError(
            f"the image gives an input of {image.shape[1]}x{image.shape[0]}, the network takes {width}x{height}; "
            "give larger images, or a smaller --set export.shape"
        )
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    crop = image[top : top + height, left : left + width]
    if target is None:
        return crop, None
    return crop, target[top * scale : (top + height) * scale, left * scale : (left + width) * scale]


def preprocess(image: NDArray[np.uint8], options: Mapping[str, Any]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB → (3, H, W) float32 0..1."""
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / np.float32(255)


def postprocess(output: NDArray[np.generic], options: Mapping[str, Any]) -> NDArray[np.float32]:
    """(3, H, W) float → (H, W, 3) float32 clipped to 0..1."""
    return np.clip(np.asarray(output, np.float32).transpose(1, 2, 0), 0, 1)


def picture(output: NDArray[np.generic], options: Mapping[str, Any] | None = None) -> NDArray[np.uint8]:
    """Turn one postprocessed output, (H, W, 3) float 0..1, into an image, (H, W, 3) uint8."""
    return to_uint8(output)


def metric(output: NDArray[np.generic], target: NDArray[np.generic], options: Mapping[str, Any]) -> dict[str, float]:
    """Score one image, without ``scale`` pixels at each border.

    Args:
        output: (H, W, 3) float 0..1, as ``postprocess`` gives; rounded to 8 bits first, as a saved image would be.
        target: (H, W, 3) uint8.
        options: ``scale``.

    Returns:
        PSNR on Y of ITU-R BT.601 (16..235, as in the literature), SSIM on the same Y, PSNR on RGB.
    """
    border = scale_of(options)  # the field leaves out as many pixels as the scale
    a, b = (x[border:-border, border:-border].astype(np.float64) for x in (to_uint8(output), target))
    return {
        "psnr_y_db": psnr(luma(a), luma(b), 255.0),
        "ssim_y": ssim(luma(a), luma(b)),
        "psnr_rgb_db": psnr(a, b, 255.0),
    }


def to_uint8(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(...) float 0..1 → (...) uint8, clipped and rounded half up as MATLAB's im2uint8 does."""
    scaled: NDArray[np.float64] = np.clip(np.asarray(image, np.float64), 0, 1) * 255 + 0.5
    return scaled.astype(np.uint8)


def _rounded(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """(...) float64 0..255 → (...) float64, whole numbers, clipped and rounded half up."""
    return np.floor(np.clip(image, 0, 255) + 0.5)


def luma(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W, 3) RGB 0..255 → (H, W) Y 16..235. Source: MATLAB rgb2ycbcr, ITU-R BT.601."""
    weights = np.array([65.481, 128.553, 24.966])
    y: NDArray[np.float64] = 16.0 + image @ weights / 255.0
    return y


def psnr(a: NDArray[np.float64], b: NDArray[np.float64], peak: float) -> float:
    """Return the peak signal-to-noise ratio in dB of two (H, W, C) or (H, W) float64 images; 100 where equal.

    100 instead of infinity keeps the mean over a set finite.
    """
    error = float(np.mean((a - b) ** 2))
    return 100.0 if error == 0 else 10 * math.log10(peak * peak / error)


def ssim(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the mean structural similarity of two (H, W) float64 images of range 0..255.

    Source: Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 2004:
    11x11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, valid positions only.
    """
    offsets = np.arange(_SSIM_WINDOW) - _SSIM_WINDOW // 2
    window = np.exp(-(offsets**2) / (2 * _SSIM_SIGMA**2))
    window /= window.sum()

    def blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
        for axis in (0, 1):  # a Gaussian is separable
            x = np.lib.stride_tricks.sliding_window_view(x, _SSIM_WINDOW, axis=axis) @ window
        return x

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, covariance = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float(np.mean(numerator / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))))


def resize_bicubic(image: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Resize (H, W, C) float64 as MATLAB's antialiased ``imresize(..., 'bicubic')`` does.

    Source: R. Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 1981, a = -0.5; the
    kernel is stretched by the scale when shrinking; borders are mirrored.
    """
    for axis, size in ((0, height), (1, width)):
        image = np.moveaxis(np.tensordot(_weights(image.shape[axis], size), image, axes=(1, axis)), 0, axis)
    return image


def scale_of(options: Mapping[str, Any]) -> int:
    """Return the option ``scale``. Raises InputError where it is missing or invalid."""
    scale = options.get("scale")
    if not isinstance(scale, int) or isinstance(scale, bool) or not 2 <= scale <= 8:
        raise InputError(f"task.scale = {scale!r}; a whole number from 2 to 8 was expected")
    return scale


def _weights(size_in: int, size_out: int) -> NDArray[np.float64]:
    """Return the (size_out, size_in) matrix that resizes one axis."""
    scale = size_out / size_in
    stretch = min(scale, 1.0)
    centre = (np.arange(size_out) + 0.5) / scale - 0.5
    support = math.ceil(4 / stretch) + 2  # the kernel is 4 input pixels wide, times 1 / stretch; 2 for rounding
    index = np.floor(centre - 2 / stretch).astype(int)[:, None] + np.arange(support)  # (size_out, support)
    weight = _cubic((centre[:, None] - index) * stretch)
    weight /= weight.sum(axis=1, keepdims=True)
    # Borders are mirrored, the border pixel twice: ... 1 0 | 0 1 2 ...
    folded = index % (2 * size_in)
    mirrored = np.where(folded < size_in, folded, 2 * size_in - 1 - folded)
    matrix = np.zeros((size_out, size_in))
    # Not +=: where a pixel is mirrored, several weights fall on one place.
    np.add.at(matrix, (np.arange(size_out)[:, None], mirrored), weight)
    return matrix


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return R. Keys' cubic convolution kernel, a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
