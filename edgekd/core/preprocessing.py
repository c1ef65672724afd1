"""Networks that take the camera's picture: what their edge looks like, and how a task sees their answers.

With ``export.embed_preprocess`` a network's graph begins with its task's preprocessing and ends with its
postprocessing: (1, H, W, 3) uint8 goes in; (1, H', W', 3) uint8 pictures, (1, H, W) uint8 labels or (1, C) float32
probabilities come out. Its manifest says ``embedded = true`` in facts["network"]. Numpy alone: boards read this.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.config import ExportConfig
from edgekd.core.errors import InputError
from edgekd.core.protocols import Array, Task
from edgekd.core.tensor import DimRange, TensorSpec

# How the names of embedded nodes begin in a graph: FP16 leaves them in FP32.
NODES = "embedded_"
BEFORE, AFTER = f"{NODES}before_", f"{NODES}after_"
_LABELS, _PICTURE = 2, 3  # axes of one answer


def input_spec(config: ExportConfig) -> TensorSpec:
    """Return the edge that an exported network has: (N, C, H, W) float32, or one picture (1, H, W, 3) uint8.

    Raises:
        InputError: The picture's size is not fixed.
    """
    if not config.embed_preprocess:
        ranges = {name: DimRange(*sizes) for name, sizes in config.ranges.items()}
        return TensorSpec("input", config.shape, "float32", ranges or None)
    shape = config.shape
    if len(shape) != 4 or shape[0] != 1 or not all(isinstance(size, int) for size in shape):
        raise InputError(
            f"export.shape = {list(shape)} with export.embed_preprocess; one picture of a fixed size, "
            "[1, channels, height, width], was expected: write numbers, or embed_preprocess = false"
        )
    return TensorSpec("input", (1, shape[2], shape[3], 3), "uint8")


def task_view(task: Task, embedded: bool) -> Task:
    """Return ``task`` as it is met at the network's edge.

    Args:
        task: A file of ``edgekd/tasks/``.
        embedded: Whether the network's graph holds the task's preprocessing and postprocessing.

    Returns:
        ``task`` itself, or a view of it: ``preprocess`` gives the picture, (H, W, 3) uint8, as it is, and
        ``postprocess`` takes the graph's answer to what the task's own ``postprocess`` gives; everything else
        (``metric``, ``picture``, ``baseline``, ...) is the task's.
    """
    return _EmbeddedTask(task) if embedded else task


def answer_of(task: ModuleType, output: Array, options: Mapping[str, Any]) -> Array:
    """Turn what ``task.postprocess`` gave into what a graph with it embedded answers.

    Args:
        task: A file of ``edgekd/tasks/``.
        output: (H, W, 3) picture, (H, W) labels or (C,) probabilities.
        options: The recipe's ``[task]``.

    Returns:
        (H, W, 3) uint8, (H, W) uint8 or (C,) float32.
    """
    if output.ndim == _PICTURE:
        picture: NDArray[np.uint8] = task.picture(output, options)
        return picture
    return output.astype(np.uint8) if output.ndim == _LABELS else output.astype(np.float32)


class _EmbeddedTask:
    """See ``task_view``."""

    METRICS: tuple[str, ...]

    def __init__(self, task: Task) -> None:
        self._task = task

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def preprocess(self, image: NDArray[np.uint8], options: Mapping[str, Any]) -> Array:
        return np.ascontiguousarray(image)

    def postprocess(self, output: Array, options: Mapping[str, Any]) -> Array:
        if output.ndim == _PICTURE:
            return np.asarray(output, np.float32) / np.float32(255)
        return output.astype(np.int64) if output.ndim == _LABELS else output
