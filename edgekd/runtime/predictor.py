"""Predictor: single images through an engine; out come images (whole, or tiled without seams), labels or a class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError
from edgekd.core.protocols import Array, Labels, Pictures, Session, Task, Tileable
from edgekd.core.resize import resize, resize_bilinear

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What an engine predicts for one image. A task fills what it has; the rest is None.

    Attributes:
        picture: (H, W, 3) uint8, the restored image or the coloured labels; of the image's size, or a multiple of it.
        labels: (H, W) int64, the class of each pixel of the image.
        text: The most probable class in words.
        scores: Class → probability, the most probable first.
    """

    picture: Picture | None = None
    labels: NDArray[np.int64] | None = None
    text: str | None = None
    scores: Mapping[str, float] | None = None


class Predictor:
    """An open engine and the task that it was built for.

    Args:
        session: An engine with one input and one output, a batch of one.
        task: A file of ``edgekd/tasks/``, as ``core.preprocessing.task_view`` gives it.
        options: The recipe's ``[task]``.

    Raises:
        InputError: The engine does not take one image.
    """

    def __init__(self, session: Session, task: Task, options: Mapping[str, Any]) -> None:
        inputs, outputs = session.inputs, session.outputs
        takes_one_image = len(inputs) == 1 and len(outputs) == 1 and len(inputs[0].shape) == 4
        if takes_one_image and isinstance(task, Tileable):
            takes_one_image = inputs[0].picture_layout is not None  # tiles are cut from the image, so 3 channels
        if not takes_one_image:
            found = f"{', '.join(map(str, inputs))} and gives {', '.join(map(str, outputs))}"
            raise InputError(
                f"the engine takes {found}; one image (four axes) as its input and one output were expected: give an "
                "engine of the task's own network"
            )
        self._session, self._task, self._options = session, task, options
        self._input = inputs[0]

    def predict(self, image: Picture) -> Prediction:
        """Run one image through the engine.

        Where the task is ``Tileable`` and the engine takes another size, the image is cut into overlapping tiles;
        other tasks fit the image to the engine's size, and the output is brought back to the image's own.

        Args:
            image: (H, W, 3) uint8 RGB, of any size.

        Raises:
            InputError: The task's preprocessing does not suit the engine.
        """
        if isinstance(self._task, Tileable):
            return Prediction(picture=self._whole_or_tiled(image, self._task.TILE_OVERLAP))
        output = self._output(self._fitted(image))  # (h, w, 3) image, (h, w) labels or (C,) probabilities
        if not isinstance(self._task, Pictures):
            return self._class_prediction(output)
        height, width = image.shape[:2]
        if np.issubdtype(output.dtype, np.integer):
            labels = resize(output[..., None], height, width, "nearest")[..., 0].astype(np.int64)
            return Prediction(picture=self._task.picture(labels, self._options), labels=labels)
        picture = self._task.picture(output, self._options)
        if picture.shape[:2] != (height, width):
            picture = np.round(resize_bilinear(picture, height, width)).astype(np.uint8)
        return Prediction(picture=picture)

    def _class_prediction(self, probabilities: Array) -> Prediction:
        """Put (C,) probabilities into words."""
        assert isinstance(self._task, Labels), "a task has pictures or labels: tests/contract/test_tasks.py"
        names = self._task.class_names(self._options)
        order = np.argsort(-np.asarray(probabilities, np.float64), kind="stable")
        scores = {names[index]: float(probabilities[index]) for index in order}
        return Prediction(text=self._task.label(probabilities, self._options), scores=scores)

    def _fitted(self, image: Picture) -> Picture:
        """Fit an image to the engine: to the size that the task prefers where the engine admits it."""
        if not self._input.is_static:
            preferred, _ = self._task.fit(image, None, None, self._options)
            if self._admits(preferred):
                return preferred
        fitted, _ = self._task.fit(image, None, self._size("opt"), self._options)
        return fitted

    def _admits(self, image: Picture) -> bool:
        """Return whether the engine takes images of this size, (H, W, 3)."""
        height, width = image.shape[:2]
        batch, *shape = self._input.at("opt")
        if self._input.picture_layout == "NHWC":
            return self._input.admits((batch, height, width, shape[2]))
        return self._input.admits((batch, shape[0], height, width))

    def _size(self, which: str) -> tuple[int, int]:
        """Return the (height, width) of the engine's input at ``which`` of "min", "opt", "max"."""
        shape = self._input.at(which)
        height, width = shape[1:3] if self._input.picture_layout == "NHWC" else shape[2:]
        return height, width

    def _output(self, image: Picture) -> Array:
        """Preprocess, infer and postprocess one image, (H, W, 3) uint8 of a size that the engine admits."""
        feed = np.asarray(self._task.preprocess(image, self._options)[None], self._input.dtype, order="C")
        if not self._input.admits(feed.shape):
            raise InputError(
                f"the engine takes {self._input}, the task's preprocessing gives {'x'.join(map(str, feed.shape))}; "
                "give the task that the engine was built for"
            )
        outputs = self._session.run({self._input.name: feed})
        return np.asarray(self._task.postprocess(outputs[self._session.outputs[0].name][0], self._options))

    def _whole_or_tiled(self, image: Picture, overlap: int) -> Picture:
        """Restore (H, W, 3) uint8 → (s*H, s*W, 3) uint8, whole where the engine takes this size, else in tiles."""
        height, width = image.shape[:2]
        layout_shape = (height, width, 3) if self._input.picture_layout == "NHWC" else (3, height, width)
        if self._input.admits((1, *layout_shape)):
            return self._restored(image)
        tile_height, tile_width = self._size("max")  # the largest tiles have the smallest share of overlap
        # An image smaller than a tile is continued by its border pixels.
        padding = ((0, max(0, tile_height - height)), (0, max(0, tile_width - width)), (0, 0))
        padded: Picture = np.pad(image, padding, mode="edge")
        rows = []
        for top, kept_rows in _spans(padded.shape[0], tile_height, overlap):
            row = []
            for left, kept_columns in _spans(padded.shape[1], tile_width, overlap):
                tile = padded[top : top + tile_height, left : left + tile_width]
                restored = self._restored(np.ascontiguousarray(tile))
                scale = restored.shape[0] // tile_height  # 2 where the network enlarges by 2
                row.append(restored[_scaled(kept_rows, top, scale), _scaled(kept_columns, left, scale)])
            rows.append(np.concatenate(row, axis=1))
        joined: Picture = np.concatenate(rows, axis=0)
        scale = joined.shape[0] // padded.shape[0]
        # Without what became of the padding.
        return joined[: height * scale, : width * scale]

    def _restored(self, image: Picture) -> Picture:
        assert isinstance(self._task, Pictures), "a tileable task has pictures: tests/contract/test_tasks.py"
        return self._task.picture(self._output(image), self._options)


def _spans(size: int, tile: int, overlap: int) -> Iterator[tuple[int, slice]]:
    """Yield (start of a tile, the image's pixels that are taken from it); together they cover ``size``."""
    overlap = min(overlap, tile // 4)  # so that at least half of a small tile is new
    # The last tile ends at the border, so it may overlap its neighbour by more.
    starts = [*range(0, size - tile, tile - 2 * overlap), size - tile]
    covered = 0
    for start in starts:
        end = size if start == size - tile else start + tile - overlap
        yield start, slice(covered, end)
        covered = end


def _scaled(kept: slice, start: int, scale: int) -> slice:
    """Return where the image's pixels ``kept`` lie in the output of a tile that begins at ``start``."""
    return slice((kept.start - start) * scale, (kept.stop - start) * scale)
