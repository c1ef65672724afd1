"""Tests and intervals: against tables, against enumeration, and by their coverage."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from edgekd.results.statistics import hierarchical_bootstrap, mann_whitney, sign_flip, t_quantile


# Two-sided 95 % and 99 % points of Student's t, as every textbook prints them.
@pytest.mark.parametrize(
    ("freedom", "t95", "t99"),
    [
        (1, 12.706, 63.657),
        (2, 4.303, 9.925),
        (3, 3.182, 5.841),
        (6, 2.447, 3.707),
        (9, 2.262, 3.250),
        (30, 2.042, 2.750),
    ],
)
def test_students_t(freedom, t95, t99):
    assert t_quantile(0.975, freedom) == pytest.approx(t95, abs=5e-4)
    assert t_quantile(0.995, freedom) == pytest.approx(t99, abs=5e-4)


def test_students_t_below_1():
    assert t_quantile(0.6, 5) == pytest.approx(0.267, abs=5e-4)


def test_sign_flip_counts_every_assignment():
    assert sign_flip([1.0] * 7) == 2**-7
    assert sign_flip([-1.0] * 7) == 1.0
    assert sign_flip([5.0]) == 0.5
    values = [3.0, 1.0, -0.5, 2.0, 0.25]
    sums = [sum(s * v for s, v in zip(signs, values, strict=True)) for signs in itertools.product((1, -1), repeat=5)]
    assert sign_flip(values) == np.mean([total >= sum(values) for total in sums])


def test_sign_flip_calls_equal_sums_equal():
    """0.1 + 0.2 equals 0.3 on paper, so half of all assignments reach 0."""
    assert sign_flip([0.1, 0.2, -0.3]) == np.mean([t >= 0 for t in (6, 0, 4, -2, 2, -4, 0, -6)])


def _flipped(values):
    """All sums there are, by enumeration."""
    return [
        sum(s * v for s, v in zip(signs, values, strict=True))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]


@pytest.mark.parametrize("values", [[3, -2, 1, -4], [5, 4, -3, -2, -1, 1], [-6, 2, 2, 1], [1, -1, 2, -2, 3, -4, 0.5]])
def test_sign_flip_of_both_signs(values):
    assert sign_flip(values) == np.mean([total >= sum(values) for total in _flipped(values)])


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_sign_flip_calls_sums_equal_at_every_scale(scale):
    values = [0.1, 0.2, -0.3, 0.7, -0.7, 0.6, -0.6]
    exact = [round(10 * value) for value in values]
    expected = np.mean([total >= sum(exact) for total in _flipped(exact)])
    assert sign_flip([scale * value for value in values]) == expected


@pytest.mark.parametrize("n", [1, 7, 16, 17, 40])
def test_sign_flip_of_zeros_has_p_1(n):
    assert sign_flip([0.0] * n) == 1.0


def test_sign_flip_is_exact_up_to_sixteen():
    assert sign_flip([1.0] * 16) == 2**-16


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ([1, 1, 2], [1, 0, 3, 1]),
        ([2, 2, 2], [2, 2, 1]),
        ([0, 5], [5, 5, 0, 1]),
        ([1, 2], [1, 2]),
        ([3, 1, 4, 1], [5, 9, 2, 6, 5]),
        ([2, 3], [1, 1, 2, 4, 4, 4]),  # of 1s and 3 a rank sum lies one below that of 2 and 3
        *[([0, 1, 2][:n], [0, 0, 1, 3, 3, 3][m:]) for n in (1, 2, 3) for m in (0, 1, 2)],
    ],
)
def test_mann_whitney_ranks_ties_in_the_middle(new, old):
    pooled = [*new, *old]
    ranks = [(sum(v < x for v in pooled) + sum(v <= x for v in pooled)) for x in pooled]  # twice the mid-rank, less 1
    seen = sum(ranks[: len(new)])
    deals = [sum(ranks[i] for i in deal) for deal in itertools.combinations(range(len(pooled)), len(new))]
    assert mann_whitney(new, old) == pytest.approx(np.mean([total >= seen for total in deals]), abs=1e-12)


def test_sign_flip_of_many_is_drawn_and_never_0():
    rng = np.random.default_rng(3)
    assert sign_flip(np.ones(40)) == 1e-4
    assert sign_flip(rng.normal(0, 1, 40)) == sign_flip(np.random.default_rng(3).normal(0, 1, 40))
    assert sign_flip(rng.normal(-2, 1, 17)) > 0.99
    # Normal approximation: the sum of 40 signed values has a variance of the sum of their squares.
    values = np.linspace(-1, 1.4, 40)
    z = values.sum() / math.sqrt(np.square(values).sum())
    assert sign_flip(values) == pytest.approx(0.5 * math.erfc(z / math.sqrt(2)), abs=0.01)


def test_mann_whitney_counts_every_deal():
    assert mann_whitney([4, 5, 6], [1, 2, 3]) == 1 / 20
    assert mann_whitney([1, 2, 3], [4, 5, 6]) == 1
    assert mann_whitney([2.0], [1.0]) == 0.5
    new, old = [3.0, 1.0, 2.0, 2.0], [2.0, 0.5, 1.0]
    pooled = new + old
    ranks = [sum(v < x for v in pooled) + (sum(v == x for v in pooled) + 1) / 2 for x in pooled]
    sums = [sum(ranks[i] for i in picked) for picked in itertools.combinations(range(7), 4)]
    assert mann_whitney(new, old) == np.mean([total >= sum(ranks[:4]) for total in sums])


def test_mann_whitney_of_equal_figures_has_p_1():
    assert mann_whitney([1, 1, 1], [1, 1]) == 1


def test_few_normal_processes_get_students_interval():
    """Blocks without scatter leave the mean over processes, whose interval has a formula."""
    figures = np.array([1.0, 3.0, 2.0, 2.5, 1.5, 2.2, 1.8])
    found = hierarchical_bootstrap([np.full(5, figure) for figure in figures])
    half = t_quantile(0.975, 6) * figures.std(ddof=1) / math.sqrt(7)
    assert found.value == pytest.approx(figures.mean())
    assert found.low == pytest.approx(figures.mean() - half, rel=0.05)
    assert found.high == pytest.approx(figures.mean() + half, rel=0.05)


def test_one_process_has_an_interval_over_its_blocks_and_one_block_none():
    rng = np.random.default_rng(0)
    blocks = rng.normal(5, 1, 200)
    alone = hierarchical_bootstrap([blocks])
    assert alone.value == np.median(blocks)
    assert 0.15 < alone.high - alone.low < 0.6  # 2 * 1.96 * 1.25 / sqrt(200) = 0.35
    nothing = hierarchical_bootstrap([np.array([5.0])])
    assert (nothing.value, nothing.low, nothing.high) == (5.0, -math.inf, math.inf)


def test_95_of_100_intervals_cover_the_true_value():
    """Processes differ by 1, blocks inside one by 2: 95 of 100 intervals of seven processes cover the mean."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        found = hierarchical_bootstrap([rng.normal(rng.normal(0, 1), 2, 20) for _ in range(7)])
        covered += found.low <= 0 <= found.high
    assert 0.92 <= covered / 200 <= 1.0


def test_thousands_of_figures():
    rng = np.random.default_rng(0)
    assert sign_flip(rng.normal(0.2, 1, 5_000)) == 1e-4
    assert mann_whitney(rng.normal(1, 1, 70), rng.normal(0, 1, 70)) < 1e-4
    found = hierarchical_bootstrap([rng.normal(3, 1, 5_000)], np.mean)
    assert found.low < 3.0 < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(5_000), rel=0.1)


@pytest.mark.parametrize(("distance", "quantile"), [(2.0, 12.706), (0.5, 12.706)])
def test_two_processes_are_stretched_by_one_degree_of_freedom(distance, quantile):
    """Of two, the 2.5 % quantile of resampled means is the lower process itself."""
    found = hierarchical_bootstrap([np.array([1.0]), np.array([1.0 + distance])], np.mean)
    assert found.value == 1 + distance / 2
    half = math.sqrt(2) * quantile / 1.96 * distance / 2
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), rel=1e-4)


@pytest.mark.parametrize("n", [5, 8])
def test_intervals_of_few_processes_are_as_wide_as_students(n):
    values = np.random.default_rng(n).normal(10, 1, n)
    found = hierarchical_bootstrap([np.array([value]) for value in values], np.mean)
    students = t_quantile(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)
    assert found.high - found.low == pytest.approx(2 * students, rel=0.05)


def test_the_same_figures_have_the_same_interval():
    processes = [np.random.default_rng(i).normal(0, 1, 6) for i in range(4)]
    assert hierarchical_bootstrap(processes) == hierarchical_bootstrap(processes)
