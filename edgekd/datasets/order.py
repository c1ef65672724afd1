"""The order in which training reads its items: one random permutation per epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# A sample's own random numbers are seeded by (seed, index). A third number keeps the permutations apart from them.
_STREAM = 1


class EpochOrder:
    """Maps a sample's index, which counts on from epoch to epoch, to an item.

    Every epoch has a permutation of its own, drawn from (seed, epoch) alone: a resumed run, and every process of a
    distributed one, reads the same items.

    Args:
        length: Number of items, 1 or more.
        seed: 0 or more.
        stream: Keeps these random numbers apart from others of the same seed.
    """

    def __init__(self, length: int, seed: int, stream: int = _STREAM) -> None:
        self._length, self._seed, self._stream = length, seed, stream
        self._epoch, self._permutation = -1, np.empty(0, np.int64)

    def __len__(self) -> int:
        """Return the number of items, which is the number of samples in an epoch."""
        return self._length

    def __getitem__(self, index: int) -> int:
        """Return the item of sample ``index``, 0 or more."""
        epoch, position = divmod(index, self._length)
        if epoch != self._epoch:
            self._epoch, self._permutation = epoch, self._draw(epoch)
        return int(self._permutation[position])

    def _draw(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((self._seed, epoch, self._stream)).permutation(self._length)
