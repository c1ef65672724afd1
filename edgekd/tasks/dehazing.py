"""Dehazing: picture ↔ network with the haze map of the dark channel prior, PSNR and SSIM on RGB.

Source: L. Tran, D. Park, "Distilled Pooling Transformer Encoder for Efficient Realistic Image Dehazing", arXiv
2412.14220 (2024), and its released code; K. He et al., "Single image haze removal using dark channel prior", TPAMI 2011
(dark channel eq. 5, transmission eq. 12, restoration eq. 16); K. He et al., "Guided image filtering", TPAMI 2013
(eqs. 4-8).

The task's options, their defaults being the paper's: ``size``, side of the square that the network takes, a multiple
of 16; ``window``, side of the dark channel's minimum, 15 at a size of 512; ``box``, side of the guided filter's mean,
60 at 512; ``score``, what ``fit`` makes whole pictures into: "picture" leaves the truth as it is, and ``metric``
enlarges the output to it, as the paper does; "network" resizes the truth to ``size``, so that what is measured is the
network and not what small sizes lose.

Pictures are resized by antialiased bilinear interpolation, which is OpenCV's INTER_LINEAR wherever it enlarges.
Differs from the paper: OpenCV's also shrinks without antialiasing; the guide is grey that is not rounded to 8 bits.
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
# What the paper's terms are without teacher, critic and VGG, and the pixel term that its teacher is trained with.
CRITERION = "mse"
BASELINE = "dark channel prior"

STRIDE = 16  # what the encoder's four poolings divide a side by
_LARGEST = 16384  # pixels a side; beyond it a typing error is likelier than a picture
_OMEGA = 0.95  # share of the haze that is taken away; He et al. 2011 keep a trace of it for depth
_EPSILON = 1e-4  # of the guided filter, for a guide of 0..1
_LEAST_TRANSMISSION = 0.1  # He et al. 2011, eq. 16
_SSIM_WINDOW = 7
_SCORES = ("picture", "network")

Picture = NDArray[np.uint8]
Plane = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Options:
    """The recipe's ``[task]``, checked; pixels where not said otherwise. See the module."""

    size: int = 512
    window: int = 15
    box: int = 60
    score: str = "picture"


def options_of(options: Mapping[str, Any]) -> Options:
    """Check the recipe's ``[task]``. Raises InputError where a key is unknown or a value makes no sense."""
    known = [field.name for field in fields(Options)]
    for key in options:
        if key not in known:
            raise InputError(f"unknown key task.{key}{nearest(key, known)}; dehazing takes {', '.join(known)}")
    made = Options(**options)
    for key in ("size", "window", "box"):
        value = getattr(made, key)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LARGEST:
            raise InputError(f"task.{key} = {value!r}; a whole number of pixels from 1 to {_LARGEST} was expected")
    if made.size % STRIDE:
        lower = max(STRIDE, made.size - made.size % STRIDE)
        raise InputError(
            f"task.size = {made.size}; a multiple of {STRIDE} was expected, since the network halves it four times: "
            f"give {lower} or {made.size - made.size % STRIDE + STRIDE}"
        )
    if made.score not in _SCORES:
        raise InputError(f"task.score = {made.score!r}; one of {', '.join(_SCORES)} was expected")
    return made


def preprocess(image: Picture, options: Mapping[str, Any]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB → (4, H, W) float32: RGB and haze map, -1..1 (the map is not clipped).

    Raises:
        InputError: A side is no multiple of 16.
    """
    if image.shape[0] % STRIDE or image.shape[1] % STRIDE:
        raise InputError(
            f"a picture of {image.shape[1]}x{image.shape[0]} pixels; multiples of {STRIDE} were expected, since the "
            "network halves each side four times: resize it first"
        )
    return network_input(image, transmission(image, options))


def network_input(image: Picture, transmitted: NDArray[np.generic]) -> NDArray[np.float32]:
    """Join a picture and its transmission.

    Args:
        image: (H, W, 3) uint8 RGB.
        transmitted: (H, W) float, as ``transmission`` gives.

    Returns:
        (4, H, W) float32: (v - 127.5) / 127.5 of RGB, and 2 * (t - 0.5).
    """
    haze = 2 * (np.asarray(transmitted, np.float32) - np.float32(0.5))
    return np.concatenate([signed(image), haze[None]])


def signed(image: Picture) -> NDArray[np.float32]:
    """(H, W, 3) uint8 → (3, H, W) float32 -1..1: a picture as the network gives it."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)
    return (planes - np.float32(127.5)) / np.float32(127.5)


def postprocess(output: NDArray[np.generic], options: Mapping[str, Any]) -> NDArray[np.float32]:
    """(3, H, W) float -1..1 → (H, W, 3) float32 clipped to 0..1."""
    return np.clip(np.asarray(output, np.float32).transpose(1, 2, 0) / 2 + np.float32(0.5), 0, 1)


def picture(output: NDArray[np.generic], options: Mapping[str, Any] | None = None) -> Picture:
    """Turn one postprocessed output, (H, W, 3) float 0..1, into what a report shows, uint8."""
    return to_uint8(output)


def fit(
    seen: Picture, truth: Picture | None, size: tuple[int, int] | None, options: Mapping[str, Any]
) -> tuple[Picture, Picture | None]:
    """Resize a picture, and its truth, to what the network takes.

    Args:
        seen: (H, W, 3) uint8 RGB.
        truth: (H, W, 3) uint8 RGB, or None.
        size: The engine's (H, W); None takes the task's ``size``, and leaves the truth as it is where ``score`` is
            "picture".
        options: The recipe's ``[task]``.
    """
    checked = options_of(options)
    high, wide = size or (checked.size, checked.size)
    if truth is not None and (size is not None or checked.score == "network"):
        truth = resize_picture(truth, high, wide)
    return resize_picture(seen, high, wide), truth


def metric(output: NDArray[np.generic], truth: Picture, options: Mapping[str, Any]) -> dict[str, float]:
    """Score one picture.

    Args:
        output: (h, w, 3) float 0..1, as ``postprocess`` gives; rounded to 8 bits first, as a saved picture would be,
            and resized to the truth where it differs in size.
        truth: (H, W, 3) uint8.
        options: Checked, not used.

    Returns:
        PSNR over all values of RGB, and the mean of the three channels' SSIM.
    """
    options_of(options)
    a, b = resize_picture(to_uint8(output), *truth.shape[:2]).astype(np.float64), truth.astype(np.float64)
    return {"psnr_rgb_db": psnr(a, b), "ssim": float(np.mean([ssim(a[..., c], b[..., c]) for c in range(3)]))}


def baseline(image: Picture, options: Mapping[str, Any]) -> NDArray[np.float32]:
    """Restore without a network: (H, W, 3) uint8 → (H, W, 3) float32 0..1.

    J = (I - A) / max(t, 0.1) + A, He et al. 2011, eq. 16, with the transmission that the network is given.
    """
    scaled = image / 255.0
    airlight, transmitted = _airlight_and_transmission(scaled, options_of(options))
    restored = (scaled - airlight) / np.maximum(transmitted, _LEAST_TRANSMISSION)[..., None] + airlight
    return np.clip(restored, 0, 1).astype(np.float32)


def baselines(image: Picture, options: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    """Return what a network is compared with, by name: (H, W, 3) uint8 → (H, W, 3) float32 0..1 each."""
    return {"hazy input": (image / 255.0).astype(np.float32), BASELINE: baseline(image, options)}


def transmission(image: Picture, options: Mapping[str, Any]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB → (H, W) float32: share of the scene's light that reaches the camera, not clipped.

    t = guided(1 - 0.95 * dark(I / A)), guided by the grey picture; He et al. 2011, eq. 12.
    """
    return _airlight_and_transmission(image / 255.0, options_of(options))[1].astype(np.float32)


def _airlight_and_transmission(scaled: Plane, options: Options) -> tuple[Plane, Plane]:
    airlight = airlight_of(scaled, dark_channel(scaled, options.window))
    # A channel without any light would divide by 0; one grey level is the least that can be told from it.
    rough = 1 - _OMEGA * dark_channel(scaled / np.maximum(airlight, 1 / 255), options.window)
    grey = scaled @ np.array([0.299, 0.587, 0.114])
    return airlight, guided_filter(grey, rough, options.box)


def dark_channel(scaled: Plane, window: int) -> Plane:
    """(H, W, 3) float → (H, W): the least of the three channels over a ``window`` x ``window`` square."""
    darkest: Plane = scaled.min(axis=2)
    return sliding_min(sliding_min(darkest, window, 0), window, 1)


def airlight_of(scaled: Plane, dark: Plane) -> Plane:
    """Average the picture where the dark channel is brightest: its top H*W // 1000 pixels, at least one.

    As the authors' code does, the least of those pixels is passed over and still counted, unless it is the only one:
    at 512x512 that darkens the airlight by 1/262.

    Args:
        scaled: (H, W, 3) float 0..1.
        dark: (H, W) float, its dark channel.

    Returns:
        (3,) float. Of equal pixels, the first in reading order is taken.
    """
    count = max(dark.size // 1000, 1)
    brightest = np.argsort(-dark.ravel(), kind="stable")[: max(count - 1, 1)]
    airlight: Plane = scaled.reshape(-1, 3)[brightest].sum(axis=0) / count
    return airlight


def guided_filter(guide: Plane, rough: Plane, box: int) -> Plane:
    """Smooth (H, W) ``rough`` along the edges of (H, W) ``guide``, by means over ``box`` x ``box`` squares.

    a = cov(I, p) / (var(I) + 1e-4), b = mean(p) - a * mean(I), q = mean(a) * I + mean(b); He et al. 2013, eqs. 5-8.
    """
    mean_i, mean_p = box_mean(guide, box), box_mean(rough, box)
    covariance = box_mean(guide * rough, box) - mean_i * mean_p
    variance = box_mean(guide * guide, box) - mean_i * mean_i
    a = covariance / (variance + _EPSILON)
    b = mean_p - a * mean_i
    return box_mean(a, box) * guide + box_mean(b, box)


def sliding_min(plane: Plane, window: int, axis: int) -> Plane:
    """Least value over ``window`` positions along an axis, what lies outside left out; as OpenCV's erode.

    Spans double until two of them cover the window. An even window reaches one further back than ahead.
    """
    pad = [(0, 0), (0, 0)]
    pad[axis] = (window // 2, window - 1 - window // 2)
    spans = np.moveaxis(np.pad(plane, pad, constant_values=np.inf), axis, 0)
    span = 1
    while 2 * span <= window:
        spans = np.minimum(spans[:-span], spans[span:])
        span *= 2
    rest = window - span
    least = np.minimum(spans[: len(spans) - rest], spans[rest:])
    return np.moveaxis(least, 0, axis)


def box_mean(plane: Plane, box: int) -> Plane:
    """Mean over ``box`` x ``box`` squares of (H, W), as OpenCV's boxFilter: mirrored at the border, not repeating it.

    An even box reaches one further back than ahead.
    """
    before, after = box // 2, box - 1 - box // 2
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (before + 1, after)
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
    """PSNR in dB of values 0..255; 100 where the pictures are equal, so that means stay finite."""
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

    def mean(x: Plane) -> Plane:
        for axis in (0, 1):
            x = np.lib.stride_tricks.sliding_window_view(x, min(_SSIM_WINDOW, x.shape[axis]), axis=axis).mean(axis=-1)
        return x

    mean_a, mean_b = mean(a), mean(b)
    unbiased = count / (count - 1)
    var_a, var_b = unbiased * (mean(a * a) - mean_a**2), unbiased * (mean(b * b) - mean_b**2)
    covariance = unbiased * (mean(a * b) - mean_a * mean_b)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float(np.mean(top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))))
