"""High-resolution images: random (LR, HR) patches, with the LR side made by MATLAB's bicubic resizing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError, RecipeError
from edgekd.datasets.item import Item
from edgekd.datasets.pictures import PictureCache, read_pictures
from edgekd.tasks import super_resolution

Picture = NDArray[np.uint8]

# LR pixels around a patch that its own pixels depend on: the cubic kernel reaches 2; the rest is slack.
_MARGIN = 4


@dataclass(frozen=True, slots=True)
class Config:
    """``[data.options]`` of this layout.

    Attributes:
        patch: Side of an LR patch, pixels.
        augment: Whether patches are mirrored and turned by quarters.
        memory_mib: How much of the decoded images stays in memory; the rest is read from disk each time.
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
    """Random aligned patches of all images, each image as likely as its area.

    A sample depends on (seed, index) alone: a resumed run, and any split of a batch over processes, reads the same
    data.
    """

    def __init__(self, folders: Sequence[Path], config: Config, options: Mapping[str, Any], seed: int) -> None:
        """Read all images once, and keep as many as ``memory_mib`` holds.

        Args:
            folders: Folders of images.
            config: Patch size, augmentation, memory.
            options: The task's: ``scale``.
            seed: Of all random numbers, 0 or more.

        Raises:
            InputError: A folder or an image is unusable, or every image is smaller than a patch.
        """
        self.config, self.options, self.seed = config, dict(options), seed
        self.scale = super_resolution.scale_of(options)
        self.paths: list[Path] = []
        self._cache = PictureCache(config.memory_mib)
        lr_areas, count = [], 0
        for folder in folders:
            for path, image in read_pictures(folder):
                count += 1
                lr_height, lr_width = image.shape[0] // self.scale, image.shape[1] // self.scale
                if min(lr_height, lr_width) < config.patch:
                    continue  # a few small images must not stop a training on a large folder
                self.paths.append(path)
                lr_areas.append(float(lr_height * lr_width))
                self._cache.add(path, image)
        if not self.paths:
            raise InputError(
                f"none of {count} images in {', '.join(map(str, folders))} is at least {config.patch * self.scale} "
                "pixels on each side; give larger images or a smaller patch"
            )
        # A uniform number is looked up here: image i is drawn with the probability of its share of the area.
        self._cumulative_share = np.cumsum(np.array(lr_areas) / np.sum(lr_areas))

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return sample ``index``: LR (3, p, p) and HR (3, s*p, s*p), float32 0..1, mirrored and turned at random."""
        rng = np.random.default_rng((self.seed, index))
        image_index = int(np.searchsorted(self._cumulative_share, rng.random()))
        # The last share may round to less than 1.
        hr_image = self._cache.read(self.paths[min(image_index, len(self.paths) - 1)])
        y = int(rng.integers(hr_image.shape[0] // self.scale - self.config.patch + 1))
        x = int(rng.integers(hr_image.shape[1] // self.scale - self.config.patch + 1))
        # Drawn even without augmentation, so that both see the same patches.
        mirror, quarter_turns = bool(rng.integers(2)), int(rng.integers(4))
        lr, hr = self._patch(hr_image, y, x)
        if self.config.augment:
            if mirror:
                lr, hr = lr[:, ::-1], hr[:, ::-1]
            lr, hr = np.rot90(lr, quarter_turns), np.rot90(hr, quarter_turns)
        return super_resolution.preprocess(lr, self.options), super_resolution.preprocess(hr, self.options)

    def _patch(self, hr_image: Picture, y: int, x: int) -> tuple[Picture, Picture]:
        """Cut the LR patch at (y, x) and its HR patch; only the surroundings of the patch are degraded.

        The result is that of degrading the whole image: cuts at multiples of the scale keep the kernel's phase, and
        cuts at the image's border are mirrored there as the whole image is.
        """
        scale, side = self.scale, self.config.patch
        lr_height, lr_width = hr_image.shape[0] // scale, hr_image.shape[1] // scale
        top, left = max(0, y - _MARGIN), max(0, x - _MARGIN)
        bottom, right = min(lr_height, y + side + _MARGIN), min(lr_width, x + side + _MARGIN)
        surroundings = hr_image[top * scale : bottom * scale, left * scale : right * scale]
        degraded, _ = super_resolution.degrade(surroundings, self.options)
        lr = degraded[y - top : y - top + side, x - left : x - left + side]
        return lr, hr_image[y * scale : (y + side) * scale, x * scale : (x + side) * scale]


def validation(folders: Sequence[Path], config: Config, options: Mapping[str, Any]) -> Iterator[Item]:
    """Yield whole images: ``image`` is the LR one, ``target`` the HR one cropped to a multiple of the scale.

    Raises:
        InputError: A folder or an image is unusable.
    """
    scale = super_resolution.scale_of(options)
    for folder in folders:
        for path, hr_image in read_pictures(folder):
            if min(hr_image.shape[:2]) < scale:
                raise InputError(
                    f"{path} is {hr_image.shape[1]}x{hr_image.shape[0]}; {scale} pixels or more on each side were "
                    "expected: remove it from the folder"
                )
            lr, hr = super_resolution.degrade(hr_image, options)
            yield Item(path.stem, lr, hr)
