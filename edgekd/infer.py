"""Engine and picture → picture: whole where the engine takes its size, else in overlapping tiles without seams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError
from edgekd.core.protocols import Session

Picture = NDArray[np.uint8]

# Input pixels cut from a tile's inner edges, where the network saw the tile's border instead of the picture. A network
# whose receptive field reaches further (EDSR 64 x 16: 35 pixels) sees its border there, ever so slightly.
OVERLAP = 32


def picture_from(session: Session, image: Picture, task: ModuleType, options: Mapping[str, Any]) -> Picture:
    """Run one picture through an engine.

    Args:
        session: An open engine: one picture in, (1, 3, H, W); one out, (1, 3, s*H, s*W).
        image: (H, W, 3) uint8 RGB, of any size.
        task: A file of ``edgekd/tasks/`` whose outputs are pictures.
        options: The recipe's ``[task]``.

    Returns:
        (s*H, s*W, 3) uint8.

    Raises:
        InputError: The engine does not take one picture.
    """
    if len(session.inputs) != 1 or session.inputs[0].picture_layout != "NCHW" or not hasattr(task, "picture"):
        edge = ", ".join(map(str, session.inputs))
        raise InputError(f"the engine takes {edge}; one picture in and one out, 1x3xHxW, was expected")
    spec = session.inputs[0]
    high, wide = image.shape[:2]
    if spec.admits((1, 3, high, wide)):
        return _run(session, image, task, options)
    tile_high, tile_wide = spec.at("max")[2:]
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


def _run(session: Session, image: Picture, task: ModuleType, options: Mapping[str, Any]) -> Picture:
    spec = session.inputs[0]
    feed = np.asarray(task.preprocess(image, options)[None], spec.dtype, order="C")
    output = session.run({spec.name: feed})[session.outputs[0].name][0]
    made: Picture = task.picture(task.postprocess(output, options))
    return made


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
