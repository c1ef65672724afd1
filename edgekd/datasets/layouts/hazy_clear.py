"""Dehazing: folders of hazy images and their clear scenes, read as whole images and square crops with a haze map.

A folder holds ``hazy/<scene>_<anything>`` and ``gt/<scene>`` or ``gt/<scene>_<anything>``: a scene's name is what
stands before the first underscore. RESIDE (``hazy/1400_2.png``, ``gt/1400.png``), O-HAZE
(``hazy/01_outdoor_hazy.jpg``, ``GT/01_outdoor_GT.jpg``) and similar datasets are read as published.

Source of the augmentation: L. Tran, D. Park, "Distilled Pooling Transformer Encoder for Efficient Realistic Image
Dehazing", arXiv 2412.14220 (2024), and its released code. A pair is resized to the network's square. This square and
five random square crops of it, 0.4 to 0.8 of its side and enlarged to the square, are samples; so are those of the
mirrored pair: twelve samples per pair. The transmission is computed once, on the whole square, and cropped with it.
Differs from the paper: the crops are drawn anew in each epoch, not once for all. ``rehaze``, which the paper does not
have and which is off by default, makes more of few scenes: their haze is estimated, and rendered again with another
density on other colours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError, RecipeError
from edgekd.core.resize import resize_bilinear
from edgekd.datasets.haze import Haze, HazeJitter, estimate_haze, rerender
from edgekd.datasets.item import Item
from edgekd.datasets.order import EpochOrder
from edgekd.datasets.pictures import picture_paths, read_picture
from edgekd.tasks import dehazing

Picture = NDArray[np.uint8]
_Square = tuple[Picture, Picture, NDArray[np.float32]]  # hazy and clear (S, S, 3), transmission (S, S)


@dataclass(frozen=True, slots=True)
class Config:
    """Names of the folders, what is held out for validation, and the augmentation.

    Attributes:
        hazy, clear: Names of the two sub-folders.
        border: Pixels that are cut from each side of a clear image; 10 for RESIDE's indoor test scenes as published.
        validation: What ``validation`` reads. A number: so many of the last scenes of each folder, which training
            leaves out. Names: sub-folders with ``hazy`` and ``clear`` of their own; training then uses every scene.
        crops: Sides of the square crops, as shares of the whole; empty takes whole images alone.
        mirror: Whether each sample is also cut from the mirrored pair.
        rehaze: Share of the samples whose haze and colours are drawn anew; for synthetic haze.
        memory_mib: Resized pairs kept in memory, MiB, in each process that reads.
    """

    hazy: str = "hazy"
    clear: str = "gt"
    border: int = 0
    validation: int | tuple[str, ...] = 5
    crops: tuple[float, ...] = (0.4, 0.5, 0.6, 0.7, 0.8)
    mirror: bool = True
    rehaze: float = 0.0
    memory_mib: int = 1024

    def __post_init__(self) -> None:
        if self.border < 0:
            raise RecipeError(f"border = {self.border}; 0 or more was expected")
        if not self.validation or (isinstance(self.validation, int) and self.validation < 0):
            raise RecipeError(f"validation = {self.validation!r}; 1 or more scenes, or names of folders, were expected")
        if not 0 <= self.rehaze <= 1:
            raise RecipeError(f"rehaze = {self.rehaze}; a share from 0 to 1 was expected")
        if not all(0 < side <= 1 for side in self.crops):
            raise RecipeError(f"crops = {list(self.crops)}; shares above 0, up to 1, were expected")


@dataclass(frozen=True, slots=True)
class _Pair:
    hazy: Path
    clear: Path
    border: int

    def read(self) -> tuple[Picture, Picture]:
        """Return (hazy, clear), (H, W, 3) uint8 each. Raises InputError where their sizes differ."""
        hazy, clear = read_picture(self.hazy), read_picture(self.clear)
        if self.border:
            clear = clear[self.border : -self.border, self.border : -self.border]
        if hazy.shape != clear.shape:
            raise InputError(
                f"{self.hazy} is {hazy.shape[1]}x{hazy.shape[0]} and {self.clear}, less a border of {self.border}, "
                f"{clear.shape[1]}x{clear.shape[0]}; equal sizes were expected: set data.options.border, "
                "or crop one of them"
            )
        return hazy, clear


class Training:
    """Whole images and crops of the pairs that are not held out; an epoch is a permutation of them."""

    def __init__(self, folders: Sequence[Path], config: Config, options: Mapping[str, Any], seed: int) -> None:
        """Find the pairs; images are read when a sample first needs them.

        Args:
            folders: Each with ``config.hazy`` and ``config.clear`` in it.
            config: ``[data.options]``.
            options: The task's: ``size`` and those of the haze map.
            seed: Of order and crops.

        Raises:
            InputError: A folder is unusable, a hazy image has no clear one, or no scene is left to train on.
        """
        self.pairs = [pair for folder in folders for pair in _split(folder, config)[0]]
        self.config, self.options, self.seed = config, options, seed
        self.size = dehazing.options_of(options).size
        views = 1 + len(config.crops)
        self._views = views * 2 if config.mirror else views
        # Two RGB images and the transmission; with ``rehaze`` also the haze's own transmission.
        bytes_per_pair = self.size**2 * (3 + 3 + 4 + (4 if config.rehaze else 0))
        self._max_cached = config.memory_mib * 2**20 // bytes_per_pair
        self._squares: dict[int, _Square] = {}
        self._hazes: dict[int, Haze] = {}
        self._order = EpochOrder(len(self.pairs) * self._views, seed)

    def __len__(self) -> int:
        """Return the number of samples in an epoch: with the paper's augmentation, twelve per pair."""
        return len(self._order)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return sample ``index``: input (4, S, S) and clear image (3, S, S), float32 -1..1."""
        pair_index, view = divmod(self._order[index], self._views)
        rng = np.random.default_rng((self.seed, index))
        hazy, clear, transmission = self._square(pair_index)
        if self.config.rehaze and rng.random() < self.config.rehaze:
            hazy, clear = rerender(clear, self._haze(pair_index, hazy, clear), HazeJitter(), rng)
            transmission = dehazing.transmission(hazy, self.options)  # of the new haze
        # Views: the whole square, the crops, then the same of the mirrored pair.
        mirrored, crop_number = divmod(view, 1 + len(self.config.crops))
        if mirrored:
            hazy, clear, transmission = hazy[:, ::-1], clear[:, ::-1], transmission[:, ::-1]
        if crop_number:
            share = self.config.crops[crop_number - 1]
            hazy, clear, transmission = self._crop((hazy, clear, transmission), share, rng)
        return dehazing.network_input(hazy, transmission), dehazing.signed(clear)

    def _crop(self, square: _Square, share: float, rng: np.random.Generator) -> _Square:
        """Cut one place out of all three, and enlarge it to the network's size."""
        hazy, clear, transmission = square
        side = max(1, round(share * self.size))
        top, left = rng.integers(self.size - side + 1, size=2)
        # The transmission is cropped, not computed of the crop: the airlight is the whole image's.
        window = np.s_[top : top + side, left : left + side]
        enlarged = resize_bilinear(transmission[window][..., None], self.size, self.size)  # (S, S, 1)
        return (
            dehazing.resize_picture(hazy[window], self.size, self.size),
            dehazing.resize_picture(clear[window], self.size, self.size),
            enlarged[..., 0].astype(np.float32),
        )

    def _square(self, pair_index: int) -> _Square:
        """Return a pair at the network's size with its transmission, from memory where it is there."""
        if pair_index in self._squares:
            return self._squares[pair_index]
        hazy, clear = (dehazing.resize_picture(x, self.size, self.size) for x in self.pairs[pair_index].read())
        square = hazy, clear, dehazing.transmission(hazy, self.options)
        if len(self._squares) < self._max_cached:
            self._squares[pair_index] = square
        return square

    def _haze(self, pair_index: int, hazy: Picture, clear: Picture) -> Haze:
        """Return the haze of a pair, from memory where it is there."""
        if pair_index in self._hazes:
            return self._hazes[pair_index]
        haze = estimate_haze(hazy, clear)
        if len(self._hazes) < self._max_cached:
            self._hazes[pair_index] = haze
        return haze


def validation(folders: Sequence[Path], config: Config, options: Mapping[str, Any]) -> Iterator[Item]:
    """Yield the pairs that are held out, at their own size.

    Raises:
        InputError: A folder or an image is unusable, or a hazy image has no clear one.
    """
    for folder in folders:
        _, held_out = _split(folder, config)
        for pair in held_out:
            image, target = pair.read()
            yield Item(pair.hazy.stem, image, target)


def _split(folder: Path, config: Config) -> tuple[list[_Pair], list[_Pair]]:
    """Return the pairs of one folder: (for training, held out)."""
    pairs = _pairs(folder, config)
    if not isinstance(config.validation, int):
        return pairs, [pair for name in config.validation for pair in _pairs(folder / name, config)]
    scenes = sorted({_scene(pair.hazy) for pair in pairs}, key=_natural_order)
    if len(scenes) <= config.validation:
        raise InputError(
            f"{folder} has {len(scenes)} scenes and {config.validation} are to be held out; give more scenes, or a "
            "smaller data.options.validation"
        )
    # By scene, not by image: several hazes of one scene share its clear image, which must not leak into training.
    held_out = set(scenes[-config.validation :])
    return (
        [pair for pair in pairs if _scene(pair.hazy) not in held_out],
        [pair for pair in pairs if _scene(pair.hazy) in held_out],
    )


def _pairs(folder: Path, config: Config) -> list[_Pair]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; one with {config.hazy}/ and {config.clear}/ in it was expected")
    clear: dict[str, Path] = {}
    for path in picture_paths(folder / config.clear):
        if _scene(path) in clear:
            raise InputError(
                f"{path} and {clear[_scene(path)].name} are both the clear image of scene {_scene(path)!r} (the name "
                "up to the first underscore); one was expected: rename or remove the other"
            )
        clear[_scene(path)] = path
    pairs = []
    for path in picture_paths(folder / config.hazy):
        if _scene(path) not in clear:
            raise InputError(
                f"{path} has no clear image; {folder / config.clear / _scene(path)}.* was expected: add it, or "
                "remove the hazy one"
            )
        pairs.append(_Pair(path, clear[_scene(path)], config.border))
    return pairs


def _scene(path: Path) -> str:
    return path.stem.partition("_")[0]


def _natural_order(scene: str) -> tuple[float, str]:
    """Sort numbers by value, and everything else after them by name."""
    return (int(scene) if scene.isdecimal() else float("inf"), scene)
