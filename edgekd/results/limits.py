"""Limits: how much worse a new engine may be, figure by figure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgekd.core.errors import RecipeError


@dataclass(frozen=True, slots=True)
class Limits:
    """``[limits]`` of limits.toml. A figure without a limit is not checked.

    Attributes:
        latency: Of the median latency, as a share (0.03 is 3 % slower).
        latency_p99: Of the 99th percentile, as a share.
        throughput: Of the mean time per inference, as a share.
        peak_memory, engine_size, onnx_size: Of the bytes, as a share.
        accuracy: Of the primary metric, in its own unit: dB, or 0.01 for one image (or pixel) in a hundred.
        energy: Of the energy per inference including idle power, as a share; inconclusive if there is no sensor.
    """

    latency: float | None = None
    latency_p99: float | None = None
    throughput: float | None = None
    peak_memory: float | None = None
    engine_size: float | None = None
    onnx_size: float | None = None
    accuracy: float | None = None
    energy: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.enabled().items():
            if not 0 <= value < math.inf:
                raise RecipeError(f"{name} = {value!r}; a number of 0 or more was expected")

    def enabled(self) -> dict[str, float]:
        """Return the figures that have a limit: name → limit."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}
