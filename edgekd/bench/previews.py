"""What people see of the evaluation samples: outputs as pictures, or in words beside the input image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.previews import INPUT, TARGET, Previews
from edgekd.core.protocols import HasLegend, Labels, Pictures, Task
from edgekd.core.samples import Sample

Array = NDArray[Any]

# Samples kept, and pixels of all of them together: more would make the page heavy.
SAMPLES_MAX, _PIXELS_MAX = 4, 600_000
_SIDE_MAX = 512  # pixels: an image beside an answer in words is subsampled to this


def previews_of(
    samples: Sequence[Sample],
    outputs: Mapping[str, Sequence[Array]],
    task: Task,
    options: Mapping[str, Any],
    source: str,
) -> Previews | None:
    """Make what lies beside a result.

    Args:
        samples: The first samples that were scored, ``SAMPLES_MAX`` at most.
        outputs: Label (a candidate's key, or the baseline's name) → its postprocessed outputs for these samples:
            images (H, W, 3), labels (H, W) or probabilities (C,).
        task: A file of ``edgekd/tasks/``.
        options: The recipe's ``[task]``.
        source: Where the samples are from, in words.

    Returns:
        Pictures, or answers in words; None where the task's outputs are neither.
    """
    if isinstance(task, Pictures):
        return _pictures(samples, outputs, task, options, source)
    if isinstance(task, Labels) and all(sample.image is not None for sample in samples):
        return _answers(samples, outputs, task, options, source)
    return None


def previews_path(result_path: Path) -> Path:
    """Return where the previews of a result lie."""
    # A result of another name may lie in the folder of a run, whose previews are its own.
    return result_path.with_name("pictures.npz" if result_path.stem == "result" else f"{result_path.stem}.pictures.npz")


def load_previews(result_path: Path) -> Previews | None:
    """Return the previews beside a result, None where there are none. Raises InputError where they are damaged."""
    path = previews_path(result_path)
    return Previews.load(path) if path.exists() else None


def _pictures(
    samples: Sequence[Sample],
    outputs: Mapping[str, Sequence[Array]],
    task: Pictures,
    options: Mapping[str, Any],
    source: str,
) -> Previews:
    first = task.picture(next(iter(outputs.values()))[0], options)
    count = max(1, min(len(samples), _PIXELS_MAX // first[..., 0].size))
    samples = samples[:count]
    pictures = {
        label: np.stack([task.picture(output, options) for output in candidate_outputs[:count]])
        for label, candidate_outputs in outputs.items()
    }
    painted = [picture for candidate_pictures in pictures.values() for picture in candidate_pictures]
    target = _stacked([sample.target for sample in samples])
    if target is not None and target.shape[-1:] != (3,):
        target = np.stack([task.picture(labels, options) for labels in target])
    painted += [] if target is None else list(target)
    image = _stacked([sample.image for sample in samples])
    # The input can stand beside the outputs only where it has their size.
    if image is not None and all(made.shape == image.shape for made in pictures.values()):
        pictures = {INPUT: image, **pictures}
    names = tuple(sample.name for sample in samples)
    return Previews(pictures, names, source, target, legend=_legend(painted, task, options))


def _answers(
    samples: Sequence[Sample],
    outputs: Mapping[str, Sequence[Array]],
    task: Labels,
    options: Mapping[str, Any],
    source: str,
) -> Previews:
    texts = {
        label: tuple(task.label(output, options) for output in candidate_outputs[: len(samples)])
        for label, candidate_outputs in outputs.items()
    }
    target = _stacked([sample.target for sample in samples])
    if target is not None:
        names = task.class_names(options)
        texts[TARGET] = tuple(names[int(number)] for number in target)
    images = np.stack([np.asarray(sample.image) for sample in samples])
    step = max(1, -(-max(images.shape[1:3]) // _SIDE_MAX))  # rounded up
    shown = {INPUT: images[:, ::step, ::step]}
    return Previews(shown, tuple(sample.name for sample in samples), source, texts=texts)


def _stacked(arrays: Sequence[Array | None]) -> Array | None:
    """Stack arrays, or return None where one is missing."""
    present = [array for array in arrays if array is not None]
    return np.stack(present) if len(present) == len(arrays) else None


def _legend(
    painted: Sequence[Array], task: Pictures, options: Mapping[str, Any]
) -> tuple[tuple[str, tuple[int, int, int]], ...]:
    """Return what the colours mean that occur in the pictures."""
    if not isinstance(task, HasLegend):
        return ()
    occurring: set[tuple[int, ...]] = set()
    for picture in painted:
        occurring |= {tuple(colour) for colour in np.unique(picture.reshape(-1, 3), axis=0).tolist()}
    return tuple((name, colour) for name, colour in task.legend(options) if tuple(colour) in occurring)
