"""The axes of the page's charts: their ends, and the round numbers that stand on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis, in the unit of what is drawn on it.

    Attributes:
        low, high: Its ends.
        ticks: Round numbers between them, ascending.
        digits: Decimals that a tick is written with; None as many as it has.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    digits: int | None = None


def log_axis(values: Sequence[float], margin: float) -> Axis:
    """Make a logarithmic axis.

    Args:
        values: What it must hold: one or more, above 0.
        margin: What its ends lie beyond the least and the most, as a factor.
    """
    low, high = min(values) / margin, max(values) * margin
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [_round(step * 10.0**power) for power in powers for step in _STEPS]
    inside = tuple(tick for tick in ticks if low <= tick <= high)
    # Of a narrow range 1, 2, 5 leave nothing to read by.
    return Axis(low, high, inside if len(inside) >= 3 else linear_axis((low, high), 0.0).ticks)


def linear_axis(values: Sequence[float], margin: float) -> Axis:
    """Make a linear axis of one value or more; its ends lie beyond them by ``margin``, a share of their range."""
    least, most = min(values), max(values)
    beyond = (most - least) * margin or (0.0 if most > least else abs(most) * 0.01 or 1.0)
    low, high = least - beyond, most + beyond
    step = _step((high - low) / 5)
    count = math.floor(high / step) - math.ceil(low / step) + 1
    ticks = tuple(_round((math.ceil(low / step) + i) * step) for i in range(count))
    return Axis(low, high, ticks, max(0, -math.floor(math.log10(step) + 1e-9)))


def _step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20 ... that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (*_STEPS, 10.0) if step * power >= least * (1 - 1e-9))


def _round(value: float) -> float:
    return float(f"{value:.6g}")
