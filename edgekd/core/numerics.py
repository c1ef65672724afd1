"""How far two arrays are apart, percentiles, and how widely samples scatter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Interquartile ranges from the nearer quartile to Tukey's inner fence.
FENCE_IQR = 1.5


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


@dataclass(frozen=True, slots=True)
class Spread:
    """How samples scatter, in their own unit.

    Attributes:
        count: How many there are.
        mean, median: The middle of an even number is the mean of its two middle values.
        mad: Median absolute deviation from the median, as it is (not scaled to be a normal's standard deviation).
        cv: Coefficient of variation: standard deviation (n - 1) over the mean, a pure number; None of one sample.
        least, most: The ends.
        low_fence, high_fence: Tukey's inner fences, see ``tukey_fences``.
        below, above, outside: How many samples lie below the low fence, above the high one, both; never dropped.
    """

    count: int
    mean: float
    median: float
    mad: float
    cv: float | None
    least: float
    most: float
    low_fence: float
    high_fence: float
    below: int
    above: int
    outside: int


def spread(samples: Sequence[float] | FloatArray) -> Spread:
    """Describe one sample or more, positive: how they scatter, and how many lie outside Tukey's fences."""
    values = np.asarray(samples, np.float64)
    mean, median = float(values.mean()), float(np.median(values))
    low, high = tukey_fences(values)
    below, above = int((values < low).sum()), int((values > high).sum())
    return Spread(
        count=len(values),
        mean=mean,
        median=median,
        mad=float(np.median(np.abs(values - median))),
        cv=float(values.std(ddof=1)) / mean if len(values) > 1 else None,
        least=float(values.min()),
        most=float(values.max()),
        low_fence=low,
        high_fence=high,
        below=below,
        above=above,
        outside=below + above,
    )


def tukey_fences(samples: Sequence[float] | FloatArray) -> tuple[float, float]:
    """Return the inner fences (low, high): 1.5 interquartile ranges beyond the quartiles.

    Source: J. Tukey, "Exploratory Data Analysis", 1977, section 2D. Differs from the book: quartiles are interpolated
    linearly between ranks (numpy's default), where Tukey took hinges.
    """
    first, third = np.quantile(np.asarray(samples, np.float64), [0.25, 0.75])
    reach = FENCE_IQR * (third - first)
    return float(first - reach), float(third + reach)
