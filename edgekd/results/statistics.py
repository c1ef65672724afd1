"""Statistics of a few processes: exact tests, and intervals over processes and blocks.

The process is the unit of repetition: load address, memory layout and thread placement are drawn once per process, so
blocks of one process resemble each other more than blocks of another (T. Kalibera, R. Jones, "Rigorous Benchmarking in
Reasonable Time", ISMM 2013).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekd.core.numerics import FloatArray

# ``np.median`` or ``np.mean``: what represents a process.
Center = Callable[..., Any]

_RESAMPLES = 2000
_SEED = 0  # fixed: equal samples give equal intervals
_Z95 = 1.959963984540054  # half-width of a normal distribution's 95 % interval, in standard deviations
# Up to this many values all 2^n sign assignments are tried; beyond it a sample of them is drawn.
_EXACT_SIGNS_MAX = 16
_DRAWN_SIGNS = 10_000
# Numbers drawn at once: bounds memory when thousands of images are resampled.
_CHUNK_NUMBERS = 1 << 21


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
    """Return the one-sided p-value of "the differences are not above 0": the exact sign-flip (permutation) test.

    Args:
        differences: (n,) one figure per process, such as the log of new over old; n of 1 or more.

    Returns:
        The share of all 2^n sign assignments whose sum is at least the observed one, so never below 2^-n. Beyond 16
        differences, the share among 10 000 assignments: the observed one, and others drawn with a fixed seed.

    Source: R. Fisher, "The Design of Experiments", 1935, section 21.
    """
    values = np.asarray(differences, np.float64)
    n = len(values)
    # Equal sums of different order differ in their last bits: the tolerance counts them as equal.
    observed = float(np.sum(values)) - 1e-12 * float(np.sum(np.abs(values)))
    if n <= _EXACT_SIGNS_MAX:
        bits = (np.arange(1 << n)[:, None] >> np.arange(n)) & 1  # (2^n, n), every assignment once
        signs = 1.0 - 2.0 * bits
        return float(np.mean(signs @ values >= observed))
    rng = np.random.default_rng(_SEED)
    reached = 1  # the observed assignment itself, so that p is never 0
    for rows in _chunks(_DRAWN_SIGNS - 1, n):
        signs = 1.0 - 2.0 * rng.integers(0, 2, size=(rows, n))
        reached += int(np.sum(signs @ values >= observed))
    return reached / _DRAWN_SIGNS


def mann_whitney(new: Sequence[float] | FloatArray, old: Sequence[float] | FloatArray) -> float:
    """Return the one-sided p-value of "new is not above old": the exact Mann-Whitney test, ties as mid-ranks.

    Args:
        new: (n,) one figure per process; n of 1 or more.
        old: (m,) the same, of processes that are not paired with those.

    Returns:
        The share of all choices of n of the n + m ranks whose sum is at least the observed rank sum of ``new``.

    Source: H. Mann, D. Whitney, Annals of Mathematical Statistics 18(1), 1947; mid-ranks as W. Kruskal, W. Wallis,
    Journal of the American Statistical Association 47(260), 1952.
    """
    mine = np.asarray(new, np.float64)
    pooled = np.concatenate([mine, np.asarray(old, np.float64)])
    # Twice the mid-rank is an integer: the number of values below plus the number of values not above.
    ordered = np.sort(pooled)
    ranks = np.searchsorted(ordered, pooled, "left") + np.searchsorted(ordered, pooled, "right")
    observed = int(ranks[: len(mine)].sum())
    # ways[k, s]: number of choices of k values whose ranks sum to s, filled in one value at a time.
    ways = np.zeros((len(mine) + 1, int(ranks.sum()) + 1))
    ways[0, 0] = 1
    for rank in map(int, ranks):
        ways[1:, rank:] += ways[:-1, :-rank]
    return float(ways[-1, observed:].sum() / ways[-1].sum())


def hierarchical_bootstrap(processes: Sequence[FloatArray], center: Center = np.median) -> Estimate:
    """Estimate the mean over processes of each one's center, with a bootstrap interval over processes and blocks.

    Args:
        processes: One (blocks,) float64 array per process: one figure per block, such as a log ratio. With a single
            process the interval is over its blocks alone; with a single block it is infinite.
        center: What represents a process: ``np.median`` of its blocks, or ``np.mean``.

    Returns:
        The estimate with its percentile interval, widened: percentiles of the bootstrap are too narrow for few
        processes, so their distance from the estimate is multiplied by sqrt(n / (n - 1)) * t / z. For means of normal
        figures that is Student's interval.

    Source: T. Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69(4), 2015, on
    narrowness bias and its correction.
    """
    # The same figures stand in several tables of a report, and a bootstrap takes milliseconds.
    return _bootstrap(tuple(np.ascontiguousarray(blocks, np.float64).tobytes() for blocks in processes), center)


@functools.lru_cache(maxsize=1024)
def _bootstrap(raw_processes: tuple[bytes, ...], center: Center) -> Estimate:
    """Do the work of ``hierarchical_bootstrap`` on the bytes of its arrays, by which it is remembered."""
    processes = [np.frombuffer(raw, np.float64) for raw in raw_processes]
    rng = np.random.default_rng(_SEED)
    centers = np.stack([_redrawn(blocks, center, rng) for blocks in processes])  # (processes, resamples)
    value = float(np.mean([center(blocks) for blocks in processes]))
    n = len(processes)
    chosen = rng.integers(0, n, size=(n, _RESAMPLES))
    drawn = np.mean(np.take_along_axis(centers, chosen, axis=0), axis=0)  # (resamples,)
    units = n if n > 1 else len(processes[0])
    if units == 1:
        return Estimate(value, -math.inf, math.inf)
    stretch = math.sqrt(units / (units - 1)) * t_quantile(0.975, units - 1) / _Z95
    low, high = (value + stretch * (float(end) - value) for end in np.quantile(drawn, [0.025, 0.975]))
    return Estimate(value, low, high)


@functools.lru_cache(maxsize=256)
def t_quantile(p: float, freedom: int) -> float:
    """Return the ``p``-quantile (0.5 < p < 1) of Student's t with ``freedom`` degrees of freedom, 1 or more."""
    low, high = 0.0, 1.0
    while _t_share(high, freedom) < p:
        high *= 2
    for _ in range(80):  # bisection: each step halves the bracket, so 80 exhaust a double's 53 bits
        middle = (low + high) / 2
        low, high = (middle, high) if _t_share(middle, freedom) < p else (low, middle)
    return high


def _redrawn(blocks: FloatArray, center: Center, rng: np.random.Generator) -> FloatArray:
    """Resample one process's blocks: (blocks,) → (resamples,) centers."""
    n = len(blocks)
    drawn = [_row_centers(blocks[rng.integers(0, n, size=(rows, n))], center) for rows in _chunks(_RESAMPLES, n)]
    return np.concatenate(drawn)


def _row_centers(rows: FloatArray, center: Center) -> FloatArray:
    """Return the center of each row: (rows, n) → (rows,). Sorts ``rows`` in place."""
    if center is not np.median:
        return np.asarray(center(rows, axis=1))
    # Equal to np.median, which takes four times as long on many short rows.
    rows.sort(axis=1)
    n = rows.shape[1]
    return (rows[:, (n - 1) // 2] + rows[:, n // 2]) / 2


def _chunks(total: int, width: int) -> list[int]:
    """Split ``total`` rows of ``width`` numbers into chunks of at most ``_CHUNK_NUMBERS`` numbers."""
    most = max(1, _CHUNK_NUMBERS // width)
    return [min(most, total - start) for start in range(0, total, most)]


def _t_share(t: float, freedom: int) -> float:
    """Return P(T < t), t >= 0, of Student's t. Source: Abramowitz and Stegun, 26.7.3 and 26.7.4."""
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
