"""What energy an inference took: integrals over windows of their own, and everything that may be wrong with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgekd.core.numerics import FloatArray

_Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class EnergyWindow:
    """One process that ran one engine back to back, after it had rested with the engine open.

    Attributes:
        inferences: How many were run in the window.
        busy_s, idle_s: Length of the window, and of the rest before it.
        joules: Rail → energy in the window, the trapezoidal integral of its power (or a counter's difference).
        idle_w: Rail → mean power of the rest.
        samples: Readings inside the window.
        busy_error_j, idle_error_w: Standard error of the total: the sensor's steps, and power between its readings.
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
    """What one candidate's inferences took.

    Attributes:
        reader: The file of ``edgekd/machine/sensors/`` that read the sensor.
        sees: What the sensor sees, and what not, in words for people.
        total: The rails that the total is the sum of; other rails are parts of those.
        windows: One a process, in the order they ran; window i of every candidate ran in turn i.
    """

    reader: str
    sees: str
    total: tuple[str, ...]
    windows: tuple[EnergyWindow, ...]

    @property
    def mj(self) -> FloatArray:
        """Energy of an inference, idle power included: (windows,) float64 millijoules."""
        return np.array([1e3 * self._joules(w) / w.inferences for w in self.windows], np.float64)

    @property
    def above_idle_mj(self) -> FloatArray:
        """The same less what the machine takes at rest for as long: (windows,) float64 millijoules."""
        return np.array([1e3 * (self._joules(w) - self._idle_j(w)) / w.inferences for w in self.windows], np.float64)

    @property
    def error_mj(self) -> FloatArray:
        """Standard error of ``mj`` in each window, of the sensor alone: (windows,) float64."""
        return np.array([1e3 * w.busy_error_j / w.inferences for w in self.windows], np.float64)

    @property
    def above_idle_error_mj(self) -> FloatArray:
        """Standard error of ``above_idle_mj`` in each window: (windows,) float64."""
        return np.array(
            [1e3 * math.hypot(w.busy_error_j, w.idle_error_w * w.busy_s) / w.inferences for w in self.windows]
        )

    @property
    def watts(self) -> float:
        """Mean power while it ran."""
        return sum(map(self._joules, self.windows)) / sum(w.busy_s for w in self.windows)

    @property
    def idle_watts(self) -> float:
        """Mean power at rest."""
        return sum(self._idle_j(w) / w.busy_s for w in self.windows) / len(self.windows)

    @property
    def rate_hz(self) -> float:
        """Readings a second."""
        return sum(w.samples for w in self.windows) / sum(w.busy_s for w in self.windows)

    def rail_mj(self, rail: str) -> float:
        """Return one rail's energy of an inference, mean over the windows, in millijoules."""
        return float(np.mean([1e3 * w.joules[rail] / w.inferences for w in self.windows]))

    @property
    def sensor_share(self) -> float:
        """Half of the 95 % interval that the sensor alone gives ``mj``, as a share: windows do not average it out."""
        return float(_Z95 * np.mean(self.error_mj) / abs(np.mean(self.mj)))

    def _joules(self, window: EnergyWindow) -> float:
        return sum(window.joules[rail] for rail in self.total)

    def _idle_j(self, window: EnergyWindow) -> float:
        return sum(window.idle_w[rail] for rail in self.total) * window.busy_s
