"""The difference of two arrays, percentiles, and the spread of samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Distance from a quartile to Tukey's inner fence, in interquartile ranges.
FENCE_IQR = 1.5


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of two arrays.

    Attributes:
        max_abs: Largest |found - expected|.
        relative: ``max_abs`` over the largest |expected| (pure number).
        snr_db: Power of ``expected`` over power of the error; inf if there is no error.
    """

    max_abs: float
    relative: float
    snr_db: float


def difference(found: NDArray[np.generic], expected: NDArray[np.generic]) -> Difference:
    """Measure ``found`` against ``expected``.

    Args:
        found: (...) any numeric or bool dtype.
        expected: Same shape. NaN equals NaN, and infinity equals infinity of the same sign.

    Returns:
        The difference; every figure is inf (snr -inf) if shapes differ, or only one side is not finite somewhere.
    """
    lost = Difference(math.inf, math.inf, -math.inf)
    if found.shape != expected.shape:
        return lost
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)  # unsigned integers would wrap around
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if not np.all(np.isfinite(a) == np.isfinite(b)) or not np.all(same[~np.isfinite(b)]):
        return lost
    finite = np.isfinite(b)
    reference = np.where(finite, b, 0)
    error = np.where(finite, a, 0) - reference
    max_abs, peak = float(np.max(np.abs(error), initial=0.0)), float(np.max(np.abs(reference), initial=0.0))
    noise, signal = float(np.sum(error**2)), float(np.sum(reference**2))
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
    # The tiny term undoes binary rounding: (1 - 90/100) * 10 is 0.99999..., which is 1 in trtexec's float32.
    return float(ordered[max(n - 1 - int((1 - p / 100) * n + 1e-9), 0)])


@dataclass(frozen=True, slots=True)
class Spread:
    """Spread of samples, in their own unit.

    Attributes:
        count: Number of samples.
        mean, median: The median of an even number of samples is the mean of the two in the middle.
        mad: Median absolute deviation from the median, not scaled to a normal distribution's standard deviation.
        cv: Coefficient of variation: standard deviation (n - 1) over the mean, a pure number; None for one sample.
        least, most: Minimum and maximum.
        low_fence, high_fence: Tukey's inner fences, see ``tukey_fences``.
        below, above, outside: Number of samples below the low fence, above the high one, and both; none is dropped.
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
    """Describe how positive samples, (n,) float64, scatter, and how many are outside Tukey's fences."""
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
    """Return Tukey's inner fences (low, high): 1.5 interquartile ranges beyond the quartiles.

    Source: J. Tukey, "Exploratory Data Analysis", 1977, section 2D. Difference: quartiles are interpolated linearly
    between ranks (numpy's default); Tukey used hinges.
    """
    first, third = np.quantile(np.asarray(samples, np.float64), [0.25, 0.75])
    reach = FENCE_IQR * (third - first)
    return float(first - reach), float(third + reach)
