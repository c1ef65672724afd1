"""Graphs that include their task's preprocessing and postprocessing: their signature, node names and view of the task.

With ``export.include_preprocessing`` a graph takes an image, (1, H, W, 3) uint8, and returns an image (1, H', W', 3)
uint8, labels (1, H, W) uint8 or probabilities (1, C) float32. ``NetworkInfo.includes_preprocessing`` records it. The
board imports this module, so it needs numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgekd.core.config import ExportConfig
from edgekd.core.errors import InputError
from edgekd.core.input_contract import InputContract, contract_view
from edgekd.core.protocols import Array, Pictures, Task
from edgekd.core.tensor import DimRange, TensorSpec

# Node names of the task's two parts begin with these. FP16 leaves both in FP32. "edgekd_" keeps them apart from the
# nodes of imported networks, some of which are called "preprocess_..." too.
PREPROCESS_PREFIX, POSTPROCESS_PREFIX = "edgekd_preprocess_", "edgekd_postprocess_"

# Number of axes that tells what one output without its batch axis is.
_LABEL_AXES, _IMAGE_AXES = 2, 3


def is_pre_or_postprocessing(node_name: str) -> bool:
    """Whether a node of this name belongs to the task's preprocessing or postprocessing."""
    return node_name.startswith((PREPROCESS_PREFIX, POSTPROCESS_PREFIX))


def input_spec(config: ExportConfig) -> TensorSpec:
    """Return the input of an exported network: (N, C, H, W) float32, or one image (1, H, W, 3) uint8.

    Raises:
        InputError: The graph includes preprocessing and the image size is not fixed.
    """
    if not config.include_preprocessing:
        ranges = {name: DimRange(*sizes) for name, sizes in config.ranges.items()}
        return TensorSpec("input", config.shape, "float32", ranges or None)
    shape = config.shape
    if len(shape) != 4 or shape[0] != 1 or not all(isinstance(size, int) for size in shape):
        raise InputError(
            f"export.shape = {list(shape)} with export.include_preprocessing; one image of a fixed size, "
            "[1, channels, height, width], was expected: write numbers, or set include_preprocessing = false"
        )
    return TensorSpec("input", (1, shape[2], shape[3], 3), "uint8")


def task_view(task: Task, includes_preprocessing: bool, contract: InputContract | None = None) -> Task:
    """Return ``task`` as the caller of a network's graph needs it.

    Args:
        task: A file of ``edgekd/tasks/``.
        includes_preprocessing: Whether the graph contains the task's preprocessing and postprocessing.
        contract: How the network is fed, where the task alone does not decide.

    Returns:
        ``task`` itself; or a copy that prepares images as the contract says; or a copy whose ``preprocess`` passes the
        image (H, W, 3) uint8 through and whose ``postprocess`` turns the graph's output into what the task's own
        ``postprocess`` returns.
    """
    if not includes_preprocessing:
        return task if contract is None else contract_view(task, contract, fits=fits_by_contract(task))
    # Copied, not delegated by __getattr__: since Python 3.12, isinstance(view, Pictures) sees real attributes only.
    members = {name: getattr(task, name) for name in dir(task) if not name.startswith("_")}
    members |= {"preprocess": _pass_through, "postprocess": _from_graph_output}
    return cast("Task", SimpleNamespace(**members))


def fits_by_contract(task: Task) -> bool:
    """Whether images of this task are resized as an input contract says.

    Only where the output is of another kind than the image: restored images have the size of what they restore.
    """
    return task.CRITERION == "cross_entropy"


def graph_output(task: Task, output: Array, options: Mapping[str, Any]) -> Array:
    """Turn what ``task.postprocess`` returned into what a graph that includes it returns.

    Args:
        task: A file of ``edgekd/tasks/``.
        output: (H, W, 3) image, (H, W) labels or (C,) probabilities.
        options: The recipe's ``[task]``.

    Returns:
        (H, W, 3) uint8, (H, W) uint8 or (C,) float32.

    Raises:
        InputError: The output is an image, and the task cannot turn it into a picture.
    """
    if output.ndim == _IMAGE_AXES:
        if not isinstance(task, Pictures):
            raise InputError(
                f"the task's output has shape {list(output.shape)} and the task has no picture(); labels or "
                "probabilities were expected"
            )
        return task.picture(output, options)
    return output.astype(np.uint8 if output.ndim == _LABEL_AXES else np.float32)


def _pass_through(image: NDArray[np.uint8], options: Mapping[str, Any]) -> Array:
    return np.ascontiguousarray(image)


def _from_graph_output(output: Array, options: Mapping[str, Any]) -> Array:
    if output.ndim == _IMAGE_AXES:
        return np.asarray(output, np.float32) / np.float32(255)  # (H, W, 3) float32 0..1
    return output.astype(np.int64) if output.ndim == _LABEL_AXES else output
