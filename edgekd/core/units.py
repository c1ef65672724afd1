"""Numbers as text. The unit is in the function's name; every table and page formats its numbers here."""

from __future__ import annotations

_SI = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
MIB = 1024 * 1024


def ms(value_ms: float | None) -> str:
    """Format milliseconds with three significant digits: ``0.123``, ``4.57``, ``812``."""
    return _significant(value_ms)


def mib(value_bytes: float | None) -> str:
    """Format bytes as MiB with three significant digits."""
    return "–" if value_bytes is None else _significant(value_bytes / MIB)


def count(value: float | None) -> str:
    """Format a count with an SI prefix: ``1.37 M``, ``22.5 G``, ``512``."""
    if value is None:
        return "–"
    for size, prefix in _SI:
        if abs(value) >= size:
            return f"{_significant(value / size)} {prefix}"
    return f"{value:g}"


def db(value_db: float | None) -> str:
    """Format decibels with two decimals."""
    return "–" if value_db is None else f"{value_db:.2f}"


def ratio(value: float | None) -> str:
    """Format a ratio: ``3.14x``."""
    return "–" if value is None else f"{_significant(value)}x"


def _significant(value: float | None) -> str:
    """Format with three significant digits; below 1 with three decimals."""
    if value is None:
        return "–"
    for least, decimals in ((100, 0), (10, 1), (1, 2)):
        if abs(value) >= least:
            return f"{value:.{decimals}f}"
    return f"{value:.3f}"
