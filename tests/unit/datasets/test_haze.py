"""Haze estimated from a synthetic pair, and rendered again."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.datasets.haze import Haze, HazeJitter, estimate_haze, rerender


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A clear image that is darker than the airlight everywhere, and its transmission."""
    clear = np.random.default_rng(0).integers(0, 200, (24, 32, 3)).astype(np.uint8)
    return clear, np.tile(np.linspace(0.2, 0.9, 32, dtype=np.float32), (24, 1))


def _hazy(clear: np.ndarray, transmission: np.ndarray, airlight: float) -> np.ndarray:
    t = transmission[..., None]
    return np.round(255 * (clear / 255 * t + airlight * (1 - t))).astype(np.uint8)


@pytest.mark.parametrize("airlight", [0.8, 0.95])
def test_airlight_and_transmission_are_recovered(scene: tuple[np.ndarray, np.ndarray], airlight: float) -> None:
    clear, transmission = scene
    found = estimate_haze(_hazy(clear, transmission, airlight), clear)
    assert found.airlight == pytest.approx(airlight, abs=0.011)  # the airlights that are tried lie 0.01 apart
    assert np.abs(found.transmission - transmission).max() < 0.03


def test_a_jitter_of_nothing_gives_the_pair_again(scene: tuple[np.ndarray, np.ndarray]) -> None:
    clear, transmission = scene
    hazy = _hazy(clear, transmission, 0.9)
    jitter = HazeJitter(density=1, gain=0, gamma=0)
    again = rerender(clear, estimate_haze(hazy, clear), jitter, np.random.default_rng(0))
    assert np.abs(again[0].astype(int) - hazy).max() <= 2
    np.testing.assert_array_equal(again[1], clear)


def test_denser_haze_hides_more_and_the_scene_stays_the_target(scene: tuple[np.ndarray, np.ndarray]) -> None:
    clear, transmission = scene
    haze = estimate_haze(_hazy(clear, transmission, 0.9), clear)
    jitter = HazeJitter(density=3, gain=0, gamma=0)
    contrasts = []
    for seed in range(12):
        hazy, target = rerender(clear, haze, jitter, np.random.default_rng(seed))
        np.testing.assert_array_equal(target, clear)
        contrasts.append(hazy.std())
    assert max(contrasts) > 1.3 * min(contrasts)
    assert max(contrasts) < clear.std()


def test_rerendered_colours_stay_within_the_jitter() -> None:
    clear = np.full((4, 4, 3), 128, np.uint8)
    haze = Haze(0.9, np.ones((4, 4), np.float32))
    reds = set()
    for seed in range(40):
        hazy, target = rerender(clear, haze, HazeJitter(density=1, gain=0.1, gamma=0), np.random.default_rng(seed))
        assert np.abs(target.astype(int) - 128).max() <= 13
        np.testing.assert_array_equal(hazy, target)  # a transmission of 1 is no haze
        reds.add(int(target[0, 0, 0]))
    assert max(reds) - min(reds) > 15


def test_an_image_as_bright_as_its_airlight_has_a_finite_estimate() -> None:
    white = np.full((3, 3, 3), 255, np.uint8)
    haze = estimate_haze(white, white)
    assert np.isfinite(haze.transmission).all()
    assert haze.transmission.min() >= 0.02
    assert haze.transmission.max() <= 1
