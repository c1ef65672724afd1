"""A folder of pictures → samples a network of known input shape can be fed: for parity, calibration and scoring."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekd.core.errors import InputError
from edgekd.core.samples import Samples
from edgekd.core.tensor import TensorSpec
from edgekd.datasets._pictures import read_pictures

Picture = NDArray[np.uint8]


def task_samples(folder: Path, spec: TensorSpec, task: ModuleType, options: Mapping[str, Any]) -> Samples:
    """Make samples with truth, as a task degrades pictures.

    Args:
        folder: Pictures; each is centre-cropped to what gives the network's input shape.
        spec: The network's input, (1, 3, H, W) at its ``opt`` shape.
        task: A module of ``edgekd/tasks/``.
        options: The recipe's ``[task]``.

    Raises:
        InputError: The folder or a picture is unusable, or smaller than the network's input needs.
    """
    high, wide = spec.at("opt")[2:]
    inputs, truths, seen, names = [], [], [], []
    for path, picture in read_pictures(folder):
        low, truth = task.degrade(picture, options)
        if low.shape[0] < high or low.shape[1] < wide:
            raise InputError(
                f"{path} gives an input of {low.shape[1]}x{low.shape[0]}, the network takes {wide}x{high}; "
                "give larger pictures, or a smaller --set export.shape"
            )
        factor = truth.shape[0] // low.shape[0]
        top, left = (low.shape[0] - high) // 2, (low.shape[1] - wide) // 2
        low = low[top : top + high, left : left + wide]
        truths.append(truth[top * factor : (top + high) * factor, left * factor : (left + wide) * factor])
        seen.append(low)
        inputs.append(task.preprocess(low, options)[None])
        names.append(path.stem)
    source = f"{len(names)} pictures of {folder.parent.name}/{folder.name}"
    return Samples({spec.name: np.stack(inputs)}, tuple(names), source, np.stack(truths), np.stack(seen))


def image_samples(folder: Path, spec: TensorSpec, layout: str, scale: float, whose: str = "pictures") -> Samples:
    """Make samples for a foreign network, whose preprocessing nobody told us: resized, scaled, nothing else.

    Args:
        folder: Pictures.
        spec: The network's one input: (1, C, H, W) or (1, H, W, C), C of 1 or 3.
        layout: "NCHW" or "NHWC".
        scale: Pixels are fed as 0..``scale``.
        whose: What to call them.

    Raises:
        InputError: The folder or a picture is unusable.
    """
    batch, *rest = spec.at("opt")
    channels, high, wide = rest if layout == "NCHW" else (rest[2], rest[0], rest[1])
    fit = _fitter(high, wide, channels, layout)
    arrays, names = [], []
    for path, picture in read_pictures(folder):
        array = fit(picture) * np.float64(scale) / 255.0
        arrays.append(np.repeat(array[None], batch, axis=0).astype(spec.dtype))
        names.append(path.stem)
    source = f"{len(names)} {whose}, resized to {wide}x{high} and fed as 0..{scale:g} (assumed)"
    return Samples({spec.name: np.stack(arrays)}, tuple(names), source)


def _fitter(high: int, wide: int, channels: int, layout: str) -> Callable[[Picture], NDArray[np.float64]]:
    def fit(picture: Picture) -> NDArray[np.float64]:
        image = Image.fromarray(picture).resize((wide, high), Image.Resampling.BILINEAR)
        array = (
            np.asarray(image.convert("L"), np.float64)[..., None] if channels == 1 else np.asarray(image, np.float64)
        )
        return array.transpose(2, 0, 1) if layout == "NCHW" else array

    return fit
