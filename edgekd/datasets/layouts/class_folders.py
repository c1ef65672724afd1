"""A folder per class, ``train/<class>/*`` and ``val/<class>/*``: pictures for classification.

Classes are numbered in the order of their folders' names; the recipe's ``task.classes`` names them in that order.
Training pictures are cut, mirrored and coloured at random. Source: random resized crops of C. Szegedy et al., "Going
Deeper with Convolutions", CVPR 2015, section 6; colour jitter as torchvision's ColorJitter, in one fixed order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekd.core.errors import InputError, RecipeError
from edgekd.datasets.item import Item
from edgekd.datasets.pictures import picture_paths, read_picture
from edgekd.tasks import classification

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as PIL's "L"
_TRIES = 10  # crops drawn before the largest one that fits is taken
_ORDER = 1  # keeps the draw of an epoch's order apart from the draws of a sample, which are seeded by two numbers


@dataclass(frozen=True, slots=True)
class Config:
    """Where the pictures lie and how they are varied.

    Attributes:
        train: Folder of the classes that are learnt from.
        validation: Folder of the same classes for validation.
        area: Least and largest share of a picture's area that a training crop covers.
        aspect: Least and largest width / height of a training crop.
        flip_horizontal, flip_vertical: Probability of mirroring.
        turn: Whether pictures are turned by a random multiple of 90 degrees.
        brightness, contrast, saturation: A factor is drawn from 1 - x to 1 + x.
        hue: Shift drawn from -x to x, in turns of the colour circle.
        cache_mib: Decoded pictures kept in memory, MiB; the others are read from disk each time.
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
            _within(name, getattr(self, name), 0, 1)
        _within("hue", self.hue, 0, 0.5)
        _within("cache_mib", self.cache_mib, 0, 1e6)
        for name, low, high in (("area", 0.01, 1), ("aspect", 0.1, 10)):
            least, largest = getattr(self, name)
            _within(name, least, low, largest)
            _within(name, largest, least, high)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise RecipeError(f"{name} = {value:g}; {low:g} to {high:g} was expected")


class Training:
    """Augmented pictures; a pass over the data is a permutation of it, and a sample a function of (seed, index)."""

    def __init__(self, folders: Sequence[Path], config: Config, options: Mapping[str, Any], seed: int) -> None:
        """List the pictures, and read as many as ``cache_mib`` holds.

        Args:
            folders: Each with ``train/<class>/*``; the same classes in each.
            config: Folder names and augmentation.
            options: The task's: ``size``, ``classes``, ``mean``, ``std``.
            seed: Of order and augmentation, 0 or more.

        Raises:
            InputError: A folder or picture is unusable, or the classes are not as many as the task's.
        """
        self.config, self.options, self.seed = config, options, seed
        self.size = classification.input_size(options)
        self.pictures = _pictures(folders, config.train, options)
        self.kept = _first_pictures([path for path, _ in self.pictures], config.cache_mib)
        self.epoch, self.order = -1, np.empty(0, np.int64)

    def __len__(self) -> int:
        """Return the number of pictures: of samples until one comes again."""
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return sample ``index``, 0 or more: the network's input (3, size, size) float32, and the class () int64."""
        epoch, place = divmod(index, len(self.pictures))
        if epoch != self.epoch:
            rng = np.random.default_rng((self.seed, epoch, _ORDER))
            self.epoch, self.order = epoch, rng.permutation(len(self.pictures))
        path, class_index = self.pictures[self.order[place]]
        picture = self.kept[path] if path in self.kept else read_picture(path)
        varied = _vary(picture, self.size, self.config, np.random.default_rng((self.seed, index)))
        return classification.preprocess(varied, self.options), np.array(class_index, np.int64)


def validation(folders: Sequence[Path], config: Config, options: Mapping[str, Any]) -> list[Item]:
    """Return all pictures of ``val/<class>/*``, unresized, with their classes, () int64.

    Raises:
        InputError: A picture is unusable, or the class folders are not those of training.
    """
    _pictures(folders, config.train, options)
    for folder in folders:
        learnt, judged = (_class_folders(folder / name) for name in (config.train, config.validation))
        if learnt != judged:
            raise InputError(
                f"{folder / config.validation} {_difference(judged, learnt)}; the class folders of "
                f"{folder / config.train} were expected"
            )
    return [
        Item(f"{path.parent.name}/{path.name}", read_picture(path), np.array(class_index, np.int64))
        for path, class_index in _pictures(folders, config.validation, options)
    ]


def _pictures(folders: Sequence[Path], part: str, options: Mapping[str, Any]) -> list[tuple[Path, int]]:
    """List (picture, class) of all folders, by folder, class and name."""
    expected = classification.class_names(options)
    found: list[tuple[Path, int]] = []
    first = _class_folders(folders[0] / part) if folders else []
    if len(first) != len(expected):
        raise InputError(
            f"{folders[0] / part if folders else 'no folder'} has {len(first)} class folders ({_some(first)}) and "
            f"task.classes has {len(expected)} ({_some(expected)}); as many were expected"
        )
    for folder in folders:
        names = _class_folders(folder / part)
        if names != first:
            raise InputError(f"{folder / part} {_difference(names, first)}; the classes of {folders[0]} were expected")
        found += [(path, index) for index, name in enumerate(names) for path in picture_paths(folder / part / name)]
    return found


def _class_folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; one with a folder of pictures for each class was expected")
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _difference(found: Sequence[str], expected: Sequence[str]) -> str:
    missing, added = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    parts = [f"lacks {_some(missing)}"] * bool(missing) + [f"has also {_some(added)}"] * bool(added)
    return " and ".join(parts)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") if names else "none"


def _first_pictures(paths: Sequence[Path], limit_mib: int) -> dict[Path, NDArray[np.uint8]]:
    """Read pictures in order until they take ``limit_mib``."""
    kept: dict[Path, NDArray[np.uint8]] = {}
    left = limit_mib * 2**20
    for path in paths:
        if left <= 0:
            break
        kept[path] = read_picture(path)
        left -= kept[path].nbytes
    return kept


def _vary(picture: NDArray[np.uint8], size: int, config: Config, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Cut, resize, mirror, turn and colour one picture: (H, W, 3) → (size, size, 3) uint8."""
    left, top, wide, high = _box(picture.shape[0], picture.shape[1], config, rng)
    image = Image.fromarray(picture).resize(
        (size, size), Image.Resampling.BILINEAR, box=(left, top, left + wide, top + high)
    )
    varied = _colour(np.asarray(image), config, rng)
    if rng.random() < config.flip_horizontal:
        varied = varied[:, ::-1]
    if rng.random() < config.flip_vertical:
        varied = varied[::-1]
    return np.rot90(varied, int(rng.integers(4)) if config.turn else 0)


def _box(high: int, wide: int, config: Config, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Draw a crop of a (high, wide) picture: left, top, width, height in pixels."""
    for _ in range(_TRIES):
        area = high * wide * rng.uniform(*config.area)
        aspect = math.exp(rng.uniform(math.log(config.aspect[0]), math.log(config.aspect[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= wide and 0 < h <= high:
            return int(rng.integers(wide - w + 1)), int(rng.integers(high - h + 1)), w, h
    side = min(high, wide)
    return (wide - side) // 2, (high - side) // 2, side, side


def _colour(image: NDArray[np.uint8], config: Config, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change brightness, contrast, saturation and hue of (H, W, 3) uint8, each by a random amount."""
    brightness, contrast, saturation = (
        np.float32(rng.uniform(1 - x, 1 + x)) for x in (config.brightness, config.contrast, config.saturation)
    )
    turn = round(rng.uniform(-config.hue, config.hue) * 256)
    if config.brightness or config.contrast or config.saturation:
        coloured = np.clip(image.astype(np.float32) * brightness, 0, 255)
        grey = np.float32((coloured @ _LUMA).mean())
        coloured = np.clip((coloured - grey) * contrast + grey, 0, 255)
        greys = (coloured @ _LUMA)[..., None]
        image = np.clip((coloured - greys) * saturation + greys + 0.5, 0, 255).astype(np.uint8)
    if turn:
        circle = np.array(Image.fromarray(image).convert("HSV"))
        circle[..., 0] = (circle[..., 0].astype(np.int64) + turn) % 256
        image = np.asarray(Image.frombytes("HSV", (image.shape[1], image.shape[0]), circle.tobytes()).convert("RGB"))
    return image
