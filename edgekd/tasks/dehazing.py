"""Dehazing: RGB and the haze map of the dark channel prior in, RGB out; PSNR and SSIM on RGB.

Source: L. Tran, D. Park, "Distilled Pooling Transformer Encoder for Efficient Realistic Image Dehazing", arXiv
2412.14220 (2024), and its released code; K. He et al., "Single image haze removal using dark channel prior", TPAMI 2011
(dark channel eq. 5, transmission eq. 12, restoration eq. 16); K. He et al., "Guided image filtering", TPAMI 2013
(eqs. 4-8).

Options, the recipe's ``[task]``; the defaults are the paper's: ``size``, side of the network's square input, a multiple
of 16; ``window``, side of the dark channel's minimum filter, 15 at a size of 512; ``box``, side of the guided filter's
mean, 60 at 512; ``score``, the size at which whole images are scored: "picture" keeps the target, and ``metric``
enlarges the output to it, as the paper does; "network" resizes the target to ``size``, which measures the network
without the loss of working at a small size.

Images are resized by antialiased bilinear interpolation, which equals OpenCV's INTER_LINEAR when enlarging.
Differs from the paper: OpenCV shrinks without antialiasing; the grey guide is not rounded to 8 bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError, nearest
from edgekd.core.resize import resize_bilinear

METRICS = ("psnr_rgb_db", "ssim")
PRIMARY = "psnr_rgb_db"
# The pixel term of the paper's loss, without its teacher, critic and VGG terms; its teacher is trained with it, too.
CRITERION = "mse"
LAYOUT = "hazy_clear"
BASELINE = "dark channel prior"

STRIDE = 16  # the encoder pools four times by 2
_MAX_SIDE = 16384  # pixels; a larger value is more likely a typing error than an image
_OMEGA = 0.95  # share of the haze that is removed; He et al. 2011 keep a trace of it, for the impression of depth
_EPSILON = 1e-4  # regularises the guided filter, for a guide of 0..1
_MIN_TRANSMISSION = 0.1  # He et al. 2011, eq. 16
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as OpenCV's grey
_SSIM_WINDOW = 7
_SCORES = ("picture", "network")

Picture = NDArray[np.uint8]
Plane = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Options:
    """The recipe's ``[task]``, checked; lengths in pixels. The module's docstring explains each."""

    size: int = 512
    window: int = 15
    box: int = 60
    score: str = "picture"


def options_of(options: Mapping[str, Any]) -> Options:
    """Check the recipe's ``[task]``. Raises InputError where a key is unknown or a value is invalid."""
    known = [field.name for field in fields(Options)]
    for key in options:
        if key not in known:
            raise InputError(f"unknown key task.{key}{nearest(key, known)}; dehazing takes {', '.join(known)}")
    checked = Options(**options)
    for key in ("size", "window", "box"):
        value = getattr(checked, key)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MAX_SIDE:
            raise InputError(f"task.{key} = {value!r}; a whole number of pixels from 1 to {_MAX_SIDE} was expected")
    if checked.size % STRIDE:
        below = checked.size - checked.size % STRIDE
        raise InputError(
            f"task.size = {checked.size}; a multiple of {STRIDE} was expected, since the network halves it four times: "
            f"give {max(STRIDE, below)} or {below + STRIDE}"
        )
    if checked.score not in _SCORES:
        raise InputError(f"task.score = {checked.score!r}; one of {', '.join(_SCORES)} was expected")
    return checked


def preprocess(image: Picture, options: Mapping[str, Any]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB → (4, H, W) float32: RGB and haze map, -1..1 (the map is not clipped).

    Raises:
        InputError: A side is not a multiple of 16.
    """
    if image.shape[0] % STRIDE or image.shape[1] % STRIDE:
        raise InputError(
            f"an image of {image.shape[1]}x{image.shape[0]} pixels; multiples of {STRIDE} were expected, since the "
            "network halves each side four times: resize it first"
        )
    return network_input(image, transmission(image, options))


def network_input(image: Picture, transmission: NDArray[np.generic]) -> NDArray[np.float32]:
    """Concatenate an image and its transmission along the channels.

    Args:
        image: (H, W, 3) uint8 RGB.
        transmission: (H, W) float, as the function ``transmission`` gives.

    Returns:
        (4, H, W) float32: (v - 127.5) / 127.5 of RGB, and 2 * (t - 0.5).
    """
    haze_map = 2 * (np.asarray(transmission, np.float32) - np.float32(0.5))
    return np.concatenate([signed(image), haze_map[None]])


def signed(image: Picture) -> NDArray[np.float32]:
    """(H, W, 3) uint8 → (3, H, W) float32 -1..1, the range of the network's output."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)
    return (planes - np.float32(127.5)) / np.float32(127.5)


def postprocess(output: NDArray[np.generic], options: Mapping[str, Any]) -> NDArray[np.float32]:
    """(3, H, W) float -1..1 → (H, W, 3) float32 clipped to 0..1."""
    return np.clip(np.asarray(output, np.float32).transpose(1, 2, 0) / 2 + np.float32(0.5), 0, 1)


def picture(output: NDArray[np.generic], options: Mapping[str, Any] | None = None) -> Picture:
    """Turn one postprocessed output, (H, W, 3) float 0..1, into an image, (H, W, 3) uint8."""
    return to_uint8(output)


def fit(
    image: Picture, target: Picture | None, size: tuple[int, int] | None, options: Mapping[str, Any]
) -> tuple[Picture, Picture | None]:
    """Resize an image, and its target, to the network's input size.

    Args:
        image: (H, W, 3) uint8 RGB.
        target: (H, W, 3) uint8 RGB, or None.
        size: (H, W) of the engine's input; None takes the task's ``size``, and keeps the target where ``score`` is
            "picture".
        options: The recipe's ``[task]``.

    Returns:
        (image, target), resized.
    """
    checked = options_of(options)
    height, width = size or (checked.size, checked.size)
    if target is not None and (size is not None or checked.score == "network"):
        target = resize_picture(target, height, width)
    return resize_picture(image, height, width), target


def metric(output: NDArray[np.generic], target: Picture, options: Mapping[str, Any]) -> dict[str, float]:
    """Score one image.

    Args:
        output: (h, w, 3) float 0..1, as ``postprocess`` gives; rounded to 8 bits first, as a saved image would be,
            and resized to the target where it differs in size.
        target: (H, W, 3) uint8.
        options: Checked, not used.

    Returns:
        PSNR over all values of RGB, and the mean of the three channels' SSIM.
    """
    options_of(options)
    resized = resize_picture(to_uint8(output), *target.shape[:2])
    a, b = resized.astype(np.float64), target.astype(np.float64)
    return {"psnr_rgb_db": psnr(a, b), "ssim": float(np.mean([ssim(a[..., c], b[..., c]) for c in range(3)]))}


def baseline(image: Picture, options: Mapping[str, Any]) -> NDArray[np.float32]:
    """Restore by the dark channel prior alone: (H, W, 3) uint8 → (H, W, 3) float32 0..1.

    J = (I - A) / max(t, 0.1) + A, He et al. 2011, eq. 16, with the transmission that the network is given.
    """
    scaled = image / 255.0
    airlight, transmission = _airlight_and_transmission(scaled, options_of(options))
    restored = (scaled - airlight) / np.maximum(transmission, _MIN_TRANSMISSION)[..., None] + airlight
    return np.clip(restored, 0, 1).astype(np.float32)


def baselines(image: Picture, options: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    """Return no-network results by name: (H, W, 3) uint8 → (H, W, 3) float32 0..1 each."""
    return {"hazy input": (image / 255.0).astype(np.float32), BASELINE: baseline(image, options)}


def transmission(image: Picture, options: Mapping[str, Any]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB → (H, W) float32: share of the scene's light that reaches the camera, not clipped.

    t = guided(1 - 0.95 * dark(I / A)), guided by the grey image; He et al. 2011, eq. 12.
    """
    return _airlight_and_transmission(image / 255.0, options_of(options))[1].astype(np.float32)


def _airlight_and_transmission(scaled: Plane, options: Options) -> tuple[Plane, Plane]:
    airlight = airlight_of(scaled, dark_channel(scaled, options.window))
    # A channel without any light would divide by 0; one grey level is the smallest airlight that 8 bits can show.
    rough = 1 - _OMEGA * dark_channel(scaled / np.maximum(airlight, 1 / 255), options.window)
    return airlight, guided_filter(scaled @ _LUMA, rough, options.box)


def dark_channel(scaled: Plane, window: int) -> Plane:
    """(H, W, 3) float → (H, W): the minimum of the three channels over a ``window`` x ``window`` square."""
    darkest: Plane = scaled.min(axis=2)
    return sliding_min(sliding_min(darkest, window, 0), window, 1)


def airlight_of(scaled: Plane, dark: Plane) -> Plane:
    """Average the image where the dark channel is brightest: its top H*W // 1000 pixels, at least one.

    As in the authors' code, the darkest of those pixels is left out of the sum but counted in the divisor, unless it is
    the only one: at 512x512 that darkens the airlight by 1/262.

    Args:
        scaled: (H, W, 3) float 0..1.
        dark: (H, W) float, its dark channel.

    Returns:
        (3,) float. Of equally bright pixels, the first in reading order count.
    """
    count = max(dark.size // 1000, 1)
    brightest = np.argsort(-dark.ravel(), kind="stable")[: max(count - 1, 1)]
    airlight: Plane = scaled.reshape(-1, 3)[brightest].sum(axis=0) / count
    return airlight


def guided_filter(guide: Plane, rough: Plane, box: int) -> Plane:
    """Smooth (H, W) ``rough`` while keeping the edges of (H, W) ``guide``, by means over ``box`` x ``box`` squares.

    a = cov(I, p) / (var(I) + 1e-4), b = mean(p) - a * mean(I), q = mean(a) * I + mean(b); He et al. 2013, eqs. 5-8.
    """
    mean_i, mean_p = box_mean(guide, box), box_mean(rough, box)
    covariance = box_mean(guide * rough, box) - mean_i * mean_p
    variance = box_mean(guide * guide, box) - mean_i * mean_i
    a = covariance / (variance + _EPSILON)
    b = mean_p - a * mean_i
    return box_mean(a, box) * guide + box_mean(b, box)


def sliding_min(plane: Plane, window: int, axis: int) -> Plane:
    """Return the minimum of (H, W) over ``window`` positions along an axis, as OpenCV's erode does.

    Positions outside the plane do not count. An even window reaches one further back than ahead.
    """
    # Minima over spans of 1, 2, 4 ... positions; two overlapping spans then cover the window: O(log window) passes.
    pad = [(0, 0), (0, 0)]
    pad[axis] = (window // 2, window - 1 - window // 2)
    spans = np.moveaxis(np.pad(plane, pad, constant_values=np.inf), axis, 0)
    span = 1
    while 2 * span <= window:
        spans = np.minimum(spans[:-span], spans[span:])
        span *= 2
    shift = window - span
    minimum = np.minimum(spans[: len(spans) - shift], spans[shift:])
    return np.moveaxis(minimum, 0, axis)


def box_mean(plane: Plane, box: int) -> Plane:
    """Return the mean of (H, W) over ``box`` x ``box`` squares, as OpenCV's boxFilter does.

    The plane is mirrored at its border without repeating the border pixel. An even box reaches one further back than
    ahead.
    """
    before, after = box // 2, box - 1 - box // 2
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (before + 1, after)
        # Differences of a running sum: the cost does not depend on the box.
        running = np.moveaxis(np.pad(plane, pad, mode="reflect"), axis, 0).cumsum(axis=0)
        plane = np.moveaxis((running[box:] - running[:-box]) / box, 0, axis)
    return plane


def to_uint8(image: NDArray[np.generic]) -> Picture:
    """(...) float 0..1 → (...) uint8, clipped and rounded half up."""
    scaled: Plane = np.clip(np.asarray(image, np.float64), 0, 1) * 255 + 0.5
    return scaled.astype(np.uint8)


def resize_picture(image: Picture, height: int, width: int) -> Picture:
    """Resize (H, W, 3) uint8 to (height, width, 3) uint8, rounded once."""
    if image.shape[:2] == (height, width):
        return image
    return to_uint8(resize_bilinear(image, height, width) / 255)


def psnr(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the PSNR in dB of two (H, W, 3) float64 images 0..255; 100 where equal, so that means stay finite."""
    error = float(np.mean((a - b) ** 2))
    return 100.0 if error == 0 else 10 * math.log10(255.0**2 / error)


def ssim(a: Plane, b: Plane) -> float:
    """Return the mean structural similarity of two (H, W) float64 planes of range 0..255.

    Source: Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 2004,
    eq. 13 with K1 = 0.01 and K2 = 0.03, over a uniform 7x7 window at valid positions with unbiased covariances: what
    scikit-image computes and the paper's evaluation uses.
    Differs from the paper: the range is 255, not what the prediction happens to span.
    """
    count = _SSIM_WINDOW**2

    # Of valid positions only: no padding, so the plane shrinks by the window.
    def mean(x: Plane) -> Plane:
        for axis in (0, 1):
            x = np.lib.stride_tricks.sliding_window_view(x, min(_SSIM_WINDOW, x.shape[axis]), axis=axis).mean(axis=-1)
        return x

    mean_a, mean_b = mean(a), mean(b)
    unbiased = count / (count - 1)
    var_a, var_b = unbiased * (mean(a * a) - mean_a**2), unbiased * (mean(b * b) - mean_b**2)
    covariance = unbiased * (mean(a * b) - mean_a * mean_b)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float(np.mean(numerator / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))))
