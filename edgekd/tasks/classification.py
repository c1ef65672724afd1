"""Classification: a picture to one of some classes; ImageNet's preprocessing, top-1 and macro F1.

Options, the recipe's ``[task]``: ``classes`` (their names in the order of the network's outputs, or how many there
are), ``size`` (the network's input, pixels), ``crop`` (what share of the shorter side ``fit`` keeps), ``mean`` and
``std`` (of each colour, 0..1).
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

# Of ImageNet, RGB 0..1: what torchvision's and timm's published weights were trained with.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_MOST_CLASSES = 100_000
_LARGEST_SIZE = 8192


def preprocess(image: NDArray[np.uint8], options: Mapping[str, Any]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB → (3, H, W) float32, mean taken off and divided by the deviation; no resizing."""
    mean, std = mean_std(options)
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
            f"the network gave {logits.shape} values and task.classes names {len(class_names(options))}; as many were "
            "expected: mend the recipe's [task], or the network's classes"
        )
    powers = np.exp(logits - logits.max())
    probabilities: NDArray[np.float64] = powers / powers.sum()
    return probabilities.astype(np.float32)


def metric(output: NDArray[np.generic], truth: NDArray[Any], options: Mapping[str, Any]) -> dict[str, float]:
    """Score one picture.

    Args:
        output: (C,) probabilities, as ``postprocess`` gives.
        truth: () int, the class.
        options: Not used.

    Returns:
        ``top1``: 1 where the likeliest class is the truth, 0 elsewhere.
    """
    return {"top1": float(np.argmax(output) == int(truth))}


def summarize(
    outputs: Sequence[NDArray[np.generic]], truths: Sequence[NDArray[Any]], options: Mapping[str, Any]
) -> dict[str, float]:
    """Score a whole set, all ``METRICS``.

    Args:
        outputs: Each (C,) probabilities, as ``postprocess`` gives.
        truths: Each () int, the class.
        options: ``classes``.

    Returns:
        ``top1``: share of pictures that are right. ``macro_f1``: mean over classes of 2 TP / (2 TP + FP + FN), over
        the classes that are true or answered at least once.

    Raises:
        InputError: No pictures, unequal numbers of answers and truths, or a class that the recipe does not have.
    """
    count = len(class_names(options))
    found = np.array([int(np.argmax(output)) for output in outputs], np.int64)
    true = np.array([int(truth) for truth in truths], np.int64)
    if found.size == 0 or found.size != true.size:
        raise InputError(f"{found.size} answers for {true.size} truths; as many, and one at least, were expected")
    if min(found.min(), true.min()) < 0 or max(found.max(), true.max()) >= count:
        raise InputError(
            f"classes {min(found.min(), true.min())} to {max(found.max(), true.max())} were answered or are true; "
            f"task.classes has 0 to {count - 1}"
        )
    confusion = np.zeros((count, count))
    np.add.at(confusion, (true, found), 1)
    hits, seen = np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1)
    f1 = 2 * hits[seen > 0] / seen[seen > 0]
    return {"top1": float(hits.sum() / found.size), "macro_f1": float(f1.mean())}


def label(output: NDArray[np.generic], options: Mapping[str, Any]) -> str:
    """Say one postprocessed output, (C,) probabilities, to people: the likeliest class and how likely it is."""
    best = int(np.argmax(output))
    return f"{class_names(options)[best]} {100 * float(np.asarray(output)[best]):.0f} %"


def fit(
    seen: NDArray[np.uint8],
    truth: NDArray[Any] | None,
    size: tuple[int, int] | None,
    options: Mapping[str, Any],
) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
    """Make a picture suit the network: its shorter side resized, the centre cut out, as ImageNet's evaluation does.

    Args:
        seen: (H, W, 3) uint8 RGB.
        truth: () int, given back as it is.
        size: (height, width) that the engine takes, pixels; None takes ``task.size`` for both.
        options: ``size``, ``crop``: torchvision's 256 → 224 is 0.875.

    Returns:
        ((height, width, 3) uint8, truth).
    """
    height, width = size or (input_size(options),) * 2
    crop = _number("crop", options.get("crop", 0.875), 0.05, 1.0)
    scale = max(height / seen.shape[0], width / seen.shape[1]) / crop
    high, wide = max(height, round(seen.shape[0] * scale)), max(width, round(seen.shape[1] * scale))
    resized = seen if (high, wide) == seen.shape[:2] else resize_bilinear(seen, high, wide)
    top, left = (high - height) // 2, (wide - width) // 2
    cut = resized[top : top + height, left : left + width]
    return np.round(cut).astype(np.uint8), truth


def class_names(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the classes' names; "class 0", "class 1", ... where the recipe says only how many.

    Raises:
        InputError: ``task.classes`` is missing or makes no sense.
    """
    classes = options.get("classes")
    if isinstance(classes, int) and not isinstance(classes, bool) and 2 <= classes <= _MOST_CLASSES:
        return tuple(f"class {index}" for index in range(classes))
    if isinstance(classes, Sequence) and not isinstance(classes, str):
        named = tuple(name for name in classes if isinstance(name, str) and name)
        if len(named) == len(classes) == len(set(named)) and 2 <= len(named) <= _MOST_CLASSES:
            return named
    raise InputError(
        f"task.classes = {classes!r}; two or more different names, or a whole number from 2 to {_MOST_CLASSES}, were "
        "expected"
    )


def input_size(options: Mapping[str, Any]) -> int:
    """Return ``task.size``, pixels, 224 by default. Raises InputError where it makes no sense."""
    size = options.get("size", 224)
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= _LARGEST_SIZE:
        raise InputError(f"task.size = {size!r}; a whole number of pixels from 1 to {_LARGEST_SIZE} was expected")
    return size


def mean_std(options: Mapping[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each colour's mean and deviation, (3,) float32 RGB of 0..1. Raises InputError where one is no such."""
    mean = _colours("mean", options.get("mean", _MEAN), 0.0)
    return mean, _colours("std", options.get("std", _STD), 1e-3)


def _colours(key: str, given: Any, low: float) -> NDArray[np.float32]:
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 3:
        raise InputError(f"task.{key} = {given!r}; three numbers, one a colour, were expected")
    return np.array([_number(key, value, low, 1.0) for value in given], np.float32)


def _number(key: str, value: Any, low: float, high: float) -> float:
    right = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not right or not low <= value <= high:
        raise InputError(f"task.{key} = {value!r}; {low:g} to {high:g} was expected")
    return float(value)
