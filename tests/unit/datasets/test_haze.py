"""Haze found back from a synthesised pair, and put on again."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.datasets.haze import Change, haze_of, rehazed


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A clear picture of low contrast to the airlight nowhere, and how much of it reaches the camera."""
    clear = np.random.default_rng(0).integers(0, 200, (24, 32, 3)).astype(np.uint8)
    return clear, np.tile(np.linspace(0.2, 0.9, 32, dtype=np.float32), (24, 1))


def _hazy(clear: np.ndarray, transmission: np.ndarray, airlight: float) -> np.ndarray:
    t = transmission[..., None]
    return np.round(255 * (clear / 255 * t + airlight * (1 - t))).astype(np.uint8)


@pytest.mark.parametrize("airlight", [0.8, 0.95])
def test_airlight_and_transmission_come_back(scene: tuple[np.ndarray, np.ndarray], airlight: float) -> None:
    clear, transmission = scene
    found = haze_of(_hazy(clear, transmission, airlight), clear)
    assert found.airlight == pytest.approx(airlight, abs=0.011)  # the airlights that are tried lie 0.01 apart
    assert np.abs(found.transmission - transmission).max() < 0.03


def test_a_change_of_nothing_gives_the_pair_again(scene: tuple[np.ndarray, np.ndarray]) -> None:
    clear, transmission = scene
    hazy = _hazy(clear, transmission, 0.9)
    again = rehazed(clear, haze_of(hazy, clear), Change(density=1, gain=0, gamma=0), np.random.default_rng(0))
    assert np.abs(again[0].astype(int) - hazy).max() <= 2
    np.testing.assert_array_equal(again[1], clear)


def test_denser_haze_hides_more_and_the_scene_stays_the_truth(scene: tuple[np.ndarray, np.ndarray]) -> None:
    clear, transmission = scene
    haze = haze_of(_hazy(clear, transmission, 0.9), clear)
    change = Change(density=3, gain=0, gamma=0)
    contrasts = []
    for seed in range(12):
        hazy, truth = rehazed(clear, haze, change, np.random.default_rng(seed))
        np.testing.assert_array_equal(truth, clear)
        contrasts.append(hazy.std())
    assert max(contrasts) > 1.3 * min(contrasts)
    assert max(contrasts) < clear.std()
