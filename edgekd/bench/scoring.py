"""All engines scored on the evaluation samples, one sample at a time, and a few outputs kept to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgekd.bench import accuracy
from edgekd.bench.accuracy import Accuracy, Scorer
from edgekd.bench.candidate import Candidate
from edgekd.bench.previews import SAMPLES_MAX, previews_of, previews_path
from edgekd.core import family
from edgekd.core.preprocessing import task_view
from edgekd.core.protocols import HasBaseline, Session, Task
from edgekd.core.samples import Sample, SampleSource
from edgekd.results.result import AGREEMENT

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of all candidates; all fields are empty where nothing is scored.

    Attributes:
        primary: The metric that stands in tables.
        by_key: Candidate → its scores.
        baseline: Of the no-network baseline, where the task has one.
        notes: For the result.
    """

    primary: str = ""
    by_key: Mapping[str, Accuracy] = field(default_factory=dict)
    baseline: Accuracy | None = None
    notes: tuple[str, ...] = ()

    @property
    def set_metrics(self) -> tuple[str, ...]:
        """Metrics that are no mean over samples, for any candidate."""
        return tuple(dict.fromkeys(metric for found in self.by_key.values() for metric in found.set_metrics))


def score(
    candidates: Sequence[Candidate], sessions: Mapping[str, Session], samples: SampleSource, result_path: Path
) -> Scores:
    """Score every engine by the ground truth, or else by the first one's outputs, and keep a few to look at.

    Args:
        candidates: Their networks say task, options and whether the graph includes the preprocessing.
        sessions: Key → its engine, open.
        samples: Evaluation samples.
        result_path: The result, beside which the previews go.

    Returns:
        Nothing for a task that is unknown, and for a single engine without ground truth: its agreement with itself
        says nothing.
    """
    network = candidates[0].network
    if not network.task or (not samples.has_target and len(candidates) == 1):
        return Scores()
    task, options = cast("Task", family.load("tasks", network.task)), network.task_options
    run = _Run(candidates, sessions, task, options, samples.has_target)
    for sample in samples:
        run.add(sample)
    kept = previews_of(run.kept_samples, run.kept_outputs, task, options, samples.source)
    if kept is not None:
        kept.save(previews_path(result_path))
    by_key = {key: scorer.result() for key, scorer in run.scorers.items()}
    if samples.has_target:
        return Scores(task.PRIMARY, by_key, run.baseline.result() if run.baseline else None)
    note = f"the {samples.source} have no ground truth: scores are agreement with {candidates[0].key}, not accuracy"
    return Scores(AGREEMENT + accuracy.agreement_metric(task), by_key, None, (note,))


class _Run:
    """One pass over the samples: a scorer for each candidate and for the baseline, and the first outputs."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        sessions: Mapping[str, Session],
        task: Task,
        options: Mapping[str, Any],
        has_target: bool,
    ) -> None:
        self._sessions, self._task, self._options, self._has_target = sessions, task, options, has_target
        self._views = {c.key: task_view(task, c.network.includes_preprocessing, c.network.input) for c in candidates}
        self.scorers = {c.key: Scorer(task, options, agreement=not has_target) for c in candidates}
        self.baseline = Scorer(task, options) if has_target and isinstance(task, HasBaseline) else None
        self.kept_samples: list[Sample] = []
        self.kept_outputs: dict[str, list[Array]] = {}

    def add(self, sample: Sample) -> None:
        """Score one sample."""
        outputs = {
            key: accuracy.answer(self._sessions[key], sample.feeds, view, self._options)
            for key, view in self._views.items()
        }
        if self._has_target:
            target = np.asarray(sample.target)
        else:
            target = accuracy.as_target(next(iter(outputs.values())), self._task, self._options)
        for key, output in outputs.items():
            self.scorers[key].add(output, target)
        shown = dict(outputs)
        if self.baseline is not None and sample.image is not None and isinstance(self._task, HasBaseline):
            output = np.asarray(self._task.baseline(sample.image, self._options))
            self.baseline.add(output, target)
            shown = {self._task.BASELINE: output, **outputs}
        else:
            self.baseline = None  # one image is missing: no baseline of the whole set
        if len(self.kept_samples) < SAMPLES_MAX:
            self.kept_samples.append(sample)
            for label, output in shown.items():
                self.kept_outputs.setdefault(label, []).append(output)
