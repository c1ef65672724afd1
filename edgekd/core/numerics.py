"""How far two arrays are apart, and percentiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """How far ``found`` is from ``expected``.

    Attributes:
        max_abs: Largest |found - expected|.
        relative: ``max_abs`` over the largest |expected| (pure number).
        snr_db: Power of ``expected`` over power of the error; inf where there is no error.
    """

    max_abs: float
    relative: float
    snr_db: float


def difference(found: NDArray[np.generic], expected: NDArray[np.generic]) -> Difference:
    """Measure ``found`` against ``expected``.

    Args:
        found: (...) any numeric or bool dtype.
        expected: Same shape. NaN and infinity count as equal where both have the same.

    Returns:
        The difference; every figure is inf (snr -inf) where shapes differ or one side alone is not finite.
    """
    lost = Difference(math.inf, math.inf, -math.inf)
    if found.shape != expected.shape:
        return lost
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if not np.all(np.isfinite(a) == np.isfinite(b)) or not np.all(same[~np.isfinite(b)]):
        return lost
    finite = np.isfinite(b)
    error, power = np.where(finite, a, 0) - np.where(finite, b, 0), np.where(finite, b, 0)
    max_abs, peak = float(np.max(np.abs(error), initial=0.0)), float(np.max(np.abs(power), initial=0.0))
    noise, signal = float(np.sum(error**2)), float(np.sum(power**2))
    relative = 0.0 if max_abs == 0 else max_abs / peak if peak else math.inf
    snr_db = math.inf if noise == 0 else -math.inf if signal == 0 else 10 * math.log10(signal / noise)
    return Difference(max_abs, relative, snr_db)


def percentile(samples: Sequence[float] | FloatArray, p: float) -> float:
    """Return the ``p``-th percentile by trtexec's nearest-rank rule from the top.

    Source: NVIDIA TensorRT, samples/common/sampleReporting.cpp, ``findPercentile``: index
    ``max(n - 1 - int((1 - p / 100) * n), 0)`` of the sorted samples.
    """
    ordered = np.sort(np.asarray(samples, np.float64))
    n = len(ordered)
    # The tiny term undoes binary rounding: (1 - 90/100) * 10 is 0.99999..., which trtexec's float32 makes 1.
    return float(ordered[max(n - 1 - int((1 - p / 100) * n + 1e-9), 0)])
