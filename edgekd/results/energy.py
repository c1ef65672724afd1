"""Energy per inference: power integrated over separate measurement windows, and the error of the sensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgekd.core.numerics import FloatArray

_Z95 = 1.959963984540054  # half-width of a normal distribution's 95 % interval, in standard deviations


@dataclass(frozen=True, slots=True)
class EnergyWindow:
    """One process that ran one engine back to back, after an idle period with the engine open.

    Attributes:
        inferences: Number of inferences in the window.
        busy_s, idle_s: Length of the window, and of the idle period before it.
        joules: Rail → energy in the window: the trapezoidal integral of its power, or the difference of a counter.
        idle_w: Rail → mean power in the idle period.
        samples: Sensor readings inside the window.
        busy_error_j, idle_error_w: Standard error of the total, from the sensor's resolution and from changes of power
            between two readings.
    """

    inferences: int
    busy_s: float
    idle_s: float
    joules: Mapping[str, float]
    idle_w: Mapping[str, float]
    samples: int
    busy_error_j: float
    idle_error_w: float


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy of one candidate's inferences.

    Attributes:
        sensor: The file of ``edgekd/machine/sensors/`` that read the sensor.
        description: What the sensor measures and what it does not, in words.
        total: The rails whose sum is the total; other rails are parts of those.
        windows: One per process, in the order they ran; window i of every candidate ran in round i.
    """

    sensor: str
    description: str
    total: tuple[str, ...]
    windows: tuple[EnergyWindow, ...]

    @property
    def mj(self) -> FloatArray:
        """Energy per inference, idle power included: (windows,) float64 millijoules."""
        return np.array([1e3 * self._joules(w) / w.inferences for w in self.windows], np.float64)

    @property
    def above_idle_mj(self) -> FloatArray:
        """Energy per inference minus idle power over the same time: (windows,) float64 millijoules."""
        return np.array([1e3 * (self._joules(w) - self._idle_j(w)) / w.inferences for w in self.windows], np.float64)

    @property
    def error_mj(self) -> FloatArray:
        """Standard error of ``mj`` in each window, from the sensor alone: (windows,) float64."""
        return np.array([1e3 * w.busy_error_j / w.inferences for w in self.windows], np.float64)

    @property
    def above_idle_error_mj(self) -> FloatArray:
        """Standard error of ``above_idle_mj`` in each window: (windows,) float64."""
        # The busy and the idle reading err independently: their errors add in squares.
        errors_j = [math.hypot(w.busy_error_j, w.idle_error_w * w.busy_s) for w in self.windows]
        return np.array([1e3 * e / w.inferences for e, w in zip(errors_j, self.windows, strict=True)], np.float64)

    @property
    def watts(self) -> float:
        """Mean power while the engine ran."""
        return sum(map(self._joules, self.windows)) / sum(w.busy_s for w in self.windows)

    @property
    def idle_watts(self) -> float:
        """Mean power in the idle periods, weighted equally per window."""
        return sum(self._idle_j(w) / w.busy_s for w in self.windows) / len(self.windows)

    @property
    def rate_hz(self) -> float:
        """Sensor readings per second."""
        return sum(w.samples for w in self.windows) / sum(w.busy_s for w in self.windows)

    def rail_mj(self, rail: str) -> float:
        """Return one rail's energy per inference in millijoules, mean over the windows."""
        return float(np.mean([1e3 * w.joules[rail] / w.inferences for w in self.windows]))

    @property
    def sensor_share(self) -> float:
        """Half of the 95 % interval of ``mj`` due to the sensor alone, as a share of ``mj``."""
        # The mean of the errors, not their root sum of squares: a sensor errs alike in all windows.
        return float(_Z95 * np.mean(self.error_mj) / abs(np.mean(self.mj)))

    def _joules(self, window: EnergyWindow) -> float:
        return sum(window.joules[rail] for rail in self.total)

    def _idle_j(self, window: EnergyWindow) -> float:
        return sum(window.idle_w[rail] for rail in self.total) * window.busy_s
