"""Segmentation: images and label maps of the same name, in two folders or by lists of names.

A label map is a PNG of one channel whose values are class numbers (a palette is ignored); one value means
"not labelled". Source of the augmentation: L. Chen et al., DeepLabV3+, arXiv 1802.02611, section 4, and A. Mansourian
et al., arXiv 2403.05451: half of the samples mirrored; the shorter side resized to ``base`` times a factor; cropped to
``crop`` (black and not labelled where the image is smaller); half of them blurred with a radius of 0 to 1 pixels.
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
from edgekd.datasets.order import EpochOrder
from edgekd.datasets.pictures import picture_paths, read_picture
from edgekd.tasks import segmentation

_Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # image (H, W, 3), labels (H, W)


@dataclass(frozen=True, slots=True)
class _Pair:
    image: Path
    labels: Path


@dataclass(frozen=True, slots=True)
class Config:
    """Where images and label maps lie in each folder, and the augmentation.

    Attributes:
        train, trainannot: Folders of images and of label maps for training.
        val, valannot: The same for validation.
        train_list, val_list: Text files of names without suffix, one per line; empty takes every image of the folder.
            VOC 2012: train = val = "JPEGImages", trainannot = valannot = "SegmentationClass",
            train_list = "ImageSets/Segmentation/train.txt", val_list = "ImageSets/Segmentation/val.txt".
        ignore: The value of "not labelled" in label maps.
        crop: Height and width of a training sample, pixels.
        base: Length of the shorter side, pixels, that ``scale`` multiplies; 0 is the image's own.
        scale: Smallest and largest factor.
        flip, blur: Shares of the samples that are mirrored and blurred.
        memory_mib: Decoded images and label maps kept in memory, MiB; the others are read from disk each time.
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
            raise RecipeError(f"scale = {list(self.scale)}; two factors above 0, the smaller one first, were expected")
        for name in ("flip", "blur"):
            if not 0 <= getattr(self, name) <= 1:
                raise RecipeError(f"{name} = {getattr(self, name)}; a share from 0 to 1 was expected")
        for name, largest in (("ignore", 255), ("base", 65536), ("memory_mib", 1 << 20)):
            if not 0 <= getattr(self, name) <= largest:
                raise RecipeError(f"{name} = {getattr(self, name)}; 0 to {largest} was expected")


class Training:
    """Random crops of labelled images; an epoch is a permutation of the images.

    A sample depends on (seed, index) alone: a resumed run, and any split of a batch over processes, reads the same
    data.
    """

    def __init__(self, folders: Sequence[Path], config: Config, options: Mapping[str, Any], seed: int) -> None:
        """Find every image and its label map, and read as many as ``memory_mib`` holds.

        Args:
            folders: Each as ``config`` describes it.
            config: Names of the folders, and the augmentation.
            options: The task's: ``classes``, ``mean``, ``std``.
            seed: Of order and augmentation, 0 or more.

        Raises:
            InputError: A folder, a list or a label map is missing, or a file is not what it should be.
        """
        self.config, self.options, self.seed = config, options, seed
        self.pairs = [pair for folder in folders for pair in _pairs(folder, config, training=True)]
        self.cached: list[_Arrays] = []  # of the first pairs, as far as memory goes
        free_bytes = config.memory_mib << 20
        for pair in self.pairs:
            if free_bytes <= 0:
                break
            self.cached.append(_read(pair, config.ignore, options))
            free_bytes -= sum(array.nbytes for array in self.cached[-1])
        # Not the default stream: the weights in models/ were trained with this order.
        self.order = EpochOrder(len(self.pairs), seed, stream=0)

    def __len__(self) -> int:
        """Return the number of images, which is the number of samples in an epoch."""
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return sample ``index``: input (3, H, W) float32 as the task's ``preprocess`` gives, labels (H, W) int64."""
        rng = np.random.default_rng((self.seed, index))
        pair_index = self.order[index]
        if pair_index < len(self.cached):
            arrays = self.cached[pair_index]
        else:
            arrays = _read(self.pairs[pair_index], self.config.ignore, self.options)
        image, labels = augment(arrays, self.config, rng)
        return segmentation.preprocess(image, self.options), labels.astype(np.int64)


def validation(folders: Sequence[Path], config: Config, options: Mapping[str, Any]) -> Iterator[Item]:
    """Yield whole validation images at their own size; 255 in ``target`` means not labelled.

    Raises:
        InputError: As ``Training``.
    """
    for folder in folders:
        for pair in _pairs(folder, config, training=False):
            image, target = _read(pair, config.ignore, options)
            yield Item(pair.image.stem, image, target.astype(np.int64))


def augment(arrays: _Arrays, config: Config, rng: np.random.Generator) -> _Arrays:
    """Mirror, resize, crop and blur an image and its labels alike.

    Args:
        arrays: Image (H, W, 3) and labels (H, W), uint8.
        config: The augmentation.
        rng: Source of the random numbers.

    Returns:
        Image (crop height, crop width, 3) and labels (crop height, crop width), uint8.
    """
    image, labels = Image.fromarray(arrays[0]), Image.fromarray(arrays[1])
    if rng.random() < config.flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        labels = labels.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    shorter = min(image.size)
    factor = (config.base or shorter) * rng.uniform(*config.scale) / shorter
    width, height = (max(1, round(side * factor)) for side in image.size)
    crop_height, crop_width = config.crop
    top = int(rng.integers(max(0, height - crop_height) + 1))
    left = int(rng.integers(max(0, width - crop_width) + 1))
    right, bottom = min(width, left + crop_width), min(height, top + crop_height)
    # Pillow's ``box``, in pixels of the original image: resizing the crop alone costs less than resizing the whole.
    box = (
        left / width * image.width,
        top / height * image.height,
        right / width * image.width,
        bottom / height * image.height,
    )
    size = (right - left, bottom - top)
    image = image.resize(size, Image.Resampling.BILINEAR, box)
    labels = labels.resize(size, Image.Resampling.NEAREST, box)  # a mean of class numbers is no class
    if rng.random() < config.blur:
        image = image.filter(ImageFilter.GaussianBlur(rng.random()))  # a radius of 0..1 pixels
    padding = ((0, crop_height - size[1]), (0, crop_width - size[0]))
    return (
        np.pad(np.asarray(image), (*padding, (0, 0))),
        np.pad(np.asarray(labels), padding, constant_values=segmentation.IGNORED),
    )


def _pairs(folder: Path, config: Config, training: bool) -> list[_Pair]:
    """List the pairs of one folder, in the list's order or by name."""
    if training:
        images, label_maps, name_list = config.train, config.trainannot, config.train_list
    else:
        images, label_maps, name_list = config.val, config.valannot, config.val_list
    paths = picture_paths(folder / images)
    if name_list:
        paths = _listed_paths(folder / name_list, folder / images, {path.stem: path for path in paths})
    labels_by_name = {path.stem: path for path in picture_paths(folder / label_maps)}
    for path in paths:
        if path.stem not in labels_by_name:
            raise InputError(f"{path} has no labels; {folder / label_maps / path.stem}.png was expected")
    return [_Pair(path, labels_by_name[path.stem]) for path in paths]


def _listed_paths(name_list: Path, images: Path, by_name: Mapping[str, Path]) -> list[Path]:
    """Return the images that a list of names names."""
    if not name_list.is_file():
        raise InputError(f"{name_list} does not exist; a text file with one image name per line was expected")
    names = name_list.read_text(encoding="utf-8", errors="replace").split()
    if not names:
        raise InputError(f"{name_list} is empty; one image name per line was expected")
    for name in names:
        if name not in by_name:
            raise InputError(f"{name_list} names {name!r}, but {images} has no such image; add it, or edit the list")
    return [by_name[name] for name in names]


def _read(pair: _Pair, ignore: int, options: Mapping[str, Any]) -> _Arrays:
    """Read an image (H, W, 3) and its labels (H, W), uint8; 255 is what is not labelled."""
    image, labels = read_picture(pair.image), _read_labels(pair.labels)
    if image.shape[:2] != labels.shape:
        raise InputError(
            f"{pair.image} is {image.shape[1]}x{image.shape[0]} and {pair.labels} is "
            f"{labels.shape[1]}x{labels.shape[0]}; equal sizes were expected: resize one of them"
        )
    count = len(segmentation.class_names(options))
    # A class whose number is ``ignore`` does not exist, so such pixels are taken out before the bounds are checked.
    labelled = labels != ignore
    unknown = np.unique(labels[labelled & (labels >= count)])
    if unknown.size:
        raise InputError(
            f"{pair.labels} holds label {unknown[0]}; 0 to {count - 1} (task.classes), or {ignore} where nothing is "
            "labelled (data.options.ignore), was expected"
        )
    return image, np.where(labelled, labels, segmentation.IGNORED).astype(np.uint8)


def _read_labels(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as labels:
            # Not converted: a palette's indices are the class numbers, and its colours are not.
            if labels.mode not in ("L", "P"):
                raise InputError(
                    f"{path} is an image of mode {labels.mode}; one channel of 8 bits was expected, whose values are "
                    "class numbers"
                )
            return np.asarray(labels)
    except UnidentifiedImageError as err:
        raise InputError(f"{path} is not an image in a known format; a PNG of labels was expected") from err
    except (OSError, SyntaxError, Image.DecompressionBombError) as err:
        raise InputError(f"{path} cannot be decoded ({err}); remove it from the folder, or repair it") from err
