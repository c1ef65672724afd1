"""Classification: one class per image; ImageNet's preprocessing, top-1 and macro F1.

Options, the recipe's ``[task]``: ``classes`` (their names in the order of the network's outputs, or how many there
are), ``size`` (the network's input, pixels), ``crop`` (the share of the shorter side that ``fit`` keeps), ``mean`` and
``std`` (of each channel, 0..1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError
from edgekd.core.resize import resize_bilinear

METRICS = ("top1", "macro_f1")
PRIMARY = "top1"
CRITERION = "cross_entropy"
LAYOUT = "class_folders"

# ImageNet's, RGB 0..1: torchvision's and timm's published weights were trained with them.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CROP = 0.875  # torchvision's evaluation: 256 → 224
_MIN_STD = 1e-3  # a smaller deviation is a typing error, and would blow up the input
_MAX_CLASSES = 100_000
_MAX_SIZE = 8192


def preprocess(image: NDArray[np.uint8], options: Mapping[str, Any]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB → (3, H, W) float32, normalised by mean and deviation; no resizing."""
    mean, std = mean_std(options)
    # In place: on a board the temporary arrays would cost more than the arithmetic.
    normalised = np.array(image.transpose(2, 0, 1), np.float32, order="C")
    normalised /= np.float32(255)
    normalised -= mean[:, None, None]
    normalised /= std[:, None, None]
    return normalised


def postprocess(output: NDArray[np.generic], options: Mapping[str, Any]) -> NDArray[np.float32]:
    """(C,) logits → (C,) float32 probabilities. Raises InputError where C is not the number of classes."""
    logits = np.asarray(output, np.float64)
    if logits.shape != (len(class_names(options)),):
        raise InputError(
            f"the network's output has shape {logits.shape} and task.classes has {len(class_names(options))} classes; "
            "equal numbers were expected: fix [task] in the recipe, or the network's number of classes"
        )
    exponentials = np.exp(logits - logits.max())  # the maximum is taken off so that none overflows
    probabilities: NDArray[np.float64] = exponentials / exponentials.sum()
    return probabilities.astype(np.float32)


def metric(output: NDArray[np.generic], target: NDArray[Any], options: Mapping[str, Any]) -> dict[str, float]:
    """Score one image.

    Args:
        output: (C,) probabilities, as ``postprocess`` gives.
        target: () int, the class.
        options: Not used.

    Returns:
        ``top1``: 1 where the most probable class is the target, 0 elsewhere.
    """
    return {"top1": float(np.argmax(output) == int(target))}


def summarize(
    outputs: Sequence[NDArray[np.generic]], targets: Sequence[NDArray[Any]], options: Mapping[str, Any]
) -> dict[str, float]:
    """Score a whole set, all ``METRICS``.

    Args:
        outputs: Each (C,) probabilities, as ``postprocess`` gives.
        targets: Each () int, the class.
        options: ``classes``.

    Returns:
        ``top1``: share of images whose prediction is correct. ``macro_f1``: mean of 2 TP / (2 TP + FP + FN) over the
        classes that occur at least once, as a target or as a prediction.

    Raises:
        InputError: No images, unequal numbers of outputs and targets, or a class that the recipe does not have.
    """
    count = len(class_names(options))
    predicted = np.array([int(np.argmax(output)) for output in outputs], np.int64)
    actual = np.array([int(target) for target in targets], np.int64)
    if predicted.size == 0 or predicted.size != actual.size:
        raise InputError(
            f"{predicted.size} outputs and {actual.size} targets; equal numbers, and at least one, were expected"
        )
    lowest, highest = min(predicted.min(), actual.min()), max(predicted.max(), actual.max())
    if lowest < 0 or highest >= count:
        raise InputError(
            f"outputs and targets hold classes {lowest} to {highest}; 0 to {count - 1} (task.classes) were expected"
        )
    confusion = np.zeros((count, count))
    np.add.at(confusion, (actual, predicted), 1)
    correct = np.diag(confusion)
    occurrences = confusion.sum(axis=0) + confusion.sum(axis=1)  # 2 TP + FP + FN
    occurs = occurrences > 0
    f1 = 2 * correct[occurs] / occurrences[occurs]
    return {"top1": float(correct.sum() / predicted.size), "macro_f1": float(f1.mean())}


def label(output: NDArray[np.generic], options: Mapping[str, Any]) -> str:
    """Return the most probable class of one postprocessed output, (C,) probabilities, in words: "cat 93 %"."""
    best = int(np.argmax(output))
    return f"{class_names(options)[best]} {100 * float(np.asarray(output)[best]):.0f} %"


def fit(
    image: NDArray[np.uint8],
    target: NDArray[Any] | None,
    size: tuple[int, int] | None,
    options: Mapping[str, Any],
) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
    """Resize the shorter side of an image and crop its centre, as ImageNet's evaluation does.

    Args:
        image: (H, W, 3) uint8 RGB.
        target: () int, returned unchanged.
        size: (height, width) of the engine's input, pixels; None takes ``task.size`` for both.
        options: ``size``, ``crop``.

    Returns:
        ((height, width, 3) uint8, target).
    """
    height, width = size or (input_size(options), input_size(options))
    crop = _number("crop", options.get("crop", _CROP), 0.05, 1.0)
    scale = max(height / image.shape[0], width / image.shape[1]) / crop
    # Rounding must not make the resized image smaller than what is cut out of it.
    resized_height = max(height, round(image.shape[0] * scale))
    resized_width = max(width, round(image.shape[1] * scale))
    if (resized_height, resized_width) == image.shape[:2]:
        resized: NDArray[Any] = image
    else:
        resized = resize_bilinear(image, resized_height, resized_width)
    top, left = (resized_height - height) // 2, (resized_width - width) // 2
    return np.round(resized[top : top + height, left : left + width]).astype(np.uint8), target


def class_names(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the classes; "class 0", "class 1" ... where the recipe only says how many.

    Raises:
        InputError: ``task.classes`` is missing or invalid.
    """
    classes = options.get("classes")
    if isinstance(classes, int) and not isinstance(classes, bool) and 2 <= classes <= _MAX_CLASSES:
        return tuple(f"class {index}" for index in range(classes))
    if isinstance(classes, Sequence) and not isinstance(classes, str):
        names = tuple(name for name in classes if isinstance(name, str) and name)
        if len(names) == len(classes) == len(set(names)) and 2 <= len(names) <= _MAX_CLASSES:
            return names
    raise InputError(
        f"task.classes = {classes!r}; two or more different names, or a whole number from 2 to {_MAX_CLASSES}, were "
        "expected"
    )


def input_size(options: Mapping[str, Any]) -> int:
    """Return ``task.size``, pixels, 224 by default. Raises InputError where it is invalid."""
    size = options.get("size", 224)
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= _MAX_SIZE:
        raise InputError(f"task.size = {size!r}; a whole number of pixels from 1 to {_MAX_SIZE} was expected")
    return size


def mean_std(options: Mapping[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and deviation of each channel, (3,) float32 RGB 0..1. Raises InputError where one is invalid."""
    mean = _channels("mean", options.get("mean", _MEAN), 0.0)
    return mean, _channels("std", options.get("std", _STD), _MIN_STD)


def _channels(key: str, values: Any, lower: float) -> NDArray[np.float32]:
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 3:
        raise InputError(f"task.{key} = {values!r}; three numbers, one per channel, were expected")
    return np.array([_number(key, value, lower, 1.0) for value in values], np.float32)


def _number(key: str, value: Any, lower: float, upper: float) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not lower <= value <= upper:
        raise InputError(f"task.{key} = {value!r}; {lower:g} to {upper:g} was expected")
    return float(value)
