"""The arithmetic that decides: differences, percentiles."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgekd.core.numerics import Difference, difference, percentile

LOST = Difference(math.inf, math.inf, -math.inf)
NAN, INF = math.nan, math.inf


def test_equal_arrays_differ_by_nothing() -> None:
    x = np.array([1.0, -2.0], np.float16)
    assert difference(x, x) == Difference(0.0, 0.0, math.inf)


def test_the_figures_of_a_known_difference() -> None:
    found = difference(np.array([1.0, 2.0, 2.0]), np.array([1.0, 2.0, -4.0]))
    assert found.max_abs == 6
    assert found.relative == 1.5
    assert found.snr_db == pytest.approx(10 * math.log10(21 / 36))


def test_difference_from_zero() -> None:
    assert difference(np.array([0.5]), np.array([0.0])) == Difference(0.5, math.inf, -math.inf)
    assert difference(np.array([0.0]), np.array([0.0])) == Difference(0.0, 0.0, math.inf)


@pytest.mark.parametrize(
    ("found", "expected", "same"),
    [
        ([NAN, 1.0], [NAN, 1.0], True),
        ([INF, 1.0], [INF, 1.0], True),
        ([NAN, 1.0], [1.0, 1.0], False),
        ([1.0, 1.0], [INF, 1.0], False),
        ([-INF], [INF], False),
        ([NAN], [INF], False),
        ([], [], True),
    ],
)
def test_what_is_not_finite(found: list[float], expected: list[float], same: bool) -> None:
    assert difference(np.array(found), np.array(expected)) == (Difference(0.0, 0.0, math.inf) if same else LOST)


def test_shapes_that_differ_are_lost() -> None:
    assert difference(np.zeros((2, 1)), np.zeros((1, 2))) == LOST


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float16])
def test_any_numeric_dtype(dtype: type) -> None:
    # uint8 1 - 2 would wrap around to 255
    assert difference(np.array([0, 1], dtype), np.array([1, 1], dtype)).max_abs == 1


@pytest.mark.parametrize(
    ("p", "expected"),
    # trtexec: index max(n - 1 - int((1 - p / 100) * n), 0) of ten sorted samples
    [(0, 1), (50, 5), (90, 9), (95, 10), (99, 10), (99.9, 10), (100, 10), (10, 1), (1, 1)],
)
def test_percentile_is_trtexecs(p: float, expected: float) -> None:
    shuffled = [3, 1, 2, 10, 9, 8, 7, 6, 5, 4]
    assert percentile(shuffled, p) == expected


def test_percentile_of_one_sample() -> None:
    assert [percentile([7.0], p) for p in (0, 50, 99, 100)] == [7.0] * 4


def test_percentiles_never_fall() -> None:
    samples = np.random.default_rng(0).exponential(size=137)
    found = [percentile(samples, p) for p in np.linspace(0, 100, 401)]
    assert found == sorted(found)
    assert found[-1] == samples.max()
