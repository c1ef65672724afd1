"""A folder of images and nothing else: a user's own images, on which a student imitates its teacher.

There is no ground truth: the target of each sample is a placeholder, one float32 zero, which the training loop replaces
by the teacher's output. For super-resolution the images already are low-resolution and are not degraded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core import family
from edgekd.core.errors import InputError, RecipeError
from edgekd.datasets.item import Item
from edgekd.datasets.order import EpochOrder
from edgekd.datasets.pictures import PictureCache, read_pictures

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Config:
    """How an image becomes the network's input.

    Attributes:
        task: A file of ``edgekd/tasks/``, whose ``fit`` and ``preprocess`` are used.
        crop: Height and width of a random crop at the image's own scale, pixels; (0, 0) takes the whole image.
        size: Height and width that the task fits the crop to, pixels; (0, 0) leaves a crop as it is, and fits whole
            images as the task's own options say.
        flip_horizontal, flip_vertical: Shares of the samples that are mirrored.
        memory_mib: Decoded images kept in memory, MiB; the others are read from disk each time.
    """

    task: str = "super_resolution"
    crop: tuple[int, int] = (0, 0)
    size: tuple[int, int] = (0, 0)
    flip_horizontal: float = 0.5
    flip_vertical: float = 0.0
    memory_mib: int = 1024

    def __post_init__(self) -> None:
        for name in ("crop", "size"):
            height, width = getattr(self, name)
            if min(height, width) < 0 or (height == 0) != (width == 0):
                raise RecipeError(
                    f"{name} = [{height}, {width}]; a height and a width in pixels, or [0, 0], were expected"
                )
        for name in ("flip_horizontal", "flip_vertical"):
            if not 0 <= getattr(self, name) <= 1:
                raise RecipeError(f"{name} = {getattr(self, name)}; a share from 0 to 1 was expected")
        if self.memory_mib < 0:
            raise RecipeError(f"memory_mib = {self.memory_mib}; 0 or more was expected")


class Training:
    """Images or random crops of them; an epoch is a permutation, and a sample depends on (seed, index) alone."""

    def __init__(self, folders: Sequence[Path], config: Config, options: Mapping[str, Any], seed: int) -> None:
        """Read all images once, and keep as many as ``memory_mib`` holds.

        Args:
            folders: Folders of images.
            config: Task, crop, size, mirroring.
            options: The recipe's ``[task]``.
            seed: Of order, crops and mirroring, 0 or more.

        Raises:
            InputError: A folder or an image is unusable, or every image is smaller than a crop.
            UnknownName: There is no such task.
        """
        self.config, self.options, self.seed = config, options, seed
        self.task: Any = family.load("tasks", config.task)
        self.paths: list[Path] = []  # of the images that are large enough for a crop
        self._cache = PictureCache(config.memory_mib)
        crop_height, crop_width = config.crop
        count = 0
        for folder in folders:
            for path, image in read_pictures(folder):
                count += 1
                if image.shape[0] < crop_height or image.shape[1] < crop_width:
                    continue
                self.paths.append(path)
                self._cache.add(path, image)
        if not self.paths:
            raise InputError(
                f"none of {count} images in {', '.join(map(str, folders))} is {crop_width}x{crop_height} pixels or "
                "larger; give larger images, or a smaller crop"
            )
        self._order = EpochOrder(len(self.paths), seed)
        # All samples must have this shape to share a batch.
        self._shape = self._image(0).shape

    def __len__(self) -> int:
        """Return the number of images, which is the number of samples in an epoch."""
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return sample ``index``: the network's input (C, H, W) float32, and the placeholder, () float32 zero.

        Raises:
            InputError: This image and the first have different sizes: they cannot share a batch.
        """
        image = self._image(index)
        if image.shape != self._shape:
            sizes = [f"{shape[1]}x{shape[0]}" for shape in (self._shape, image.shape)]
            raise InputError(
                f"the images have {sizes[0]} and {sizes[1]} pixels; one size was expected, for a batch: set "
                "distill.adapt.data.crop or distill.adapt.data.size"
            )
        return self.task.preprocess(image, self.options), np.zeros(
            (), np.float32
        )  # torch's loader stacks targets, and None cannot be stacked

    def _image(self, index: int) -> Picture:
        """Return what the task preprocesses for sample ``index``: (H, W, 3) uint8."""
        rng = np.random.default_rng((self.seed, index))
        image = self._cache.read(self.paths[self._order[index]])
        crop_height, crop_width = self.config.crop
        if crop_height:
            top = int(rng.integers(image.shape[0] - crop_height + 1))
            left = int(rng.integers(image.shape[1] - crop_width + 1))
            image = image[top : top + crop_height, left : left + crop_width]
        # Drawn even where the share is 0: options must not shift the random numbers of a sample.
        if rng.random() < self.config.flip_horizontal:
            image = image[:, ::-1]
        if rng.random() < self.config.flip_vertical:
            image = image[::-1]
        size = self.config.size if any(self.config.size) else None
        # The user chose the crop to suit the network, so the task must not resize it.
        if crop_height and size is None:
            return np.ascontiguousarray(image)
        fitted: Picture = self.task.fit(image, None, size, self.options)[0]
        return np.ascontiguousarray(fitted)


def validation(folders: Sequence[Path], config: Config, options: Mapping[str, Any]) -> Iterator[Item]:
    """Yield nothing: images without ground truth cannot be scored."""
    return iter(())
