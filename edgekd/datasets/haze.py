"""The haze of a synthesised pair, found back from the two pictures, and put on again thinner, thicker, or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

_AIRLIGHTS = np.linspace(0.6, 1.05, 46)
_DEGENERATE = 1e-3  # a pixel as bright as the airlight says nothing about its transmission


@dataclass(frozen=True, slots=True)
class Haze:
    """I = J t + A (1 - t), E. McCartney's model of scattering (1976).

    Attributes:
        airlight: A, 0..1, one for all channels.
        transmission: t, (H, W) float32.
    """

    airlight: float
    transmission: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Change:
    """How a pair is varied.

    Attributes:
        density: Largest factor on the haze's optical depth, and its inverse the smallest; 1 leaves it.
        gain: Largest relative change of each channel of the clear picture.
        gamma: Largest relative change of its contrast curve's exponent.
    """

    density: float = 1.8
    gain: float = 0.08
    gamma: float = 0.1


def haze_of(hazy: Picture, clear: Picture) -> Haze:
    """Find the haze that makes ``hazy`` of ``clear``, (H, W, 3) uint8 both: least squares, pixel by pixel.

    On pairs that were synthesised so it comes back to half a grey level; on photographs of real haze it is an estimate.
    """
    seen, scene = hazy / 255.0, clear / 255.0
    fits = []
    for airlight in _AIRLIGHTS:
        span, left = airlight - scene, airlight - seen
        transmission = (span * left).sum(axis=2) / np.maximum((span * span).sum(axis=2), _DEGENERATE)
        error = float(np.mean((left - transmission[..., None] * span) ** 2))
        fits.append((error, airlight, transmission))
    _, airlight, transmission = min(fits, key=lambda fit: fit[0])
    return Haze(float(airlight), np.clip(transmission, 0.02, 1.0).astype(np.float32))


def rehazed(clear: Picture, haze: Haze, change: Change, rng: np.random.Generator) -> tuple[Picture, Picture]:
    """Draw another (hazy, clear) pair of the same scene: other colours, and haze of another density."""
    gain = 1 + rng.uniform(-change.gain, change.gain, 3)
    exponent = np.exp(rng.uniform(-1, 1) * np.log1p(change.gamma))
    scene = np.clip((clear / 255.0) ** exponent * gain, 0, 1)
    depth = np.exp(rng.uniform(-1, 1) * np.log(change.density))
    transmission = haze.transmission[..., None] ** depth
    seen = scene * transmission + haze.airlight * (1 - transmission)
    return _to_uint8(seen), _to_uint8(scene)


def _to_uint8(image: NDArray[np.floating]) -> Picture:
    scaled: NDArray[np.float64] = np.clip(image, 0, 1) * 255 + 0.5
    return scaled.astype(np.uint8)
