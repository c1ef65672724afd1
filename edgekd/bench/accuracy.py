"""How good an engine's answers are: the task's metric on every evaluation sample, and on all of them together.

Where the samples hold no truth, an engine's answers are held against those of a reference engine instead. That is
agreement, not accuracy: its metrics are called ``agreement_<metric>`` wherever they go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError
from edgekd.core.protocols import Session, Task
from edgekd.core.samples import Samples
from edgekd.results.result import AGREEMENT

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Scores of one candidate.

    Attributes:
        overall: Metric → the figure of the whole set: the task's ``summarize``, else the mean over the samples.
        per_sample: Metric → one figure per sample, in the samples' order.
        of_set: Those of ``overall`` that are no mean over the samples.
        outputs: What the task's ``postprocess`` gave, one array a sample.
    """

    overall: Mapping[str, float]
    per_sample: Mapping[str, tuple[float, ...]]
    of_set: tuple[str, ...]
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
    return scored(answers(session, samples, task, options), samples, task, options)


def answers(session: Session, samples: Samples, task: Task, options: Mapping[str, Any]) -> tuple[Array, ...]:
    """Run every sample through an engine; return what the task's ``postprocess`` gives. As for ``score``."""
    if len(session.outputs) != 1:
        names = ", ".join(spec.name for spec in session.outputs)
        raise InputError(f"the engine has {len(session.outputs)} outputs ({names}); one was expected, to score it")
    name = session.outputs[0].name
    given = (session.run(samples.feeds(index))[name][0] for index in range(len(samples)))
    return tuple(np.asarray(task.postprocess(answer, options)) for answer in given)


def baseline(samples: Samples, task: Task, options: Mapping[str, Any]) -> Accuracy | None:
    """Score doing without a network, by the task's own ``baseline``; None where the task has none.

    Raises:
        InputError: The samples have no truth.
    """
    do_without: Callable[[Array, Mapping[str, Any]], Array] | None = getattr(task, "baseline", None)
    if do_without is None or samples.seen is None:
        return None
    return scored((do_without(seen, options) for seen in samples.seen), samples, task, options)


def agreement(outputs: Sequence[Array], reference: Sequence[Array], task: Task, options: Mapping[str, Any]) -> Accuracy:
    """Score answers by another engine's, where nobody knows the truth.

    Args:
        outputs: One engine's answers, as ``answers`` gives them.
        reference: Another's, to the same samples; each stands in for the truth.
        task: A file of ``edgekd/tasks/``.
        options: The recipe's ``[task]``.

    Returns:
        The task's metrics, each called ``agreement_<metric>``; what it agrees by comes first.
    """
    found = judged(tuple(outputs), [as_truth(answer, task, options) for answer in reference], task, options)
    ordered = sorted(found.overall, key=lambda metric: metric != agrees_by(task))
    return replace(
        found,
        overall={AGREEMENT + metric: found.overall[metric] for metric in ordered},
        per_sample={AGREEMENT + metric: values for metric, values in found.per_sample.items()},
        of_set=tuple(AGREEMENT + metric for metric in found.of_set),
    )


def agrees_by(task: Task) -> str:
    """Return the metric by which answers are held against another network's: ``AGREES_BY``, else the primary one."""
    return getattr(task, "AGREES_BY", task.PRIMARY)


def as_truth(output: Array, task: Task, options: Mapping[str, Any]) -> Array:
    """Turn an answer into what it would be if it were true: scores (C,) → a class (), labels stay, pictures → uint8."""
    if output.ndim == 1:
        return np.asarray(output.argmax())
    if np.issubdtype(output.dtype, np.integer):
        return output
    picture: Callable[[Array, Mapping[str, Any]], Array] = getattr(task, "picture")  # noqa: B009 - tasks may lack it
    return picture(output, options)


def scored(outputs: Iterable[Array], samples: Samples, task: Task, options: Mapping[str, Any]) -> Accuracy:
    """Score answers by the samples' truth. Raises InputError where they have none."""
    if samples.truth is None:
        raise InputError(f"the samples ({samples.source}) hold no truth to score by; make them from whole pictures")
    return judged(tuple(outputs), list(samples.truth), task, options)


def judged(outputs: tuple[Array, ...], truths: Sequence[Array], task: Task, options: Mapping[str, Any]) -> Accuracy:
    """Score answers by truths, in order; a set's figures are the task's ``summarize``, else means over samples."""
    scores = [task.metric(output, truth, options) for output, truth in zip(outputs, truths, strict=True)]
    per_sample = {metric: tuple(float(one[metric]) for one in scores) for metric in scores[0]}
    overall = {metric: float(np.mean(values)) for metric, values in per_sample.items()}
    summarize: Callable[..., Mapping[str, float]] | None = getattr(task, "summarize", None)
    of_set = (
        {} if summarize is None else {metric: float(v) for metric, v in summarize(outputs, truths, options).items()}
    )
    overall |= of_set
    ordered = {metric: overall.pop(metric) for metric in task.METRICS if metric in overall} | overall
    # Top-1 of a set is its mean over pictures, whoever worked it out.
    no_mean = tuple(m for m in of_set if m not in per_sample or not np.isclose(of_set[m], np.mean(per_sample[m])))
    return Accuracy(ordered, per_sample, no_mean, outputs)
