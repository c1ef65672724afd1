"""High-resolution pictures → (LR, HR) training patches, degraded by the bicubic resizing that MATLAB does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError, RecipeError
from edgekd.datasets.item import Item
from edgekd.datasets.pictures import read_picture, read_pictures
from edgekd.tasks import super_resolution

# LR pixels around a patch that its own depend on: the cubic kernel is 2 wide; the rest is slack.
_MARGIN = 4
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Config:
    """``[data.options]`` of this layout.

    Attributes:
        patch: Side of an LR patch, pixels.
        augment: Whether patches are flipped and turned by quarters.
        memory_mib: How much of the pictures stays in memory; the rest is read from disk each time.
    """

    patch: int = 48
    augment: bool = True
    memory_mib: int = 4096

    def __post_init__(self) -> None:
        if self.patch < 1 or self.memory_mib < 0:
            raise RecipeError(
                f"patch = {self.patch}, memory_mib = {self.memory_mib}; 1 or more and 0 or more were expected"
            )


class Training:
    """Random aligned patches of all pictures in some folders, each picture as likely as its area.

    A sample is a function of (seed, index) alone, so that any split of a batch over processes, and any resume, sees
    the same data.
    """

    def __init__(self, folders: Sequence[Path], config: Config, options: Mapping[str, Any], seed: int) -> None:
        """Read all pictures once, and keep what ``memory_mib`` holds.

        Args:
            folders: Folders of pictures.
            config: Patch size, augmentation, memory.
            options: The task's: ``scale``.
            seed: Of the sampling.

        Raises:
            InputError: A folder or picture is unusable, or every picture is smaller than a patch.
        """
        self.config, self.options, self.seed = config, dict(options), seed
        self.scale = super_resolution.scale_of(options)
        self.paths: list[Path] = []
        self._kept: dict[Path, NDArray[np.uint8]] = {}
        sizes, found, free = [], 0, config.memory_mib * _MIB
        for path, image in (picture for folder in folders for picture in read_pictures(folder)):
            found += 1
            low = (image.shape[0] // self.scale, image.shape[1] // self.scale)
            if min(low) < config.patch:
                continue
            self.paths.append(path)
            sizes.append(low)
            if image.nbytes <= free:
                self._kept[path] = image
                free -= image.nbytes
        if not sizes:
            raise InputError(
                f"none of {found} pictures in {', '.join(map(str, folders))} is at least "
                f"{config.patch * self.scale} pixels on each side; give larger pictures or a smaller patch"
            )
        areas = np.array(sizes, float).prod(axis=1)
        self.share = np.cumsum(areas / areas.sum())

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return sample ``index``: LR (3, p, p) and HR (3, s*p, s*p), float32 0..1, flipped and turned at random."""
        rng = np.random.default_rng((self.seed, index))
        path = self.paths[min(int(np.searchsorted(self.share, rng.random())), len(self.paths) - 1)]
        high = self._kept[path] if path in self._kept else read_picture(path)
        low_size = (size // self.scale for size in high.shape[:2])
        y, x = (int(rng.integers(size - self.config.patch + 1)) for size in low_size)
        flip, turns = bool(rng.integers(2)), int(rng.integers(4))
        lr, hr = self._patch(high, y, x)
        if self.config.augment:
            lr, hr = (np.rot90(patch[:, ::-1] if flip else patch, turns) for patch in (lr, hr))
        return super_resolution.preprocess(lr, self.options), super_resolution.preprocess(hr, self.options)

    def _patch(self, high: NDArray[np.uint8], y: int, x: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Cut the LR patch at (y, x) and its HR one: the whole picture's degradation, done on its surroundings alone.

        Aligned cuts have the whole picture's phases, and a cut that ends at its border is mirrored as it is.
        """
        s, p = self.scale, self.config.patch
        height, width = (size // s for size in high.shape[:2])
        top, left = max(0, y - _MARGIN), max(0, x - _MARGIN)
        bottom, right = min(height, y + p + _MARGIN), min(width, x + p + _MARGIN)
        low, _ = super_resolution.degrade(high[top * s : bottom * s, left * s : right * s], self.options)
        lr = low[y - top : y - top + p, x - left : x - left + p]
        return lr, high[y * s : (y + p) * s, x * s : (x + p) * s]


def validation(folders: Sequence[Path], config: Config, options: Mapping[str, Any]) -> list[Item]:
    """Read whole pictures: ``seen`` is the LR one, ``truth`` the HR one cropped to a multiple of the scale.

    Raises:
        InputError: A folder or picture is unusable.
    """
    items = []
    for path, image in (picture for folder in folders for picture in read_pictures(folder)):
        if min(image.shape[:2]) < super_resolution.scale_of(options):
            raise InputError(
                f"{path} is {image.shape[1]}x{image.shape[0]}; {super_resolution.scale_of(options)} pixels or more on "
                "each side were expected: take it out of the folder"
            )
        seen, truth = super_resolution.degrade(image, options)
        items.append(Item(path.stem, seen, truth))
    return items
