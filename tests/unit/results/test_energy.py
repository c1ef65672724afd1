"""Energy per inference, computed from windows of known power."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.results.energy import Energy, EnergyWindow

# 10 W in, of which 6 W for the GPU; 4 W when idle. 100 inferences in 2 s, then 50 in 1 s.
WINDOWS = (
    EnergyWindow(100, 2.0, 1.0, {"VDD_IN": 20.0, "VDD_GPU": 12.0}, {"VDD_IN": 4.0, "VDD_GPU": 1.0}, 200, 0.3, 0.2),
    EnergyWindow(50, 1.0, 0.5, {"VDD_IN": 10.0, "VDD_GPU": 6.0}, {"VDD_IN": 4.0, "VDD_GPU": 1.0}, 100, 0.0, 0.0),
)


def energy(*windows, total=("VDD_IN",)) -> Energy:
    return Energy("ina3221", "the module", total, windows or WINDOWS)


def test_energy_per_inference_includes_idle_power_or_not():
    np.testing.assert_allclose(energy().mj, [200, 200])
    np.testing.assert_allclose(energy().above_idle_mj, [120, 120])


def test_only_the_rails_of_the_total_are_added():
    np.testing.assert_allclose(energy(total=("VDD_GPU",)).mj, [120, 120])
    np.testing.assert_allclose(energy(total=("VDD_IN", "VDD_GPU")).mj, [320, 320])
    assert energy().rail_mj("VDD_GPU") == pytest.approx(120)


def test_mean_power_and_rate():
    assert energy().watts == pytest.approx(10)
    assert energy().idle_watts == pytest.approx(4)
    assert energy().rate_hz == pytest.approx(100)


def test_errors_per_inference():
    np.testing.assert_allclose(energy().error_mj, [3, 0])
    # The idle power's error of 0.2 W over 2 s is 0.4 J: with 0.3 J they add up to 0.5 J in squares.
    np.testing.assert_allclose(energy().above_idle_error_mj, [5, 0])


@pytest.mark.parametrize("count", [1, 4])
def test_windows_do_not_average_out_the_sensor_s_error(count):
    found = energy(*WINDOWS[:1] * count)
    assert found.sensor_share == pytest.approx(1.96 * 3 / 200, rel=1e-3)


def test_the_sensor_s_share_is_positive_where_a_reading_is_not():
    window = EnergyWindow(10, 1.0, 0.5, {"VDD_IN": -2.0}, {"VDD_IN": 0.0}, 10, 0.1, 0.0)
    assert energy(window).sensor_share > 0
