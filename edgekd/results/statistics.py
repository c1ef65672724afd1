"""What a few processes can tell: exact tests, and intervals over processes and blocks.

A process is the unit that repeats: load address, memory layout and thread placement are drawn once in each, so that its
blocks resemble one another more than another process's (T. Kalibera, R. Jones, "Rigorous Benchmarking in Reasonable
Time", ISMM 2013).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekd.core.numerics import FloatArray

# ``np.median`` or ``np.mean``.
Center = Callable[..., Any]

_RESAMPLES = 2000
_SEED = 0
_Z95 = 1.959963984540054
# Beyond this many values the 2^n signs are drawn at random instead of all being tried.
_SIGNS_EXACT = 16
_SIGNS_DRAWN = 10_000
# Numbers drawn at once: a thousand pictures are resampled in little memory, too.
_AT_ONCE = 1 << 21


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % interval, in the figure's own unit.

    Attributes:
        value: The figure.
        low, high: The interval.
    """

    value: float
    low: float
    high: float


def sign_flip(differences: Sequence[float] | FloatArray) -> float:
    """Return the one-sided p of "the differences are not above 0", by flipping their signs in every way.

    Args:
        differences: One figure a process, such as the log of new over old; n of 1 or more.

    Returns:
        The share of the 2^n assignments of signs whose sum is at least the one seen; it can be no smaller than 2^-n.
        Of more than 16 differences, of 10 000 assignments: the one seen, and others drawn with a fixed seed.

    Source: R. Fisher, "The Design of Experiments", 1935, section 21.
    """
    values = np.asarray(differences, np.float64)
    n = len(values)
    # Sums that are equal on paper differ in their last bits.
    seen = float(np.sum(values)) - 1e-12 * float(np.sum(np.abs(values)))
    if n <= _SIGNS_EXACT:
        signs = 1.0 - 2.0 * ((np.arange(1 << n)[:, None] >> np.arange(n)) & 1)
        return float(np.mean(signs @ values >= seen))
    rng = np.random.default_rng(_SEED)
    reached = 1
    for rows in _rows(_SIGNS_DRAWN - 1, n):
        signs = 1.0 - 2.0 * rng.integers(0, 2, size=(rows, n))
        reached += int(np.sum(signs @ values >= seen))
    return reached / _SIGNS_DRAWN


def mann_whitney(new: Sequence[float] | FloatArray, old: Sequence[float] | FloatArray) -> float:
    """Return the one-sided p of "new is not above old", exact, ties by mid-ranks.

    Args:
        new: One figure a process, of one process or more.
        old: The same of processes that were not paired with those.

    Returns:
        The share of all ways of dealing the ranks whose rank sum of "new" is at least the one seen.

    Source: H. Mann, D. Whitney, Annals of Mathematical Statistics 18(1), 1947; mid-ranks as W. Kruskal, W. Wallis,
    Journal of the American Statistical Association 47(260), 1952.
    """
    mine = np.asarray(new, np.float64)
    pooled = np.concatenate([mine, np.asarray(old, np.float64)])
    # Twice the mid-rank is a whole number: values below, and values not above, each counted once.
    ordered = np.sort(pooled)
    ranks = np.searchsorted(ordered, pooled, "left") + np.searchsorted(ordered, pooled, "right")
    seen = int(ranks[: len(mine)].sum())
    # ways[k, s]: how many choices of k of the values have ranks that sum to s.
    ways = np.zeros((len(mine) + 1, int(ranks.sum()) + 1))
    ways[0, 0] = 1
    for rank in map(int, ranks):
        ways[1:, rank:] += ways[:-1, :-rank]
    return float(ways[-1, seen:].sum() / ways[-1].sum())


def two_level(processes: Sequence[FloatArray], center: Center = np.median) -> Estimate:
    """Estimate the mean over processes of each one's center, with an interval by bootstrap over processes and blocks.

    Args:
        processes: One array a process, (blocks,) float64 each: one figure a block, such as a log ratio. Two or more
            processes tell how much processes differ; of one, the interval is over its blocks alone, and of one block
            it has no ends.
        center: What stands for a process: ``np.median`` of its blocks, or ``np.mean``.

    Returns:
        The estimate with its percentile interval, stretched: percentiles of the bootstrap are too narrow for few
        processes, so their distance from the estimate is multiplied by sqrt(n / (n - 1)) * t / z, which for means of
        normal figures makes Student's interval of them.

    Source: T. Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69(4), 2015, on
    narrowness bias and its correction.
    """
    rng = np.random.default_rng(_SEED)
    centers = np.stack([_redrawn(blocks, center, rng) for blocks in processes])  # (processes, resamples)
    value = float(np.mean([center(blocks) for blocks in processes]))
    n = len(processes)
    chosen = rng.integers(0, n, size=(n, _RESAMPLES))
    drawn = np.mean(np.take_along_axis(centers, chosen, axis=0), axis=0)
    units = n if n > 1 else len(processes[0])
    if units == 1:
        return Estimate(value, -math.inf, math.inf)
    stretch = math.sqrt(units / (units - 1)) * t_quantile(0.975, units - 1) / _Z95
    low, high = (value + stretch * (float(end) - value) for end in np.quantile(drawn, [0.025, 0.975]))
    return Estimate(value, low, high)


def t_quantile(p: float, freedom: int) -> float:
    """Return Student's t below which lies the share ``p`` (0.5 < p < 1), for ``freedom`` of 1 or more degrees."""
    low, high = 0.0, 1.0
    while _t_share(high, freedom) < p:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_share(middle, freedom) < p else (low, middle)
    return high


def _redrawn(blocks: FloatArray, center: Center, rng: np.random.Generator) -> FloatArray:
    """Resample one process's blocks: (blocks,) → (resamples,) centers."""
    n = len(blocks)
    drawn = [center(blocks[rng.integers(0, n, size=(rows, n))], axis=1) for rows in _rows(_RESAMPLES, n)]
    return np.concatenate(drawn)


def _rows(total: int, width: int) -> list[int]:
    """Split ``total`` rows of ``width`` numbers into parts that are drawn at once."""
    most = max(1, _AT_ONCE // width)
    return [min(most, total - start) for start in range(0, total, most)]


def _t_share(t: float, freedom: int) -> float:
    """Return the share of Student's t below ``t`` >= 0. Source: Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    theta = math.atan(t / math.sqrt(freedom))
    cosine = math.cos(theta)
    term = total = cosine if freedom % 2 else 1.0
    for k in range(2 + freedom % 2, freedom, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    if freedom == 1:
        total = 0.0
    inside = 2 / math.pi * (theta + math.sin(theta) * total) if freedom % 2 else math.sin(theta) * total
    return 0.5 + inside / 2
