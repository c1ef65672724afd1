"""Engine and picture → answer: a picture (whole, or in tiles without seams), labels, or a class in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError
from edgekd.core.protocols import Session
from edgekd.core.resize import resize_bilinear
from edgekd.core.tensor import TensorSpec

Picture = NDArray[np.uint8]

# Input pixels cut from a tile's inner edges, where the network saw the tile's border instead of the picture. A network
# whose receptive field reaches further (EDSR 64 x 16: 35 pixels) sees its border there, ever so slightly.
OVERLAP = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine says of one picture; what it does not say is None.

    Attributes:
        picture: (H, W, 3) uint8: the restored picture, or the labels painted; of the picture's own size, or its
            multiple.
        labels: (H, W) int64 class numbers of each pixel of the picture.
        text: The answer in words.
        scores: Class → its probability, the likeliest first.
    """

    picture: Picture | None = None
    labels: NDArray[np.int64] | None = None
    text: str | None = None
    scores: Mapping[str, float] | None = None


def answer_from(session: Session, image: Picture, task: ModuleType, options: Mapping[str, Any]) -> Answer:
    """Run one picture through an engine.

    Args:
        session: An open engine with one input and one output, a batch of one.
        image: (H, W, 3) uint8 RGB, of any size: it is cut into tiles where the task can work on a part of a picture
            alone, else fitted to the size that the engine takes, and what comes out is brought back to its own.
        task: A file of ``edgekd/tasks/`` as it is met at the engine's edge (``core.embedded.task_view``).
        options: The recipe's ``[task]``.

    Raises:
        InputError: The engine does not take one picture.
    """
    if hasattr(task, "degrade"):
        return Answer(picture_from(session, image, task, options))
    spec = session.inputs[0]
    if len(session.inputs) != 1 or len(session.outputs) != 1 or len(spec.shape) != 4:
        edge = ", ".join(map(str, session.inputs))
        raise InputError(f"the engine takes {edge}; one picture in and one answer out was expected")
    output = _output(session, _fitted(spec, image, task, options), task, options)
    high, wide = image.shape[:2]
    if not hasattr(task, "picture"):
        order = np.argsort(-output, kind="stable")
        names = task.class_names(options)
        return Answer(text=task.label(output, options), scores={names[i]: float(output[i]) for i in order})
    if np.issubdtype(output.dtype, np.integer):
        rows, columns = (
            np.minimum((np.arange(to) + 0.5) * of / to, of - 1).astype(int)
            for of, to in zip(output.shape, (high, wide), strict=True)
        )
        labels = output[rows[:, None], columns].astype(np.int64)
        return Answer(task.picture(labels, options), labels)
    made: Picture = task.picture(output, options)
    if made.shape[:2] != (high, wide):
        made = np.round(resize_bilinear(made, high, wide)).astype(np.uint8)
    return Answer(made)


def picture_from(session: Session, image: Picture, task: ModuleType, options: Mapping[str, Any]) -> Picture:
    """Run one picture through an engine, whole or in tiles.

    Args:
        session: An open engine: one picture in, (1, 3, H, W) or (1, H, W, 3); one out, s times as large.
        image: (H, W, 3) uint8 RGB, of any size.
        task: A file of ``edgekd/tasks/`` whose outputs are pictures.
        options: The recipe's ``[task]``.

    Returns:
        (s*H, s*W, 3) uint8.

    Raises:
        InputError: The engine does not take one picture.
    """
    spec = session.inputs[0]
    if len(session.inputs) != 1 or spec.picture_layout is None or not hasattr(task, "picture"):
        edge = ", ".join(map(str, session.inputs))
        raise InputError(f"the engine takes {edge}; one picture in and one out, 1x3xHxW, was expected")
    high, wide = image.shape[:2]
    if spec.admits((1, high, wide, 3) if spec.picture_layout == "NHWC" else (1, 3, high, wide)):
        return _run(session, image, task, options)
    tile_high, tile_wide = _size(spec, "max")
    padding = ((0, max(0, tile_high - high)), (0, max(0, tile_wide - wide)), (0, 0))
    padded: Picture = np.pad(image, padding, mode="edge")
    enlarged: Picture | None = None
    for top, rows in _spans(padded.shape[0], tile_high):
        for left, columns in _spans(padded.shape[1], tile_wide):
            tile = padded[top : top + tile_high, left : left + tile_wide]
            made = _run(session, np.ascontiguousarray(tile), task, options)
            scale = made.shape[0] // tile_high
            if enlarged is None:
                enlarged = np.zeros((padded.shape[0] * scale, padded.shape[1] * scale, 3), np.uint8)
            y, x = (slice(kept.start * scale, kept.stop * scale) for kept in (rows, columns))
            enlarged[y, x] = made[_shifted(y, top * scale), _shifted(x, left * scale)]
    assert enlarged is not None, "_spans yields at least one tile"
    scale = enlarged.shape[0] // padded.shape[0]
    return enlarged[: high * scale, : wide * scale]


def _fitted(spec: TensorSpec, image: Picture, task: ModuleType, options: Mapping[str, Any]) -> Picture:
    """Bring a picture to the engine's size, or to what the task likes best where the engine leaves the choice."""
    fitted: Picture
    if not spec.is_static:
        fitted, _ = task.fit(image, None, None, options)
        high, wide = fitted.shape[:2]
        batch, *rest = spec.at("opt")
        if spec.admits((batch, high, wide, rest[2]) if spec.picture_layout == "NHWC" else (batch, rest[0], high, wide)):
            return fitted
    fitted, _ = task.fit(image, None, _size(spec, "opt"), options)
    return fitted


def _size(spec: TensorSpec, which: str) -> tuple[int, int]:
    shape = spec.at(which)
    high, wide = shape[1:3] if spec.picture_layout == "NHWC" else shape[2:]
    return high, wide


def _run(session: Session, image: Picture, task: ModuleType, options: Mapping[str, Any]) -> Picture:
    made: Picture = task.picture(_output(session, image, task, options), options)
    return made


def _output(session: Session, image: Picture, task: ModuleType, options: Mapping[str, Any]) -> NDArray[Any]:
    spec = session.inputs[0]
    feed = np.asarray(task.preprocess(image, options)[None], spec.dtype, order="C")
    if not spec.admits(feed.shape):
        found = "x".join(map(str, feed.shape))
        raise InputError(f"the engine takes {spec}, the task's preprocessing gives {found}; give the engine's own task")
    return np.asarray(task.postprocess(session.run({spec.name: feed})[session.outputs[0].name][0], options))


def _spans(size: int, tile: int) -> Iterator[tuple[int, slice]]:
    """Yield (where a tile starts, which of the picture's pixels are taken from it); together they cover ``size``."""
    overlap = min(OVERLAP, tile // 4)
    starts = [*range(0, size - tile, tile - 2 * overlap), size - tile]
    done = 0
    for start in starts:
        end = size if start == size - tile else start + tile - overlap
        yield start, slice(done, end)
        done = end


def _shifted(span: slice, by: int) -> slice:
    return slice(span.start - by, span.stop - by)
