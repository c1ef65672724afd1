"""A folder of pictures and nothing else: a user's own images, for adaptation to them with the teacher's answers.

There is no truth: the target of each sample is a placeholder, one float32 zero, in whose place the training loop puts
what the teacher answers. For super-resolution the pictures are low-resolution already and are not degraded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core import family
from edgekd.core.errors import InputError, RecipeError
from edgekd.datasets.item import Item
from edgekd.datasets.pictures import read_picture, read_pictures

_MIB = 1 << 20
_ORDER = 1  # keeps the draw of a pass's order apart from the draws of a sample, which are seeded by two numbers


@dataclass(frozen=True, slots=True)
class Config:
    """How pictures become what the network takes.

    Attributes:
        task: A file of ``edgekd/tasks/``, whose ``fit`` and ``preprocess`` are used.
        crop: Height and width of a random cut at the picture's own scale, pixels; (0, 0) takes the whole picture.
        size: Height and width that the cut is fitted to by the task, pixels; (0, 0) leaves a cut as it is, and fits
            whole pictures as the task's own options say.
        flip_horizontal, flip_vertical: Shares of the samples that are mirrored.
        memory_mib: Decoded pictures kept; what is beyond is read again each time.
    """

    task: str = "super_resolution"
    crop: tuple[int, int] = (0, 0)
    size: tuple[int, int] = (0, 0)
    flip_horizontal: float = 0.5
    flip_vertical: float = 0.0
    memory_mib: int = 1024

    def __post_init__(self) -> None:
        for name in ("crop", "size"):
            high, wide = getattr(self, name)
            if min(high, wide) < 0 or (high == 0) != (wide == 0):
                raise RecipeError(
                    f"{name} = [{high}, {wide}]; a height and a width in pixels, or [0, 0], were expected"
                )
        for name in ("flip_horizontal", "flip_vertical"):
            if not 0 <= getattr(self, name) <= 1:
                raise RecipeError(f"{name} = {getattr(self, name)}; a share from 0 to 1 was expected")
        if self.memory_mib < 0:
            raise RecipeError(f"memory_mib = {self.memory_mib}; 0 or more was expected")


class Training:
    """Pictures, or random cuts of them; a pass is a permutation, and a sample a function of (seed, index)."""

    def __init__(self, folders: Sequence[Path], config: Config, options: Mapping[str, Any], seed: int) -> None:
        """Read all pictures once, and keep what ``memory_mib`` holds.

        Args:
            folders: Folders of pictures.
            config: Task, cut, size, mirroring.
            options: The recipe's ``[task]``.
            seed: Of order, cuts and mirroring, 0 or more.

        Raises:
            InputError: A folder or picture is unusable, or every picture is smaller than a cut.
            UnknownName: There is no such task.
        """
        self.config, self.options, self.seed = config, options, seed
        self.task: Any = family.load("tasks", config.task)
        self.paths: list[Path] = []
        self._kept: dict[Path, NDArray[np.uint8]] = {}
        found, room = 0, config.memory_mib * _MIB
        for path, picture in (item for folder in folders for item in read_pictures(folder)):
            found += 1
            if any(have < want for have, want in zip(picture.shape, config.crop, strict=False)):
                continue
            self.paths.append(path)
            if picture.nbytes <= room:
                self._kept[path] = picture
                room -= picture.nbytes
        if not self.paths:
            raise InputError(
                f"none of {found} pictures in {', '.join(map(str, folders))} is {config.crop[1]}x{config.crop[0]} "
                "pixels or larger; give larger pictures, or a smaller crop"
            )
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))
        self._size = self._seen(0).shape

    def __len__(self) -> int:
        """Pictures a pass."""
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return sample ``index``: the network's input (C, H, W) float32, and the placeholder, () float32 zero.

        Raises:
            InputError: The task makes this picture another size than the first: they cannot share a batch.
        """
        seen = self._seen(index)
        if seen.shape != self._size:
            sizes = [f"{shape[1]}x{shape[0]}" for shape in (self._size, seen.shape)]
            raise InputError(
                f"the pictures have {sizes[0]} and {sizes[1]} pixels; one size was expected, for a batch: give "
                "distill.adapt.data.crop or distill.adapt.data.size"
            )
        return self.task.preprocess(seen, self.options), np.zeros((), np.float32)

    def _seen(self, index: int) -> NDArray[np.uint8]:
        """Return what the task preprocesses for sample ``index``: (H, W, 3) uint8."""
        rng = np.random.default_rng((self.seed, index))
        path = self.paths[self._which(index)]
        picture = self._kept[path] if path in self._kept else read_picture(path)
        high, wide = self.config.crop
        if high:
            top, left = (
                int(rng.integers(have - want + 1)) for have, want in zip(picture.shape, (high, wide), strict=False)
            )
            picture = picture[top : top + high, left : left + wide]
        if rng.random() < self.config.flip_horizontal:
            picture = picture[:, ::-1]
        if rng.random() < self.config.flip_vertical:
            picture = picture[::-1]
        if high and not any(self.config.size):
            return np.ascontiguousarray(picture)
        size = self.config.size if any(self.config.size) else None
        fitted: NDArray[np.uint8] = self.task.fit(picture, None, size, self.options)[0]
        return np.ascontiguousarray(fitted)

    def _which(self, index: int) -> int:
        """Return the picture of sample ``index``; each pass has an order of its own."""
        epoch, place = divmod(index, len(self.paths))
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng((self.seed, epoch, _ORDER)).permutation(len(self.paths))
        return int(self._order[1][place])


def validation(folders: Sequence[Path], config: Config, options: Mapping[str, Any]) -> list[Item]:
    """Return nothing: pictures without truth score nothing."""
    return []
