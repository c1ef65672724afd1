"""Semantic segmentation: picture → network, logits → labels, mean intersection over union from one confusion matrix.

Labels are class numbers from 0; 255 is what nobody labelled, and counts nowhere.

Options of a recipe's ``[task]``:
    classes: How many, or their names.
    size: [H, W] in pixels that pictures and labels are resized to before the network, or one number for their shorter
        side; left out, they stay as they are.
    mean, std: Of the three channels on 0..1; ImageNet's where left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError
from edgekd.core.resize import resize_bilinear

METRICS = ("miou", "pixel_accuracy")
PRIMARY = "miou"
AGREES_BY = "pixel_accuracy"  # a class that one network alone sees in a few pixels would weigh as much as the sky
CRITERION = "cross_entropy"
IGNORED = 255

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_HUE_STEP = 0.381966  # the golden angle in turns: neighbours in number are far apart in colour


def preprocess(image: NDArray[np.uint8], options: Mapping[str, Any]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB → (3, H, W) float32, normalised by ``mean`` and ``std``."""
    mean, std = _channels("mean", _MEAN, options), _channels("std", _STD, options)
    if min(std) <= 0:
        raise InputError(f"task.std = {list(std)}; numbers above 0 were expected")
    # One multiplication and one addition a value; in float64 the constants alone.
    factor = np.array([1 / (255 * s) for s in std], np.float32)
    offset = np.array([-m / s for m, s in zip(mean, std, strict=True)], np.float32)
    return np.ascontiguousarray((image * factor + offset).transpose(2, 0, 1))


def postprocess(output: NDArray[np.generic], options: Mapping[str, Any]) -> NDArray[np.int64]:
    """(C, H, W) float logits → (H, W) int64 labels. Raises InputError where C is not the number of classes."""
    count = len(class_names(options))
    if output.ndim != 3 or output.shape[0] != count:
        raise InputError(f"the network gives {output.shape} and task.classes are {count}; ({count}, H, W) was expected")
    labels: NDArray[np.int64] = np.argmax(output, axis=0)
    return labels


def metric(output: NDArray[np.generic], truth: NDArray[np.generic], options: Mapping[str, Any]) -> dict[str, float]:
    """Score one picture.

    Args:
        output: (H, W) int labels, as ``postprocess`` gives.
        truth: (H, W) int labels, 255 where nothing is known.
        options: ``classes``.

    Returns:
        Both metrics, 0..1, over the classes that are in the picture or in the answer.
    """
    return summarize([output], [truth], options)


def summarize(
    outputs: Sequence[NDArray[np.generic]], truths: Sequence[NDArray[np.generic]], options: Mapping[str, Any]
) -> dict[str, float]:
    """Score a set of pictures from one confusion matrix.

    Args:
        outputs: (H, W) int labels each, as ``postprocess`` gives.
        truths: (H, W) int labels each, 255 where nothing is known.
        options: ``classes``.

    Returns:
        miou: Mean over classes of intersection over union, 0..1; a class that is in no truth and no answer is left out.
        pixel_accuracy: Share of the labelled pixels that are right, 0..1.
    """
    count = len(class_names(options))
    matrix = sum((confusion(o, t, count) for o, t in zip(outputs, truths, strict=True)), np.zeros((count, count)))
    right = np.diag(matrix)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - right
    present = union > 0
    if not present.any():
        return {"miou": 0.0, "pixel_accuracy": 0.0}
    return {
        "miou": float(np.mean(right[present] / union[present])),
        "pixel_accuracy": float(right.sum() / matrix.sum()),
    }


def confusion(output: NDArray[np.generic], truth: NDArray[np.generic], count: int) -> NDArray[np.float64]:
    """Count pixels by (truth, answer): (H, W) int labels twice → (count, count) float64; 255 in the truth is left out.

    Raises:
        InputError: The two differ in size, or hold labels that are no class.
    """
    if output.shape != truth.shape:
        raise InputError(f"labels of {output.shape} cannot be compared with a truth of {truth.shape}")
    known = truth != IGNORED
    of, to = truth[known].astype(np.int64), output[known].astype(np.int64)
    for what, labels in (("the truth", of), ("the answer", to)):
        if labels.size and (labels.min() < 0 or labels.max() >= count):
            raise InputError(f"{what} holds labels {labels.min()} to {labels.max()}; 0 to {count - 1} were expected")
    return np.bincount(count * of + to, minlength=count**2).reshape(count, count).astype(np.float64)


def picture(output: NDArray[np.generic], options: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Colour (H, W) int labels for a report: (H, W, 3) uint8 RGB, black where the label is 255."""
    palette = np.zeros((256, 3), np.uint8)
    colours = [_colour(number) for number in range(len(class_names(options)))]
    palette[: len(colours)] = colours
    return palette[np.asarray(output).astype(np.uint8)]


def legend(options: Mapping[str, Any]) -> tuple[tuple[str, tuple[int, int, int]], ...]:
    """Return each class's name and the RGB that ``picture`` gives it."""
    return tuple((name, _colour(number)) for number, name in enumerate(class_names(options)))


def fit(
    seen: NDArray[np.uint8], truth: NDArray[Any] | None, size: tuple[int, int] | None, options: Mapping[str, Any]
) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
    """Resize a picture (bilinear, antialiased) and its labels (nearest).

    Args:
        seen: (H, W, 3) uint8 RGB.
        truth: (H, W) int labels, or None.
        size: (H, W) that an engine takes; None takes the option ``size``, or leaves both as they are.
        options: ``size``.
    """
    height, width = size or _wanted(seen.shape[0], seen.shape[1], options)
    if seen.shape[:2] != (height, width):
        resized = resize_bilinear(seen, height, width)
        seen = np.clip(np.round(resized), 0, 255).astype(np.uint8)
    if truth is not None and truth.shape != (height, width):
        truth = truth[_nearest(truth.shape[0], height)[:, None], _nearest(truth.shape[1], width)]
    return seen, truth


def class_names(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the classes, their numbers where only a count is given.

    Raises:
        InputError: ``task.classes`` is missing or makes no sense.
    """
    classes = options.get("classes")
    if isinstance(classes, int) and not isinstance(classes, bool) and 2 <= classes <= IGNORED:
        return tuple(str(number) for number in range(classes))
    if isinstance(classes, (list, tuple)) and 2 <= len(classes) <= IGNORED and all(isinstance(n, str) for n in classes):
        return tuple(classes)
    raise InputError(f"task.classes = {classes!r}; a whole number from 2 to {IGNORED}, or as many names, was expected")


def _channels(name: str, default: Sequence[float], options: Mapping[str, Any]) -> tuple[float, ...]:
    value = options.get(name, default)
    if (
        not isinstance(value, (list, tuple))
        or len(value) != 3
        or not all(isinstance(v, (int, float)) and not isinstance(v, bool) and np.isfinite(v) for v in value)
    ):
        raise InputError(f"task.{name} = {value!r}; three numbers were expected, one a channel")
    return tuple(float(v) for v in value)


def _wanted(height: int, width: int, options: Mapping[str, Any]) -> tuple[int, int]:
    size = options.get("size")
    if size is None:
        return height, width
    given = [size] if isinstance(size, int) else size
    whole = isinstance(given, (list, tuple)) and all(isinstance(s, int) and not isinstance(s, bool) for s in given)
    if not whole or len(given) != (1 if isinstance(size, int) else 2) or min(given) < 1:
        raise InputError(f"task.size = {size!r}; [height, width], or the shorter side, was expected in pixels")
    if len(given) == 2:
        return given[0], given[1]
    return _shorter_side(height, width, given[0])


def _shorter_side(height: int, width: int, side: int) -> tuple[int, int]:
    if height < width:
        return side, round(width * side / height)
    return round(height * side / width), side


def _nearest(size_in: int, size_out: int) -> NDArray[np.int64]:
    """Return, for each place of the output, the index of the input whose centre is nearest."""
    places = ((np.arange(size_out) + 0.5) * size_in / size_out).astype(np.int64)
    return np.minimum(places, size_in - 1)


def _colour(number: int) -> tuple[int, int, int]:
    """Return the RGB of hue ``number`` golden angles, in three steps of brightness. Source: A. Smith, HSV, 1978."""
    value, hue = (255, 190, 130)[number % 3], (number * _HUE_STEP) % 1
    steps = (5, 3, 1)  # red, green and blue along the circle of six
    red, green, blue = (
        round(value * (1 - 0.75 * max(0.0, min(k, 4 - k, 1.0)))) for k in ((step + hue * 6) % 6 for step in steps)
    )
    return red, green, blue
