"""High-resolution pictures → (LR, HR) training patches, degraded by the bicubic resizing that MATLAB does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError
from edgekd.datasets._pictures import read_pictures
from edgekd.tasks import super_resolution


class Samples:
    """Random aligned patches of all pictures in some folders, each picture as likely as its area.

    A sample is a function of (seed, index) alone, so that any split of a batch over processes, and any resume, sees
    the same data.
    """

    def __init__(self, folders: Sequence[Path], options: Mapping[str, Any], patch: int, seed: int) -> None:
        """Read all pictures into memory (3 + 3/scale² bytes a pixel).

        Args:
            folders: Folders of pictures.
            options: The task's: ``scale``.
            patch: Side of an LR patch, pixels.
            seed: Of the sampling.

        Raises:
            InputError: A folder is unusable, or every picture is smaller than a patch.
        """
        self.scale, self.patch, self.seed = super_resolution.scale_of(options), patch, seed
        everything = [
            super_resolution.degrade(image, options) for folder in folders for _, image in read_pictures(folder)
        ]
        self.pairs = [(low, high) for low, high in everything if min(low.shape[:2]) >= patch]
        if not self.pairs:
            raise InputError(
                f"none of {len(everything)} pictures in {', '.join(map(str, folders))} is at least "
                f"{patch * self.scale} pixels on each side; give larger pictures or a smaller patch"
            )
        areas = np.array([low.shape[0] * low.shape[1] for low, _ in self.pairs], float)
        self.share = np.cumsum(areas / areas.sum())

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return sample ``index``: LR (3, p, p) and HR (3, s*p, s*p), float32 0..1, flipped and turned at random."""
        rng = np.random.default_rng((self.seed, index))
        low, high = self.pairs[min(int(np.searchsorted(self.share, rng.random())), len(self.pairs) - 1)]
        y, x = (int(rng.integers(size - self.patch + 1)) for size in low.shape[:2])
        flip, turns = bool(rng.integers(2)), int(rng.integers(4))
        p, s = self.patch, self.scale
        patches = (low[y : y + p, x : x + p], high[y * s : (y + p) * s, x * s : (x + p) * s])
        turned = (np.rot90(patch[:, ::-1] if flip else patch, turns) for patch in patches)
        lr, hr = (super_resolution.preprocess(patch, {}) for patch in turned)
        return lr, hr

    def batch(self, first: int, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return samples ``first`` to ``first + size`` stacked: (N, 3, p, p) and (N, 3, s*p, s*p)."""
        lows, highs = zip(*(self[index] for index in range(first, first + size)), strict=True)
        return np.stack(lows), np.stack(highs)
