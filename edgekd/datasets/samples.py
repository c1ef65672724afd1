"""A folder of pictures → samples a network of known input shape can be fed: for parity, calibration and scoring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekd.core.errors import InputError
from edgekd.core.samples import Samples
from edgekd.core.tensor import TensorSpec
from edgekd.datasets.pictures import read_pictures

Picture = NDArray[np.uint8]
Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is fed, and what for.

    Attributes:
        spec: The network's input at its ``opt`` shape: (1, C, H, W) as the task's ``preprocess`` fills it, or the
            picture itself, (1, H, W, 3) uint8.
        task: A file of ``edgekd/tasks/`` as it is met at the network's edge (``core.embedded.task_view``).
        options: The recipe's ``[task]``.
    """

    spec: TensorSpec
    task: Any
    options: Mapping[str, Any]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the picture that the network takes."""
        shape = self.spec.at("opt")
        high, wide = shape[1:3] if self.spec.picture_layout == "NHWC" else shape[2:]
        return high, wide

    def fed(self, picture: Picture) -> Array:
        """Preprocess (H, W, 3) uint8 of the network's size into a feed, batch axis included.

        Raises:
            InputError: It is not what the network takes.
        """
        feed = np.asarray(self.task.preprocess(picture, self.options))[None]
        if not self.spec.admits(feed.shape):
            raise InputError(
                f"the task's preprocessing gives {'x'.join(map(str, feed.shape))}, the network takes {self.spec}; "
                "check export.shape and [task]"
            )
        return feed


def labelled_samples(folder: Path, subject: Subject, layout: ModuleType, config: Any) -> Samples:
    """Make samples with truth of a validation folder.

    Args:
        folder: Laid out as ``layout`` says.
        subject: Who is fed.
        layout: A file of ``edgekd/datasets/layouts/``.
        config: Its ``Config``.

    Raises:
        InputError: The folder or a picture is unusable, or does not suit the network.
    """
    items = layout.validation([folder], config, subject.options)
    return _samples(((item.name, item.seen, item.truth) for item in items), subject, f"pictures of {_called(folder)}")


def unlabelled_samples(folder: Path, subject: Subject) -> Samples:
    """Make samples without truth of a flat folder of pictures: to calibrate on, or to hold networks against each other.

    A task that degrades pictures to make its own input does so here as well.

    Raises:
        InputError: The folder or a picture is unusable, or does not suit the network.
    """
    degrade = getattr(subject.task, "degrade", None)
    pictures = ((path.name, picture) for path, picture in read_pictures(folder))
    seen = ((name, degrade(picture, subject.options)[0] if degrade else picture) for name, picture in pictures)
    named = ((Path(name).stem, picture, None) for name, picture in seen)
    return _samples(named, subject, f"pictures of {_called(folder)}")


def _samples(items: Iterable[tuple[str, Picture, Array | None]], subject: Subject, whose: str) -> Samples:
    names, feeds, seen, truths = [], [], [], []
    for name, picture, truth in items:
        try:
            fitted, true = subject.task.fit(picture, truth, subject.size, subject.options)
        except InputError as err:
            raise InputError(f"{name}: {err}") from err
        names.append(name)
        feeds.append(subject.fed(fitted))
        seen.append(fitted)
        truths.append(true)
    if not names:
        raise InputError(f"there are no {whose}; at least one picture was expected")
    truth_array = None if any(true is None for true in truths) else np.stack(truths)
    inputs = {subject.spec.name: np.stack(feeds)}
    return Samples(inputs, tuple(names), f"{len(names)} {whose}", truth_array, np.stack(seen))


def _called(folder: Path) -> str:
    resolved = folder.resolve()
    return f"{resolved.parent.name}/{resolved.name}"


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
