"""What people are shown of the evaluation samples: answers as pictures, or in words beside the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.protocols import Task
from edgekd.core.samples import Samples

Array = NDArray[Any]

INPUT, TRUTH = "input", "truth"
# Samples, and pixels of all of them: more would make the page heavy.
_SHOWN, _PIXELS = 4, 600_000
_EDGE = 512  # pixels: larger pictures are thinned out, an answer in words does not need them


def archive(
    samples: Samples, outputs: Mapping[str, Sequence[Array]], task: Task, options: Mapping[str, Any]
) -> Samples | None:
    """Make the archive that lies beside a result.

    Args:
        samples: What was scored on.
        outputs: Who answered → the answers, as the task's ``postprocess`` gives them.
        task: A file of ``edgekd/tasks/``.
        options: The recipe's ``[task]``.

    Returns:
        Pictures by who made them ("input" is what the network saw, where it is as large as the answers), the true ones
        as ``truth``, and the legend of the colours that occur; or the input alone, and who said what ("truth" among
        them) as ``texts``. None where the task's answers are neither pictures nor words.
    """
    paint: Callable[[Array, Mapping[str, Any]], Array] | None = getattr(task, "picture", None)
    say: Callable[[Array, Mapping[str, Any]], str] | None = getattr(task, "label", None)
    answer = next(iter(outputs.values()))[0]
    count = _SHOWN if paint is None else max(1, min(_SHOWN, _PIXELS // paint(answer, options)[..., 0].size))
    names, seen = samples.names[:count], None if samples.seen is None else samples.seen[:count]
    truth = None if samples.truth is None else samples.truth[:count]
    if paint is not None:
        made = {who: np.stack([paint(one, options) for one in given[:count]]) for who, given in outputs.items()}
        if truth is not None and truth.shape[-1:] != (3,):
            truth = np.stack([paint(labels, options) for labels in truth])
        if seen is not None and all(pictures.shape == seen.shape for pictures in made.values()):
            made = {INPUT: seen, **made}
        painted = [picture for who, pictures in made.items() if who != INPUT for picture in pictures]
        painted += [] if truth is None else list(truth)
        return Samples(made, names, samples.source, truth, legend=_legend(painted, task, options))
    if say is None or seen is None:
        return None
    texts = {who: tuple(say(one, options) for one in given[:count]) for who, given in outputs.items()}
    if truth is not None:
        class_names: Callable[[Mapping[str, Any]], Sequence[str]] = task.class_names  # type: ignore[attr-defined]
        texts[TRUTH] = tuple(class_names(options)[int(one)] for one in truth)
    step = max(1, -(-max(seen.shape[1:3]) // _EDGE))
    return Samples({INPUT: seen[:, ::step, ::step]}, names, samples.source, texts=texts)


def _legend(
    painted: Sequence[Array], task: Task, options: Mapping[str, Any]
) -> tuple[tuple[str, tuple[int, int, int]], ...]:
    """Return what the colours mean, of those that occur."""
    if not hasattr(task, "legend"):
        return ()
    there = {tuple(colour) for picture in painted for colour in np.unique(picture.reshape(-1, 3), axis=0).tolist()}
    return tuple((name, colour) for name, colour in task.legend(options) if tuple(colour) in there)
