"""Synthetic haze: estimate it from a (hazy, clear) pair, and render the pair again with another density and colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

# Airlights that are tried, 0.01 apart; above 1 because synthetic haze may be brighter than white before it is clipped.
_AIRLIGHTS = np.linspace(0.6, 1.05, 46)
_MIN_ENERGY = 1e-3  # a pixel as bright as the airlight does not reveal its transmission; keeps 0 / 0 out
_MIN_TRANSMISSION = 0.02  # an optical depth of 4: thicker haze leaves less of the scene than 8 bits can hold


@dataclass(frozen=True, slots=True)
class Haze:
    """The parameters of I = J t + A (1 - t), E. McCartney's scattering model (1976).

    Attributes:
        airlight: A, 0..1, one for all channels.
        transmission: t, (H, W) float32.
    """

    airlight: float
    transmission: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HazeJitter:
    """How much a pair is varied.

    Attributes:
        density: Largest factor on the haze's optical depth, and its inverse the smallest; 1 leaves it.
        gain: Largest relative change of each channel of the clear image.
        gamma: Largest relative change of the exponent of its contrast curve.
    """

    density: float = 1.8
    gain: float = 0.08
    gamma: float = 0.1


def estimate_haze(hazy: Picture, clear: Picture) -> Haze:
    """Estimate the haze that turns ``clear`` into ``hazy``: least squares for each pixel, a search for the airlight.

    On synthetic pairs the estimate is exact to half a grey level; on photographs of real haze it is approximate.

    Args:
        hazy: (H, W, 3) uint8.
        clear: (H, W, 3) uint8, the same scene.
    """
    observed, scene = hazy / 255.0, clear / 255.0
    fits = []
    for airlight in _AIRLIGHTS:
        # A - I = (A - J) t in all three channels, solved for t.
        scene_contrast, hazy_contrast = airlight - scene, airlight - observed  # (H, W, 3) each
        energy = np.maximum((scene_contrast * scene_contrast).sum(axis=2), _MIN_ENERGY)
        transmission = (scene_contrast * hazy_contrast).sum(axis=2) / energy  # (H, W)
        error = float(np.mean((hazy_contrast - transmission[..., None] * scene_contrast) ** 2))
        fits.append((error, airlight, transmission))
    _, airlight, transmission = min(fits, key=lambda fit: fit[0])
    return Haze(float(airlight), np.clip(transmission, _MIN_TRANSMISSION, 1.0).astype(np.float32))


def rerender(clear: Picture, haze: Haze, jitter: HazeJitter, rng: np.random.Generator) -> tuple[Picture, Picture]:
    """Draw another (hazy, clear) pair of the same scene, with other colours and another density of haze.

    Args:
        clear: (H, W, 3) uint8.
        haze: Its haze, as ``estimate_haze`` gives.
        jitter: How much the pair is varied.
        rng: Source of the random numbers.

    Returns:
        Hazy and clear, (H, W, 3) uint8 each.
    """
    gain = 1 + rng.uniform(-jitter.gain, jitter.gain, 3)
    exponent = np.exp(rng.uniform(-1, 1) * np.log1p(jitter.gamma))
    scene = np.clip((clear / 255.0) ** exponent * gain, 0, 1)
    # t = exp(-optical depth), so a factor on the depth is an exponent on t.
    depth_factor = np.exp(rng.uniform(-1, 1) * np.log(jitter.density))
    transmission = haze.transmission[..., None] ** depth_factor
    observed = scene * transmission + haze.airlight * (1 - transmission)
    return _to_uint8(observed), _to_uint8(scene)


def _to_uint8(image: NDArray[np.floating]) -> Picture:
    scaled: NDArray[np.float64] = np.clip(image, 0, 1) * 255 + 0.5
    return scaled.astype(np.uint8)
