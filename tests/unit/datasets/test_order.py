"""EpochOrder: one permutation per epoch, from seed and epoch alone."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.datasets.order import EpochOrder


@pytest.mark.parametrize("length", [1, 2, 7])
def test_every_epoch_has_every_item_once(length: int) -> None:
    order = EpochOrder(length, seed=0)
    assert len(order) == length
    for epoch in range(4):
        assert sorted(order[epoch * length + position] for position in range(length)) == list(range(length))


def test_epochs_and_seeds_and_streams_differ() -> None:
    def first(order: EpochOrder, epoch: int = 0) -> list[int]:
        return [order[epoch * 20 + position] for position in range(20)]

    order = EpochOrder(20, seed=3)
    orders = [first(order), first(order, 1), first(EpochOrder(20, seed=4)), first(EpochOrder(20, seed=3, stream=0))]
    assert len({tuple(one) for one in orders}) == 4


def test_an_index_gives_the_same_item_in_any_order_of_reading() -> None:
    forwards, scattered = EpochOrder(5, seed=1), EpochOrder(5, seed=1)
    expected = [forwards[index] for index in range(30)]
    for index in np.random.default_rng(0).permutation(30):
        assert scattered[int(index)] == expected[index]


def test_it_is_the_permutation_of_numpys_generator() -> None:
    """Runs that were started by an older edgekd go on with the same order."""
    expected = np.random.default_rng((5, 2, 1)).permutation(6).tolist()
    assert [EpochOrder(6, seed=5)[12 + position] for position in range(6)] == expected
