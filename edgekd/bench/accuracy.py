"""How good an engine's answers are: the task's metric on every evaluation sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError
from edgekd.core.protocols import Session, Task
from edgekd.core.samples import Samples

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Scores of one candidate.

    Attributes:
        mean: Metric → mean over the samples.
        per_sample: Metric → one figure per sample, in the samples' order.
        outputs: What the task's ``postprocess`` gave, one array a sample.
    """

    mean: Mapping[str, float]
    per_sample: Mapping[str, tuple[float, ...]]
    outputs: tuple[Array, ...]


def score(session: Session, samples: Samples, task: Task, options: Mapping[str, Any]) -> Accuracy:
    """Run every sample through an engine and score what comes out.

    Args:
        session: An open engine with one output, whose first axis is a batch of one.
        samples: Feeds and truths.
        task: A file of ``edgekd/tasks/``.
        options: The recipe's ``[task]``.

    Raises:
        InputError: The samples have no truth, or the engine more than one output.
    """
    if len(session.outputs) != 1:
        names = ", ".join(spec.name for spec in session.outputs)
        raise InputError(f"the engine has {len(session.outputs)} outputs ({names}); one was expected, to score it")
    name = session.outputs[0].name
    answers = (session.run(samples.feeds(index))[name][0] for index in range(len(samples)))
    outputs = (np.asarray(task.postprocess(answer, options)) for answer in answers)
    return _scored(outputs, samples, task, options)


def baseline(samples: Samples, task: Task, options: Mapping[str, Any]) -> Accuracy | None:
    """Score doing without a network, by the task's own ``baseline``; None where the task has none.

    Raises:
        InputError: The samples have no truth.
    """
    do_without: Callable[[Array, Mapping[str, Any]], Array] | None = getattr(task, "baseline", None)
    if do_without is None or samples.seen is None:
        return None
    return _scored((do_without(seen, options) for seen in samples.seen), samples, task, options)


def _scored(outputs: Iterable[Array], samples: Samples, task: Task, options: Mapping[str, Any]) -> Accuracy:
    if samples.truth is None:
        raise InputError(f"the samples ({samples.source}) hold no truth to score by; make them from whole pictures")
    kept = tuple(outputs)
    scores = [task.metric(output, truth, options) for output, truth in zip(kept, samples.truth, strict=True)]
    per_sample = {metric: tuple(float(one[metric]) for one in scores) for metric in scores[0]}
    return Accuracy({metric: float(np.mean(values)) for metric, values in per_sample.items()}, per_sample, kept)
