"""Folders of hazy pictures and their clear scenes → whole pictures and square crops with their haze map.

A folder holds ``hazy/<scene>_<anything>`` and ``gt/<scene>`` or ``gt/<scene>_<anything>``: a scene's name is what
stands before the first underscore. So RESIDE (``hazy/1400_2.png``, ``gt/1400.png``), O-HAZE
(``hazy/01_outdoor_hazy.jpg``, ``GT/01_outdoor_GT.jpg``) and their like are read as they are published.

Source of the augmentation: L. Tran, D. Park, "Distilled Pooling Transformer Encoder for Efficient Realistic Image
Dehazing", arXiv 2412.14220 (2024), and its released code: a pair is resized to the network's square; that, and five
random square crops of 0.4 to 0.8 of its side enlarged to it, each as it is and cut from the mirrored pair: twelve
samples a pair. The transmission is computed once, on the whole square, and cropped alongside.
Differs from the paper: the crops' places are drawn anew in each pass, not once for all. ``rehaze``, which the paper
does not have and which is off by default, makes more of few scenes: their haze is found back, and put on again with
another density on other colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError, RecipeError
from edgekd.core.resize import resize_bilinear
from edgekd.datasets.haze import Change, Haze, haze_of, rehazed
from edgekd.datasets.item import Item
from edgekd.datasets.pictures import picture_paths, read_picture
from edgekd.tasks import dehazing

Picture = NDArray[np.uint8]
_Square = tuple[Picture, Picture, NDArray[np.float32]]  # hazy, clear, transmission
_PERMUTATION = 1  # keeps a pass's stream of random numbers apart from a sample's


@dataclass(frozen=True, slots=True)
class Config:
    """How the folders lie, what is held out, and the augmentation.

    Attributes:
        hazy, clear: Names of the two sub-folders.
        border: Pixels that are cut from each side of a clear picture; 10 for RESIDE's indoor test scenes as published.
        validation: What ``validation`` reads: the last so many scenes of each folder, which training leaves out; or
            names of sub-folders that hold ``hazy`` and ``clear`` of their own, none of whose scenes is left out.
        crops: Sides of the square crops, shares of the whole; none takes whole pictures alone.
        mirror: Whether each sample is also cut from the mirrored pair.
        rehaze: Share of the samples whose haze and colours are drawn anew; for synthesised haze.
        memory_mib: At most this much of resized pairs is kept, in each process that reads.
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
                f"{clear.shape[1]}x{clear.shape[0]}; equal sizes were expected: set data.options.border, or crop one"
            )
        return hazy, clear


class Training:
    """Whole pictures and crops of the pairs that are not held out; one pass is one permutation of them."""

    def __init__(self, folders: Sequence[Path], config: Config, options: Mapping[str, Any], seed: int) -> None:
        """Find the pairs; pictures are read when they are first asked for.

        Args:
            folders: Each with ``config.hazy`` and ``config.clear`` in it.
            config: ``[data.options]``.
            options: The task's: ``size`` and those of the haze map.
            seed: Of order and crops.

        Raises:
            InputError: A folder is unusable, a hazy picture has no clear one, or no scene is left to train on.
        """
        self.pairs = [pair for folder in folders for pair in _split(folder, config)[0]]
        self.config, self.options, self.seed = config, options, seed
        self.size = dehazing.options_of(options).size
        views = 1 + len(config.crops)
        self._views = views * 2 if config.mirror else views
        bytes_each = self.size**2 * (3 + 3 + 4 + (4 if config.rehaze else 0))
        self._room = config.memory_mib * 2**20 // bytes_each
        self._kept: dict[int, _Square] = {}
        self._hazes: dict[int, Haze] = {}
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))

    def __len__(self) -> int:
        """Samples of a pass: with the paper's augmentation, twelve a pair."""
        return len(self.pairs) * self._views

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return sample ``index``: input (4, S, S) and clear picture (3, S, S), float32 -1..1."""
        number, view = divmod(int(self._permutation(index // len(self))[index % len(self)]), self._views)
        rng = np.random.default_rng((self.seed, index))
        hazy, clear, transmitted = self._square(number)
        if self.config.rehaze and rng.random() < self.config.rehaze:
            hazy, clear = rehazed(clear, self._haze(number, hazy, clear), Change(), rng)
            transmitted = dehazing.transmission(hazy, self.options)
        mirrored, view = divmod(view, 1 + len(self.config.crops))
        if mirrored:
            hazy, clear, transmitted = hazy[:, ::-1], clear[:, ::-1], transmitted[:, ::-1]
        if view:
            side = max(1, round(self.config.crops[view - 1] * self.size))
            top, left = rng.integers(self.size - side + 1, size=2)
            window = np.s_[top : top + side, left : left + side]
            hazy, clear = (dehazing.resize_picture(x[window], self.size, self.size) for x in (hazy, clear))
            cut = resize_bilinear(transmitted[window][..., None], self.size, self.size)
            transmitted = cut[..., 0].astype(np.float32)
        return dehazing.network_input(hazy, transmitted), dehazing.signed(clear)

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        if self._order[0] != epoch:
            rng = np.random.default_rng((self.seed, epoch, _PERMUTATION))
            self._order = (epoch, rng.permutation(len(self)))
        return self._order[1]

    def _square(self, number: int) -> _Square:
        """Pair ``number`` at the network's size with its transmission; kept while there is room."""
        if number in self._kept:
            return self._kept[number]
        hazy, clear = (dehazing.resize_picture(x, self.size, self.size) for x in self.pairs[number].read())
        square = hazy, clear, dehazing.transmission(hazy, self.options)
        if len(self._kept) < self._room:
            self._kept[number] = square
        return square

    def _haze(self, number: int, hazy: Picture, clear: Picture) -> Haze:
        """Pair ``number``'s haze, found once where there is room."""
        if number in self._hazes:
            return self._hazes[number]
        found = haze_of(hazy, clear)
        if len(self._hazes) < self._room:
            self._hazes[number] = found
        return found


def validation(folders: Sequence[Path], config: Config, options: Mapping[str, Any]) -> list[Item]:
    """Read the pairs that are held out, at their own size.

    Raises:
        InputError: A folder or picture is unusable, or a hazy picture has no clear one.
    """
    items = []
    for folder in folders:
        for pair in _split(folder, config)[1]:
            seen, truth = pair.read()
            items.append(Item(pair.hazy.stem, seen, truth))
    return items


def _split(folder: Path, config: Config) -> tuple[list[_Pair], list[_Pair]]:
    """Pairs of one folder: (for training, held out)."""
    pairs = _pairs(folder, config)
    if not isinstance(config.validation, int):
        return pairs, [pair for name in config.validation for pair in _pairs(folder / name, config)]
    scenes = sorted({_scene(pair.hazy) for pair in pairs}, key=_natural)
    if len(scenes) <= config.validation:
        raise InputError(
            f"{folder} has {len(scenes)} scenes and {config.validation} are to be held out; give more scenes, or set "
            "data.options.validation lower"
        )
    held = set(scenes[-config.validation :])
    return (
        [pair for pair in pairs if _scene(pair.hazy) not in held],
        [pair for pair in pairs if _scene(pair.hazy) in held],
    )


def _pairs(folder: Path, config: Config) -> list[_Pair]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; one with {config.hazy}/ and {config.clear}/ in it was expected")
    clear: dict[str, Path] = {}
    for path in picture_paths(folder / config.clear):
        if _scene(path) in clear:
            raise InputError(
                f"{path} and {clear[_scene(path)].name} are both the clear picture of scene {_scene(path)!r} (the name "
                "up to the first underscore); one was expected: rename or remove one"
            )
        clear[_scene(path)] = path
    pairs = []
    for path in picture_paths(folder / config.hazy):
        if _scene(path) not in clear:
            raise InputError(
                f"{path} has no clear picture; {folder / config.clear / _scene(path)}.* was expected: add it, or "
                "remove the hazy one"
            )
        pairs.append(_Pair(path, clear[_scene(path)], config.border))
    return pairs


def _scene(path: Path) -> str:
    return path.stem.partition("_")[0]


def _natural(scene: str) -> tuple[float, str]:
    """Numbers by value, everything else after them by name."""
    return (int(scene) if scene.isdecimal() else float("inf"), scene)
