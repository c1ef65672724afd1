"""The axes of the page's charts: their ends and their ticks, which are round numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 5.0)
_MIN_TICKS = 3  # fewer are too few to read a value from
_INTERVALS = 5  # about as many between the ticks of a linear axis


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis, in the unit of its values.

    Attributes:
        low, high: Its ends.
        ticks: Round numbers between them, ascending.
        digits: Decimals that a tick is written with; None for as many as it has.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    digits: int | None = None


def log_axis(values: Sequence[float], margin: float) -> Axis:
    """Make a logarithmic axis.

    Args:
        values: The values it must hold; at least one, all above 0.
        margin: Factor by which its ends lie beyond the smallest and the largest value.
    """
    low, high = min(values) / margin, max(values) * margin
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [_round(step * 10.0**power) for power in powers for step in _STEPS]
    inside = tuple(tick for tick in ticks if low <= tick <= high)
    # A narrow range holds too few of 1, 2, 5, 10, 20 ...
    return Axis(low, high, inside if len(inside) >= _MIN_TICKS else linear_axis((low, high), 0.0).ticks)


def linear_axis(values: Sequence[float], margin: float) -> Axis:
    """Make a linear axis.

    Args:
        values: The values it must hold; at least one.
        margin: How far its ends lie beyond them, as a share of their range.
    """
    least, most = min(values), max(values)
    beyond = (most - least) * margin
    if most == least:
        beyond = abs(most) * 0.01 or 1.0  # one value alone needs a range, too
    low, high = least - beyond, most + beyond
    step = _step((high - low) / _INTERVALS)
    count = math.floor(high / step) - math.ceil(low / step) + 1
    ticks = tuple(_round((math.ceil(low / step) + i) * step) for i in range(count))
    # The tiny term undoes binary rounding: log10 of a step of 0.001 is a little below -3.
    return Axis(low, high, ticks, max(0, -math.floor(math.log10(step) + 1e-9)))


def _step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20 ... that is at least ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (*_STEPS, 10.0) if step * power >= least * (1 - 1e-9))


def _round(value: float) -> float:
    return float(f"{value:.6g}")  # 0.30000000000000004 would be drawn as it is
