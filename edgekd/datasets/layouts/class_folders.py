"""Classification: one folder per class, ``train/<class>/*`` and ``val/<class>/*``.

Classes are numbered in the order of their folders' names; the recipe's ``task.classes`` names them in that order.
Training images are cropped, mirrored and recoloured at random. Source: random resized crops of C. Szegedy et al.,
"Going Deeper with Convolutions", CVPR 2015, section 6; colour jitter as torchvision's ColorJitter, in a fixed order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekd.core.errors import InputError, RecipeError
from edgekd.datasets.item import Item
from edgekd.datasets.order import EpochOrder
from edgekd.datasets.pictures import PictureCache, picture_paths, read_picture
from edgekd.tasks import classification

Picture = NDArray[np.uint8]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as PIL's "L"
_MAX_CROP_DRAWS = 10  # after them the largest centred square is taken; torchvision's RandomResizedCrop draws as often
_MAX_LISTED = 4  # class names in a message before it says how many more there are


@dataclass(frozen=True, slots=True)
class Config:
    """Where the images lie and how they are augmented.

    Attributes:
        train: Folder with the training images of each class.
        validation: Folder of the same classes for validation.
        area: Smallest and largest share of an image's area that a training crop covers.
        aspect: Smallest and largest width / height of a training crop.
        flip_horizontal, flip_vertical: Probability of mirroring.
        turn: Whether images are turned by a random multiple of 90 degrees.
        brightness, contrast, saturation: A factor is drawn from 1 - x to 1 + x.
        hue: Shift drawn from -x to x, in revolutions of the colour circle.
        cache_mib: Decoded images kept in memory, MiB; the others are read from disk each time.
    """

    train: str = "train"
    validation: str = "val"
    area: tuple[float, float] = (0.35, 1.0)
    aspect: tuple[float, float] = (0.75, 4 / 3)
    flip_horizontal: float = 0.5
    flip_vertical: float = 0.0
    turn: bool = False
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    cache_mib: int = 1024

    def __post_init__(self) -> None:
        for name in ("flip_horizontal", "flip_vertical", "brightness", "contrast", "saturation"):
            _check_bounds(name, getattr(self, name), 0, 1)
        _check_bounds("hue", self.hue, 0, 0.5)
        _check_bounds("cache_mib", self.cache_mib, 0, 1e6)
        for name, lower_bound, upper_bound in (("area", 0.01, 1), ("aspect", 0.1, 10)):
            smallest, largest = getattr(self, name)
            _check_bounds(name, smallest, lower_bound, largest)
            _check_bounds(name, largest, smallest, upper_bound)


def _check_bounds(name: str, value: float, lower: float, upper: float) -> None:
    if not lower <= value <= upper:
        raise RecipeError(f"{name} = {value:g}; {lower:g} to {upper:g} was expected")


class Training:
    """Augmented images; an epoch is a permutation, and a sample depends on (seed, index) alone."""

    def __init__(self, folders: Sequence[Path], config: Config, options: Mapping[str, Any], seed: int) -> None:
        """List the images, and read as many as ``cache_mib`` holds.

        Args:
            folders: Each with ``train/<class>/*``; the same classes in each.
            config: Folder names and augmentation.
            options: The task's: ``size``, ``classes``, ``mean``, ``std``.
            seed: Of order and augmentation, 0 or more.

        Raises:
            InputError: A folder or an image is unusable, or the number of classes is not the task's.
        """
        self.config, self.options, self.seed = config, options, seed
        self.size = classification.input_size(options)
        self.examples = _examples(folders, config.train, options)
        self.order = EpochOrder(len(self.examples), seed)
        self.cache = PictureCache(config.cache_mib)
        for path, _ in self.examples:
            if not self.cache.add(path, read_picture(path)):
                break  # full: the rest is read when it is needed

    def __len__(self) -> int:
        """Return the number of images, which is the number of samples in an epoch."""
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return sample ``index``, 0 or more: the network's input (3, size, size) float32, and the class () int64."""
        path, class_index = self.examples[self.order[index]]
        rng = np.random.default_rng((self.seed, index))
        augmented = _augment(self.cache.read(path), self.size, self.config, rng)
        return classification.preprocess(augmented, self.options), np.array(class_index, np.int64)


def validation(folders: Sequence[Path], config: Config, options: Mapping[str, Any]) -> Iterator[Item]:
    """Yield all images of ``val/<class>/*`` at their own size, with their classes, () int64.

    Raises:
        InputError: An image is unusable, or the class folders are not those of training.
    """
    _examples(folders, config.train, options)
    for folder in folders:
        training_classes, classes = _class_folders(folder / config.train), _class_folders(folder / config.validation)
        if classes != training_classes:
            raise InputError(
                f"{folder / config.validation} {_difference(classes, training_classes)}; the class folders of "
                f"{folder / config.train} were expected"
            )
    for path, class_index in _examples(folders, config.validation, options):
        yield Item(f"{path.parent.name}/{path.name}", read_picture(path), np.array(class_index, np.int64))


def _examples(folders: Sequence[Path], part: str, options: Mapping[str, Any]) -> list[tuple[Path, int]]:
    """List (image, class) of ``part`` of all folders, by folder, class and name."""
    expected = classification.class_names(options)
    first = _class_folders(folders[0] / part) if folders else []
    if len(first) != len(expected):
        raise InputError(
            f"{folders[0] / part if folders else 'no folder'} has {len(first)} class folders ({_some(first)}) and "
            f"task.classes has {len(expected)} ({_some(expected)}); equal numbers were expected"
        )
    examples = []
    for folder in folders:
        names = _class_folders(folder / part)
        if names != first:
            raise InputError(f"{folder / part} {_difference(names, first)}; the classes of {folders[0]} were expected")
        for class_index, name in enumerate(names):
            examples += [(path, class_index) for path in picture_paths(folder / part / name)]
    return examples


def _class_folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; one with a folder of images for each class was expected")
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _difference(found: Sequence[str], expected: Sequence[str]) -> str:
    missing, added = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    parts = []
    if missing:
        parts.append(f"lacks {_some(missing)}")
    if added:
        parts.append(f"has also {_some(added)}")
    return " and ".join(parts)


def _some(names: Sequence[str]) -> str:
    listed = ", ".join(names[:_MAX_LISTED]) or "none"
    return listed + (f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else "")


def _augment(image: Picture, size: int, config: Config, rng: np.random.Generator) -> Picture:
    """Crop, resize, recolour, mirror and turn one image: (H, W, 3) → (size, size, 3) uint8."""
    left, top, width, height = _draw_crop(image.shape[0], image.shape[1], config, rng)
    resized = Image.fromarray(image).resize(
        (size, size), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height)
    )
    augmented = _jitter_colours(np.asarray(resized), config, rng)
    if rng.random() < config.flip_horizontal:
        augmented = augmented[:, ::-1]
    if rng.random() < config.flip_vertical:
        augmented = augmented[::-1]
    return np.rot90(augmented, int(rng.integers(4)) if config.turn else 0)


def _draw_crop(height: int, width: int, config: Config, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Draw a crop of an image: left, top, width, height in pixels."""
    for _ in range(_MAX_CROP_DRAWS):
        area = height * width * rng.uniform(*config.area)
        # Uniform in the logarithm, so that 3:4 is as likely as 4:3.
        aspect = math.exp(rng.uniform(math.log(config.aspect[0]), math.log(config.aspect[1])))
        crop_width, crop_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            left, top = int(rng.integers(width - crop_width + 1)), int(rng.integers(height - crop_height + 1))
            return left, top, crop_width, crop_height
    side = min(height, width)
    return (width - side) // 2, (height - side) // 2, side, side


def _jitter_colours(image: Picture, config: Config, rng: np.random.Generator) -> Picture:
    """Change brightness, contrast, saturation and hue of (H, W, 3) uint8, each by a random amount."""
    brightness = np.float32(rng.uniform(1 - config.brightness, 1 + config.brightness))
    contrast = np.float32(rng.uniform(1 - config.contrast, 1 + config.contrast))
    saturation = np.float32(rng.uniform(1 - config.saturation, 1 + config.saturation))
    hue_shift = round(rng.uniform(-config.hue, config.hue) * 256)  # Pillow's hue is 0..255 for a whole turn
    if config.brightness or config.contrast or config.saturation:
        jittered = np.clip(image.astype(np.float32) * brightness, 0, 255)
        mean_luma = np.float32((jittered @ _LUMA).mean())
        jittered = np.clip((jittered - mean_luma) * contrast + mean_luma, 0, 255)
        luma = (jittered @ _LUMA)[..., None]  # (H, W, 1)
        image = np.clip((jittered - luma) * saturation + luma + 0.5, 0, 255).astype(np.uint8)
    if hue_shift:
        hsv = np.array(Image.fromarray(image).convert("HSV"))
        hsv[..., 0] = (hsv[..., 0].astype(np.int64) + hue_shift) % 256  # in int64: uint8 would wrap before the modulo
        image = np.asarray(Image.frombytes("HSV", (image.shape[1], image.shape[0]), hsv.tobytes()).convert("RGB"))
    return image
