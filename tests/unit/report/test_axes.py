"""The axes: they hold their values, and their ticks are round numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.report.axes import linear_axis, log_axis


def test_a_logarithmic_axis_counts_by_1_2_5() -> None:
    axis = log_axis([12.0, 180.0], 1.2)
    assert axis.ticks == (10, 20, 50, 100, 200)
    assert (axis.low, axis.high) == (10, pytest.approx(216))


def test_a_narrow_logarithmic_axis_has_linear_ticks() -> None:
    assert log_axis([22.0, 24.0], 1.05).ticks == (21, 22, 23, 24, 25)


def test_a_linear_axis_knows_how_many_decimals_its_ticks_need() -> None:
    axis = linear_axis([34.46, 34.96], 0.14)
    assert axis.ticks == (34.4, 34.6, 34.8, 35.0)
    assert axis.digits == 1
    assert linear_axis([100.0, 900.0], 0.0).digits == 0


def test_one_value_alone_has_an_axis() -> None:
    assert linear_axis([0.0], 0.1).low < 0 < linear_axis([0.0], 0.1).high
    axis = linear_axis([35.0], 0.1)
    assert axis.low < 35 < axis.high
    assert len(axis.ticks) >= 3


@given(st.lists(st.floats(1e-4, 1e6), min_size=1, max_size=8))
def test_axes_hold_their_values_and_ticks_lie_inside(values: list[float]) -> None:
    for axis in (log_axis(values, 1.2), linear_axis(values, 0.1)):
        assert axis.low < axis.high
        assert axis.low <= min(values) <= max(values) <= axis.high
        assert list(axis.ticks) == sorted(set(axis.ticks))
        assert len(axis.ticks) >= 2
        assert all(axis.low * (1 - 1e-5) <= tick <= axis.high * (1 + 1e-5) for tick in axis.ticks)
