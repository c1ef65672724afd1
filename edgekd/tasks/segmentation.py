"""Semantic segmentation: one class per pixel, scored by the mean intersection over union of one confusion matrix.

Labels are class numbers from 0; 255 means not labelled, and such pixels are never scored.

Options of a recipe's ``[task]``:
    classes: How many, or their names.
    size: [H, W] in pixels that images and labels are resized to before the network, or one number for their shorter
        side; without it they keep their size.
    mean, std: Of the three channels, 0..1; ImageNet's by default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError
from edgekd.core.resize import nearest, resize_bilinear

METRICS = ("miou", "pixel_accuracy")
PRIMARY = "miou"
# In miou, a class that one network alone predicts, in a few pixels, would count as much as the sky.
AGREES_BY = "pixel_accuracy"
CRITERION = "cross_entropy"
LAYOUT = "image_labels"
IGNORED = 255

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_HUE_STEP = 0.381966  # the golden angle, in revolutions: classes of neighbouring numbers get distant hues


def preprocess(image: NDArray[np.uint8], options: Mapping[str, Any]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB → (3, H, W) float32, normalised by ``mean`` and ``std``."""
    mean, std = _channels("mean", _MEAN, options), _channels("std", _STD, options)
    if min(std) <= 0:
        raise InputError(f"task.std = {list(std)}; numbers above 0 were expected")
    # One multiplication and one addition per value; only the constants are computed in float64.
    factor = np.array([1 / (255 * s) for s in std], np.float32)
    offset = np.array([-m / s for m, s in zip(mean, std, strict=True)], np.float32)
    return np.ascontiguousarray((image * factor + offset).transpose(2, 0, 1))


def postprocess(output: NDArray[np.generic], options: Mapping[str, Any]) -> NDArray[np.int64]:
    """(C, H, W) float logits → (H, W) int64 labels. Raises InputError where C is not the number of classes."""
    count = len(class_names(options))
    if output.ndim != 3 or output.shape[0] != count:
        raise InputError(
            f"the network's output has shape {output.shape} and task.classes has {count} classes; ({count}, H, W) was "
            "expected: fix [task] in the recipe, or the network's number of classes"
        )
    labels: NDArray[np.int64] = np.argmax(output, axis=0)  # (H, W); softmax would not change the maximum
    return labels


def metric(output: NDArray[np.generic], target: NDArray[np.generic], options: Mapping[str, Any]) -> dict[str, float]:
    """Score one image.

    Args:
        output: (H, W) int labels, as ``postprocess`` gives.
        target: (H, W) int labels, 255 where not labelled.
        options: ``classes``.

    Returns:
        Both metrics, 0..1, over the classes that occur in the target or the output.
    """
    return summarize([output], [target], options)


def summarize(
    outputs: Sequence[NDArray[np.generic]], targets: Sequence[NDArray[np.generic]], options: Mapping[str, Any]
) -> dict[str, float]:
    """Score a set of images by one confusion matrix.

    Args:
        outputs: (H, W) int labels each, as ``postprocess`` gives.
        targets: (H, W) int labels each, 255 where not labelled.
        options: ``classes``.

    Returns:
        miou: Mean over classes of intersection over union, 0..1; a class that occurs in no target and no output is
            left out.
        pixel_accuracy: Share of the labelled pixels whose label is correct, 0..1.
    """
    count = len(class_names(options))
    matrix = np.zeros((count, count))
    for output, target in zip(outputs, targets, strict=True):
        matrix += confusion(output, target, count)
    intersection = np.diag(matrix)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - intersection
    occurs = union > 0
    # Nothing is labelled: a mean over no class.
    if not occurs.any():
        return {"miou": 0.0, "pixel_accuracy": 0.0}
    return {
        "miou": float(np.mean(intersection[occurs] / union[occurs])),
        "pixel_accuracy": float(intersection.sum() / matrix.sum()),
    }


def confusion(output: NDArray[np.generic], target: NDArray[np.generic], count: int) -> NDArray[np.float64]:
    """Count pixels by (target class, output class).

    Args:
        output: (H, W) int labels.
        target: (H, W) int labels; pixels of 255 are not counted.
        count: Number of classes.

    Returns:
        (count, count) float64.

    Raises:
        InputError: The two differ in size, or hold labels that are no class.
    """
    if output.shape != target.shape:
        raise InputError(f"output labels of {output.shape} and target labels of {target.shape}; equal sizes expected")
    labelled = target != IGNORED
    actual, predicted = target[labelled].astype(np.int64), output[labelled].astype(np.int64)
    for name, labels in (("target", actual), ("output", predicted)):
        if labels.size and (labels.min() < 0 or labels.max() >= count):
            raise InputError(
                f"the {name} holds labels {labels.min()} to {labels.max()}; 0 to {count - 1} (task.classes) were "
                "expected"
            )
    # One number per pair of classes, so that a single bincount fills the matrix.
    return np.bincount(count * actual + predicted, minlength=count**2).reshape(count, count).astype(np.float64)


def picture(output: NDArray[np.generic], options: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Colour (H, W) int labels for a report: (H, W, 3) uint8 RGB, black where the label is 255."""
    palette = np.zeros((256, 3), np.uint8)  # one row per label, so that indexing colours all pixels at once
    colours = [_colour(number) for number in range(len(class_names(options)))]
    palette[: len(colours)] = colours
    return palette[np.asarray(output).astype(np.uint8)]


def legend(options: Mapping[str, Any]) -> tuple[tuple[str, tuple[int, int, int]], ...]:
    """Return each class's name and the RGB that ``picture`` gives it."""
    return tuple((name, _colour(number)) for number, name in enumerate(class_names(options)))


def fit(
    image: NDArray[np.uint8], target: NDArray[Any] | None, size: tuple[int, int] | None, options: Mapping[str, Any]
) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
    """Resize an image (bilinear, antialiased) and its labels (nearest neighbour).

    Args:
        image: (H, W, 3) uint8 RGB.
        target: (H, W) int labels, or None.
        size: (H, W) of the engine's input; None takes the option ``size``, or keeps both as they are.
        options: ``size``.
    """
    height, width = size or _target_size(image.shape[0], image.shape[1], options)
    if image.shape[:2] != (height, width):
        resized = resize_bilinear(image, height, width)
        image = np.clip(np.round(resized), 0, 255).astype(np.uint8)
    if target is not None and target.shape != (height, width):
        # Nearest neighbour: a mean of class numbers is no class.
        target = target[nearest(target.shape[0], height)[:, None], nearest(target.shape[1], width)]
    return image, target


def class_names(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the classes; their numbers where the recipe only says how many.

    Raises:
        InputError: ``task.classes`` is missing or invalid.
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
        raise InputError(f"task.{name} = {value!r}; three numbers, one per channel, were expected")
    return tuple(float(v) for v in value)


def _target_size(height: int, width: int, options: Mapping[str, Any]) -> tuple[int, int]:
    """Return the (height, width) that the option ``size`` asks for, of an image of ``height`` x ``width``."""
    size = options.get("size")
    if size is None:
        return height, width
    if _is_side(size):
        return _with_shorter_side(height, width, size)
    if isinstance(size, (list, tuple)) and len(size) == 2 and all(_is_side(side) for side in size):
        return size[0], size[1]
    raise InputError(f"task.size = {size!r}; [height, width], or the shorter side, was expected, in pixels")


def _is_side(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _with_shorter_side(height: int, width: int, side: int) -> tuple[int, int]:
    if height < width:
        return side, round(width * side / height)
    return round(height * side / width), side


def _colour(number: int) -> tuple[int, int, int]:
    """Return an RGB whose hue is ``number`` golden angles, in three steps of brightness.

    Source: A. R. Smith, "Color gamut transform pairs", SIGGRAPH 1978 (HSV to RGB); saturation 0.75.
    """
    value, hue = (255, 190, 130)[number % 3], (number * _HUE_STEP) % 1

    def channel(offset: int) -> int:
        position = (offset + hue * 6) % 6  # on the circle of six hues
        return round(value * (1 - 0.75 * max(0.0, min(position, 4 - position, 1.0))))

    return channel(5), channel(3), channel(1)
