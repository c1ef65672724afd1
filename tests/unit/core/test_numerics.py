"""The arithmetic that decides and describes: differences, percentiles, spread."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.numerics import Difference, difference, percentile, spread, tukey_fences

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


def test_the_spread_of_known_samples() -> None:
    found = spread([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])
    assert (found.count, found.mean, found.median, found.mad) == (8, 5.0, 4.5, 0.5)
    assert found.cv == pytest.approx(math.sqrt(32 / 7) / 5)
    assert (found.least, found.most) == (2.0, 9.0)
    # Quartiles 4 and 5.5, so fences 1.75 and 7.75: one above.
    assert (found.low_fence, found.high_fence, found.below, found.above) == (1.75, 7.75, 0, 1)


def test_one_sample_has_no_variation_to_tell() -> None:
    found = spread([3.0])
    assert (found.cv, found.mad, found.below, found.above) == (None, 0.0, 0, 0)


def test_a_sample_on_a_fence_is_inside() -> None:
    values = [0.0, 4.0, 4.0, 8.0, 8.0, 14.0]
    low, high = tukey_fences(values)
    assert (low, high) == (-2.0, 14.0)
    assert (spread(values).below, spread(values).above) == (0, 0)
    assert (spread([*values[:-1], 14.01]).above, spread([-50.0, *values]).below) == (1, 1)


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=40))
def test_spread_agrees_with_its_definitions(values: list[float]) -> None:
    found = spread(values)
    assert found.least <= found.median <= found.most
    assert found.mad == np.median([abs(value - found.median) for value in values])
    outside = [value for value in values if not found.low_fence <= value <= found.high_fence]
    assert len(outside) == found.outside == found.below + found.above <= len(values) / 2
    doubled = spread([2 * value for value in values])
    assert doubled.mad == pytest.approx(2 * found.mad)
    assert (doubled.cv is None) == (found.cv is None)
