"""The input contract: how an image becomes the input of a network; ``NetworkInfo`` carries it to the board.

What the user gives (``[input]`` in a recipe) precedes what the network's file or source says; what neither says is
assumed, and ``resolved`` names it. Numpy only, because the board prepares images by the same functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import SimpleNamespace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError, RecipeError
from edgekd.core.protocols import Array, Task
from edgekd.core.resize import Interpolation, resize
from edgekd.core.tensor import TensorSpec

_SIZE_MAX = 65536
IGNORED_LABEL = 255  # of padded pixels of a label map, as in ``tasks.segmentation``
# ITU-R BT.601 in 16-bit fixed point, as Pillow converts to "L".
_LUMA = (19595, 38470, 7471)


@dataclass(frozen=True, slots=True)
class InputContract:
    """``[input]``: how an image, (H, W, 3) uint8 RGB, is fed. None is "not known".

    Attributes:
        size: (height, width) in pixels.
        scale: What a white pixel (255) is fed as, before ``mean`` and ``std``: 1 for 0..1, 255 for 0..255.
        mean, std: Of each channel, in the units of ``scale`` and in the order in which channels are fed; one number
            serves all channels. Fed is (pixel * scale / 255 - mean) / std.
        channels: The order in which they are fed.
        layout: Order of the axes.
        resize: "stretch" to the size; "crop" the centre after the shorter side was resized to size / ``crop_share``;
            "letterbox" keeps the proportions and pads.
        pad_value: Grey level 0..255 of letterbox's padding.
        pad_side: Where it goes: "both" sides, or the "end", right and bottom.
        interpolation: Of the resizing, antialiased.
        crop_share: Share of the shorter side that "crop" keeps.
    """

    size: tuple[int, int] | None = None
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: Literal["rgb", "bgr", "gray"] | None = None
    layout: Literal["nchw", "nhwc"] | None = None
    resize: Literal["letterbox", "stretch", "crop"] | None = None
    pad_value: int | None = None
    pad_side: Literal["both", "end"] | None = None
    interpolation: Interpolation | None = None
    crop_share: float | None = None

    def __post_init__(self) -> None:
        for name, low, high in (("scale", 1e-6, 1e6), ("pad_value", 0, 255), ("crop_share", 0.05, 1.0)):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise RecipeError(f"{name} = {value!r}; {low:g} to {high:g} was expected")
        if self.size is not None and not all(1 <= side <= _SIZE_MAX for side in self.size):
            raise RecipeError(f"size = {list(self.size)}; [height, width], 1 to {_SIZE_MAX} pixels each, was expected")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and (len(values) not in (1, 3) or not all(abs(value) < 1e6 for value in values)):
                raise RecipeError(f"{name} = {list(values)}; one finite number, or three, was expected")
        if self.std is not None and min(self.std) <= 0:
            raise RecipeError(f"std = {list(self.std)}; numbers above 0 were expected")

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))

    def or_else(self, other: InputContract) -> InputContract:
        """Return this contract with what it does not know taken from ``other``."""
        known = {name: getattr(self, name) for name in _names() if getattr(self, name) is not None}
        return replace(other, **known)

    def __str__(self) -> str:
        """Return it in words, such as ``224x224 RGB 0..1, mean 0.485 0.456 0.406, std ..., crop 0.875 (bicubic)``."""
        size = "" if self.size is None else f"{self.size[0]}x{self.size[1]} "
        text = f"{size}{(self.channels or '').upper()} 0..{self.scale or 0:g}"
        if self.mean is not None and self.std is not None and (set(self.mean), set(self.std)) != ({0.0}, {1.0}):
            text += f", mean {_numbers(self.mean)}, std {_numbers(self.std)}"
        share = f" {self.crop_share:g}" if self.resize == "crop" else ""
        padding = f" {self.pad_value} at {self.pad_side}" if self.resize == "letterbox" else ""
        return f"{text}, {self.resize}{share}{padding} ({self.interpolation})"


_ASSUMED = InputContract(
    scale=1.0,
    mean=(0.0,),
    std=(1.0,),
    channels="rgb",
    resize="stretch",
    pad_value=114,
    pad_side="both",
    interpolation="bilinear",
    crop_share=1.0,
)
# Of these the user is warned. The others matter only with a resize that somebody chose, or follow from the file.
_WARNED = ("scale", "mean", "std", "channels", "resize")


def resolved(known: InputContract, spec: TensorSpec) -> tuple[InputContract, tuple[str, ...]]:
    """Return the whole contract of a network's image input, and the fields that were assumed.

    Args:
        known: What the user, the file and the source say.
        spec: The input: (N, C, H, W) or (N, H, W, C), C of 1 or 3. An integer input is fed 0..255.

    Raises:
        InputError: The contract and the input contradict each other.
    """
    layout = _layout_of(known, spec)
    shape = spec.at("opt")
    channels, size = (shape[1], shape[2:]) if layout == "nchw" else (shape[3], shape[1:3])
    given_by_file = InputContract(size=(size[0], size[1]), layout=layout)
    if channels == 1:
        given_by_file = replace(given_by_file, channels="gray")
    if spec.dtype.startswith(("uint", "int")):
        given_by_file = replace(given_by_file, scale=255.0, mean=(0.0,), std=(1.0,))
    if known.size is not None and tuple(known.size) != tuple(size):
        raise InputError(
            f"input.size = {list(known.size)}, but the network takes {spec}; a network of a fixed size is fed that "
            "size: leave the size out, or export the network at another"
        )
    if known.channels is not None and (known.channels == "gray") != (channels == 1):
        raise InputError(f"input.channels = {known.channels!r}, but the network takes {spec}, {channels} channels")
    most = known.or_else(given_by_file)
    assumed = [name for name in _WARNED if getattr(most, name) is None]
    if most.mean is not None and most.std is None:
        most = replace(most, std=_ASSUMED.std)
    return most.or_else(_ASSUMED), tuple(assumed)


def fit(contract: InputContract, image: NDArray[np.uint8], size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Bring an image to the network's size.

    Args:
        contract: A resolved one.
        image: (H, W, C) uint8.
        size: (height, width); the contract's by default.

    Returns:
        (height, width, C) uint8.
    """
    target = size or contract.size
    assert target is not None, "a resolved contract has a size"
    height, width = target
    interpolation = contract.interpolation or "bilinear"
    if contract.resize == "crop":
        return _crop(image, height, width, contract.crop_share or 1.0, interpolation)
    if contract.resize == "letterbox":
        return _letterbox(contract, image, height, width)
    return _resized(image, height, width, interpolation)


def feed(contract: InputContract, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn a fitted image, (H, W, 3) uint8 RGB, into the network's input without its batch axis.

    Returns:
        (C, H, W) or (H, W, C) float32, as the contract's layout and channels say.
    """
    pixels: NDArray[Any] = image
    if contract.channels == "gray":
        luma = np.tensordot(image.astype(np.int64), np.array(_LUMA), axes=(2, 0))  # (H, W)
        pixels = ((luma + 0x8000) >> 16)[..., None]
    elif contract.channels == "bgr":
        pixels = image[..., ::-1]
    # In float64, so that a white pixel is exactly ``scale``.
    values = pixels.astype(np.float64) * ((contract.scale or 1.0) / 255.0)
    values -= np.array(contract.mean or (0.0,))
    values /= np.array(contract.std or (1.0,))
    if contract.layout != "nhwc":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values, np.float32)


def contract_view(task: Task, contract: InputContract, *, fits: bool) -> Task:
    """Return ``task`` with its ``preprocess``, and its ``fit`` where ``fits``, as the contract says."""
    members = {name: getattr(task, name) for name in dir(task) if not name.startswith("_")}

    def preprocess(image: NDArray[np.uint8], options: Mapping[str, Any]) -> Array:
        return feed(contract, image)

    def fit_both(
        image: NDArray[np.uint8],
        target: NDArray[Any] | None,
        size: tuple[int, int] | None,
        options: Mapping[str, Any],
    ) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
        if target is not None and target.ndim == 2:
            labels = replace(contract, interpolation="nearest", pad_value=IGNORED_LABEL)
            target = fit(labels, target.astype(np.uint8)[..., None], size)[..., 0]
        return fit(contract, image, size), target

    members["preprocess"] = preprocess
    if fits:
        members["fit"] = fit_both
    return cast("Task", SimpleNamespace(**members))


def _layout_of(known: InputContract, spec: TensorSpec) -> Literal["nchw", "nhwc"]:
    found = spec.picture_layout
    if found is None:
        raise InputError(f"the network takes {spec}; an input of 1 or 3 channels was expected, to feed it images")
    by_shape: Literal["nchw", "nhwc"] = "nchw" if found == "NCHW" else "nhwc"
    if known.layout is None or known.layout == by_shape:
        return by_shape
    channels = spec.shape[1 if known.layout == "nchw" else 3]
    if channels not in (1, 3):
        raise InputError(f"input.layout = {known.layout!r}, but the network takes {spec}; {by_shape!r} was expected")
    return known.layout


def _resized(image: NDArray[np.uint8], height: int, width: int, interpolation: Interpolation) -> NDArray[np.uint8]:
    if image.shape[:2] == (height, width):
        return image
    found = resize(image, height, width, interpolation)
    return np.clip(np.round(found), 0, 255).astype(np.uint8)


def _crop(
    image: NDArray[np.uint8], height: int, width: int, share: float, interpolation: Interpolation
) -> NDArray[np.uint8]:
    """Resize the shorter side to size / share, and cut the centre out, as torchvision's and timm's evaluations do."""
    scale = max(height / image.shape[0], width / image.shape[1]) / share
    # Rounding must not make the resized image smaller than what is cut out of it.
    resized_height, resized_width = (
        max(least, round(side * scale)) for least, side in zip((height, width), image.shape[:2], strict=True)
    )
    resized = _resized(image, resized_height, resized_width, interpolation)
    top, left = round((resized_height - height) / 2), round((resized_width - width) / 2)
    return resized[top : top + height, left : left + width]


def _letterbox(contract: InputContract, image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    scale = min(height / image.shape[0], width / image.shape[1])
    inner_height = min(height, max(1, round(image.shape[0] * scale)))
    inner_width = min(width, max(1, round(image.shape[1] * scale)))
    framed = np.full((height, width, image.shape[2]), contract.pad_value or 0, np.uint8)
    top, left = (0, 0) if contract.pad_side == "end" else ((height - inner_height) // 2, (width - inner_width) // 2)
    inner = _resized(image, inner_height, inner_width, contract.interpolation or "bilinear")
    framed[top : top + inner_height, left : left + inner_width] = inner
    return framed


def _names() -> list[str]:
    return [field.name for field in fields(InputContract)]


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)
