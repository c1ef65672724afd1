"""Pictures and label pictures of the same name, in two folders or after lists, cut and changed at random for training.

A label picture is a PNG of one channel whose values are class numbers (a palette is not looked at); one value means
"not labelled". Source of the augmentation: L. Chen et al., DeepLabV3+, arXiv 1802.02611, section 4, and A. Mansourian
et al., arXiv 2403.05451: mirrored by half, shorter side resized to ``base`` times a factor, cut to ``crop`` (black and
not labelled where the picture is smaller), blurred by half with a radius of 0 to 1 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, UnidentifiedImageError

from edgekd.core.errors import InputError, RecipeError
from edgekd.datasets.item import Item
from edgekd.datasets.pictures import picture_paths, read_picture
from edgekd.tasks import segmentation

_Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Config:
    """Where pictures and labels lie under each folder, and how they are changed for training.

    Attributes:
        train, trainannot: Folders of pictures and of label pictures to train on.
        val, valannot: The same to validate on.
        train_list, val_list: Text files of names without suffix, one a line; empty takes every picture of the folder.
            VOC 2012: train = val = "JPEGImages", trainannot = valannot = "SegmentationClass",
            train_list = "ImageSets/Segmentation/train.txt", val_list = "ImageSets/Segmentation/val.txt".
        ignore: The value of "not labelled" in label pictures.
        crop: Height and width of a training sample, in pixels.
        base: Length of the shorter side, in pixels, that ``scale`` is a factor on; 0 is the picture's own.
        scale: Lowest and highest factor.
        flip, blur: Shares of the samples that are mirrored and blurred.
        memory_mib: Decoded pictures kept; what is beyond is read again each time.
    """

    train: str = "train"
    trainannot: str = "trainannot"
    val: str = "val"
    valannot: str = "valannot"
    train_list: str = ""
    val_list: str = ""
    ignore: int = segmentation.IGNORED
    crop: tuple[int, int] = (513, 513)
    base: int = 513
    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    blur: float = 0.5
    memory_mib: int = 2048

    def __post_init__(self) -> None:
        if min(self.crop) < 1:
            raise RecipeError(f"crop = {list(self.crop)}; a height and a width of 1 or more were expected")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise RecipeError(f"scale = {list(self.scale)}; two factors above 0, the lower one first, were expected")
        for name in ("flip", "blur"):
            if not 0 <= getattr(self, name) <= 1:
                raise RecipeError(f"{name} = {getattr(self, name)}; a share from 0 to 1 was expected")
        for name, lowest, highest in (("ignore", 0, 255), ("base", 0, 65536), ("memory_mib", 0, 1 << 20)):
            if not lowest <= getattr(self, name) <= highest:
                raise RecipeError(f"{name} = {getattr(self, name)}; {lowest} to {highest} was expected")


class Training:
    """Random samples of labelled pictures, a permutation of all a pass.

    A sample is a function of (seed, index) alone, so that any split of a batch over processes, and any resume, sees
    the same data.
    """

    def __init__(self, folders: Sequence[Path], config: Config, options: Mapping[str, Any], seed: int) -> None:
        """Find every picture and its labels, and read as many as ``memory_mib`` holds.

        Raises:
            InputError: A folder, a list or a partner is missing, or a file is not what it should be.
        """
        self.config, self.options, self.seed = config, options, seed
        self.names = [pair for folder in folders for pair in _pairs(folder, config, training=True)]
        self.kept: list[_Arrays] = []
        room = config.memory_mib << 20
        for picture, labels in self.names:
            if room <= 0:
                break
            self.kept.append(_read(picture, labels, config.ignore, options))
            room -= sum(array.nbytes for array in self.kept[-1])
        self.order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        """Pictures a pass."""
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return sample ``index``: input (3, H, W) float32 as the task's ``preprocess`` gives, labels (H, W) int64."""
        rng = np.random.default_rng((self.seed, index))
        which = self._which(index)
        arrays = self.kept[which] if which < len(self.kept) else self._from_disk(which)
        seen, labels = augment(arrays, self.config, rng)
        return segmentation.preprocess(seen, self.options), labels.astype(np.int64)

    def _from_disk(self, which: int) -> _Arrays:
        picture, labels = self.names[which]
        return _read(picture, labels, self.config.ignore, self.options)

    def _which(self, index: int) -> int:
        """Return the picture of sample ``index``; each pass has an order of its own."""
        epoch, place = divmod(index, len(self.names))
        if self.order[0] != epoch:
            self.order = epoch, np.random.default_rng((self.seed, epoch, 0)).permutation(len(self.names))
        return int(self.order[1][place])


def validation(folders: Sequence[Path], config: Config, options: Mapping[str, Any]) -> list[Item]:
    """Read the pictures to validate on, whole and as large as they are; not labelled is 255 in ``truth``.

    Raises:
        InputError: As ``Training``.
    """
    items = []
    for folder in folders:
        for picture, labels in _pairs(folder, config, training=False):
            seen, truth = _read(picture, labels, config.ignore, options)
            items.append(Item(picture.stem, seen, truth.astype(np.int64)))
    return items


def augment(arrays: _Arrays, config: Config, rng: np.random.Generator) -> _Arrays:
    """Mirror, resize, cut and blur: (H, W, 3) and (H, W) uint8 → (crop, 3) and (crop) uint8."""
    seen, labels = (Image.fromarray(array) for array in arrays)
    if rng.random() < config.flip:
        seen, labels = (p.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for p in (seen, labels))
    shorter = min(seen.size)
    factor = (config.base or shorter) * rng.uniform(*config.scale) / shorter
    wide, high = (max(1, round(side * factor)) for side in seen.size)
    crop_high, crop_wide = config.crop
    top, left = (int(rng.integers(max(0, have - want) + 1)) for have, want in ((high, crop_high), (wide, crop_wide)))
    right, bottom = min(wide, left + crop_wide), min(high, top + crop_high)
    # Resizing the cut alone costs less than resizing all and cutting then.
    box = (left / wide * seen.width, top / high * seen.height, right / wide * seen.width, bottom / high * seen.height)
    size = (right - left, bottom - top)
    seen = seen.resize(size, Image.Resampling.BILINEAR, box)
    labels = labels.resize(size, Image.Resampling.NEAREST, box)
    if rng.random() < config.blur:
        seen = seen.filter(ImageFilter.GaussianBlur(rng.random()))
    padding = ((0, crop_high - size[1]), (0, crop_wide - size[0]))
    return (
        np.pad(np.asarray(seen), (*padding, (0, 0))),
        np.pad(np.asarray(labels), padding, constant_values=segmentation.IGNORED),
    )


def _pairs(folder: Path, config: Config, training: bool) -> list[tuple[Path, Path]]:
    """List (picture, labels) of one folder, by name."""
    pictures, labels, listed = (
        (config.train, config.trainannot, config.train_list)
        if training
        else (config.val, config.valannot, config.val_list)
    )
    found = picture_paths(folder / pictures)
    if listed:
        by_name = {path.stem: path for path in found}
        found = [_listed(name, by_name, folder / listed, folder / pictures) for name in _names(folder / listed)]
    partners = {path.stem: path for path in picture_paths(folder / labels)}
    for picture in found:
        if picture.stem not in partners:
            raise InputError(f"{picture} has no labels; {folder / labels / picture.stem}.png was expected")
    return [(picture, partners[picture.stem]) for picture in found]


def _names(path: Path) -> Iterator[str]:
    if not path.is_file():
        raise InputError(f"{path} does not exist; a text file with one picture's name a line was expected")
    names = path.read_text(encoding="utf-8", errors="replace").split()
    if not names:
        raise InputError(f"{path} is empty; one picture's name a line was expected")
    yield from names


def _listed(name: str, by_name: Mapping[str, Path], listed: Path, pictures: Path) -> Path:
    if name not in by_name:
        raise InputError(f"{listed} names {name!r}, and {pictures} has no picture of that name; put it there")
    return by_name[name]


def _read(picture: Path, labels: Path, ignore: int, options: Mapping[str, Any]) -> _Arrays:
    """Read a picture (H, W, 3) and its labels (H, W), uint8, what is not labelled as 255."""
    seen, values = read_picture(picture), _read_labels(labels)
    if seen.shape[:2] != values.shape:
        raise InputError(
            f"{picture} is {seen.shape[1]}x{seen.shape[0]} and {labels} is {values.shape[1]}x{values.shape[0]}; "
            "one size was expected"
        )
    count = len(segmentation.class_names(options))
    # Where the value of a class means "not labelled", that class does not exist; so this comes first.
    known = values != ignore
    wrong = np.unique(values[known & (values >= count)])
    if wrong.size:
        raise InputError(
            f"{labels} holds label {wrong[0]}; 0 to {count - 1} (task.classes) or {ignore} for what is not labelled "
            "(data.options.ignore) were expected"
        )
    return seen, np.where(known, values, segmentation.IGNORED).astype(np.uint8)


def _read_labels(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as labels:
            if labels.mode not in ("L", "P"):
                raise InputError(
                    f"{path} is a picture of mode {labels.mode}; labels of one channel of 8 bits were expected, "
                    "their values the class numbers"
                )
            return np.asarray(labels)
    except UnidentifiedImageError as err:
        raise InputError(f"{path} is not a picture that can be read; a PNG of labels was expected") from err
    except (OSError, SyntaxError, Image.DecompressionBombError) as err:
        raise InputError(f"{path} cannot be read as labels ({err}); take it out of the folder, or mend it") from err
