"""How good an engine's outputs are: the task's metric on every evaluation sample, and on all of them together.

Where the samples have no ground truth, an engine's outputs are compared with those of a reference engine instead. That
is agreement, not accuracy: its metrics are called ``agreement_<metric>`` wherever they go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError
from edgekd.core.protocols import Feeds, HasAgreementMetric, Pictures, Session, Summarizes, Task
from edgekd.results.result import AGREEMENT

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Scores of one candidate.

    Attributes:
        overall: Metric → the figure of the whole set: the task's ``summarize``, else the mean over the samples.
        per_sample: Metric → one figure per sample, in the samples' order.
        set_metrics: Those of ``overall`` that are no mean over the samples.
    """

    overall: Mapping[str, float]
    per_sample: Mapping[str, tuple[float, ...]]
    set_metrics: tuple[str, ...]


@dataclass(slots=True)
class Scorer:
    """Scores one candidate sample by sample. Outputs are kept only where the task needs all of them at once.

    Attributes:
        task: A file of ``edgekd/tasks/``.
        options: The recipe's ``[task]``.
        agreement: Whether the targets are another engine's outputs.
    """

    task: Task
    options: Mapping[str, Any]
    agreement: bool = False
    _per_sample: dict[str, list[float]] = field(default_factory=dict)
    _outputs: list[Array] = field(default_factory=list)
    _targets: list[Array] = field(default_factory=list)

    def add(self, output: Array, target: Array) -> None:
        """Score one postprocessed output.

        Args:
            output: As the task's ``postprocess`` returns it: (H, W, 3) picture, (H, W) labels or (C,) probabilities.
            target: (H, W, 3) uint8 picture, (H, W) labels or a class ().
        """
        for metric, value in self.task.metric(output, target, self.options).items():
            self._per_sample.setdefault(metric, []).append(float(value))
        if isinstance(self.task, Summarizes):
            self._outputs.append(output)
            self._targets.append(target)

    def result(self) -> Accuracy:
        """Return the scores of all samples so far.

        Raises:
            InputError: No sample was added.
        """
        if not self._per_sample:
            raise InputError("no sample was scored; give at least one evaluation sample")
        per_sample = {metric: tuple(values) for metric, values in self._per_sample.items()}
        overall = {metric: float(np.mean(values)) for metric, values in per_sample.items()}
        of_set: dict[str, float] = {}
        if isinstance(self.task, Summarizes):
            found = self.task.summarize(self._outputs, self._targets, self.options)
            of_set = {metric: float(value) for metric, value in found.items()}
        overall |= of_set
        # Top-1 of a set is its mean over images, even where ``summarize`` worked it out.
        set_metrics = tuple(
            metric
            for metric, value in of_set.items()
            if metric not in per_sample or not np.isclose(value, np.mean(per_sample[metric]))
        )
        order = [metric for metric in self.task.METRICS if metric in overall]
        if self.agreement:
            order.sort(key=lambda metric: metric != agreement_metric(self.task))
        order += [metric for metric in overall if metric not in order]
        prefix = AGREEMENT if self.agreement else ""
        return Accuracy(
            {prefix + metric: overall[metric] for metric in order},
            {prefix + metric: values for metric, values in per_sample.items()},
            tuple(prefix + metric for metric in set_metrics),
        )


def score(outputs: Iterable[Array], targets: Iterable[Array], task: Task, options: Mapping[str, Any]) -> Accuracy:
    """Score outputs against their targets, in order.

    Args:
        outputs: As the task's ``postprocess`` returns them: (H, W, 3) pictures, (H, W) labels or (C,) probabilities.
        targets: As many (H, W, 3) uint8 pictures, (H, W) labels or classes ().
        task: A file of ``edgekd/tasks/``.
        options: The recipe's ``[task]``.
    """
    scorer = Scorer(task, options)
    for output, target in zip(outputs, targets, strict=True):
        scorer.add(output, target)
    return scorer.result()


def answer(session: Session, feeds: Feeds, task: Task, options: Mapping[str, Any]) -> Array:
    """Run one sample through an engine and postprocess its output.

    Args:
        session: An open engine with one output.
        feeds: Input name → array of the input's shape, such as (1, C, H, W).
        task: As ``core.preprocessing.task_view`` gives it.
        options: The recipe's ``[task]``.

    Returns:
        (H, W, 3) float32 image 0..1, (H, W) int64 labels or (C,) float32 probabilities.

    Raises:
        InputError: The engine has more than one output.
    """
    if len(session.outputs) != 1:
        names = ", ".join(spec.name for spec in session.outputs)
        raise InputError(f"the engine has {len(session.outputs)} outputs ({names}); one was expected, to score it")
    output = session.run(feeds)[session.outputs[0].name][0]
    return np.asarray(task.postprocess(output, options))


def agreement_metric(task: Task) -> str:
    """Return the metric by which outputs are compared with another network's: ``AGREES_BY``, else the primary one."""
    return task.AGREES_BY if isinstance(task, HasAgreementMetric) else task.PRIMARY


def as_target(output: Array, task: Task, options: Mapping[str, Any]) -> Array:
    """Turn an output into the target it would be: probabilities (C,) → a class (), labels stay, pictures → uint8."""
    if output.ndim == 1:
        return np.asarray(output.argmax())
    if np.issubdtype(output.dtype, np.integer):
        return output
    if not isinstance(task, Pictures):
        raise InputError(f"an output of shape {output.shape} cannot stand for the ground truth of this task")
    return task.picture(output, options)
