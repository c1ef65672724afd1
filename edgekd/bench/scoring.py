"""Who answers how well: every engine scored on the evaluation samples, and a few answers kept to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgekd.bench import accuracy
from edgekd.bench.pictures import archive as shown_archive
from edgekd.core import family
from edgekd.core.artifact import Artifact
from edgekd.core.preprocessing import task_view
from edgekd.core.protocols import Session, Task
from edgekd.core.samples import Samples
from edgekd.results.result import AGREEMENT


@dataclass(frozen=True, slots=True)
class Scoring:
    """What accuracy is measured with: an archive of samples, the task (a file of ``edgekd/tasks/``), its options."""

    samples: Artifact
    task: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scores:
    """Who scored what; all empty where nothing is scored.

    Attributes:
        primary: The metric that stands in tables.
        by_name: Candidate → its scores.
        baseline: Of doing without a network, where the task has that.
        notes: For the result.
        picture: (H, W, 3) uint8, the first that was scored on; None where the samples hold none.
    """

    primary: str = ""
    by_name: Mapping[str, accuracy.Accuracy] = field(default_factory=dict)
    baseline: accuracy.Accuracy | None = None
    notes: tuple[str, ...] = ()
    picture: NDArray[np.uint8] | None = None

    @property
    def of_set(self) -> tuple[str, ...]:
        """Metrics that are no mean over samples, for any candidate."""
        return tuple(dict.fromkeys(metric for found in self.by_name.values() for metric in found.of_set))


def scoring_of(engine: Artifact, samples: Artifact) -> Scoring | None:
    """Return how the engine's answers are scored, by what its manifest says of its task; None where it says nothing."""
    network = engine.facts.get("network") or {}
    if "task" not in network:
        return None
    return Scoring(samples, network["task"], json.loads(network.get("task_options") or "{}"))


def score(scoring: Scoring, engines: Mapping[str, Artifact], sessions: Mapping[str, Session], out: Path) -> Scores:
    """Score every session, by the truth or else by the first one's answers, and keep a few to look at.

    Args:
        scoring: What they are scored with.
        engines: Candidate → its engine, whose manifest says whether it takes the camera's picture.
        sessions: Candidate → its engine, open.
        out: The result, beside which the pictures go.

    Returns:
        No score of one engine without the truth: its agreement with itself says nothing.
    """
    task, options = family.load("tasks", scoring.task), scoring.options
    samples = Samples.load(scoring.samples.path)
    picture = None if samples.seen is None else samples.seen[0]
    if samples.truth is None and len(sessions) == 1:
        return Scores(picture=picture)
    given = {
        name: accuracy.answers(session, samples, task_view(cast("Task", task), takes_pictures(engines[name])), options)
        for name, session in sessions.items()
    }
    shown, baseline = given, None
    if samples.truth is None:
        reference = next(iter(sessions))
        scores = {name: accuracy.agreement(mine, given[reference], task, options) for name, mine in given.items()}
        notes: tuple[str, ...] = (
            f"the {samples.source} have no truth beside them: scores are agreement with {reference}, not accuracy",
        )
    else:
        scores, notes = {name: accuracy.scored(mine, samples, task, options) for name, mine in given.items()}, ()
        baseline = accuracy.baseline(samples, task, options)
        shown = {task.BASELINE: baseline.outputs, **given} if baseline else given
    if (pictures := shown_archive(samples, shown, task, options)) is not None:
        pictures.save(pictures_path(out))
    primary = AGREEMENT + accuracy.agrees_by(task) if samples.truth is None else task.PRIMARY
    return Scores(primary, scores, baseline, notes, picture)


def pictures(result_path: Path) -> Samples | None:
    """Return the pictures that ``run`` left beside a result, if there are any."""
    path = pictures_path(result_path)
    return Samples.load(path) if path.exists() else None


def pictures_path(result_path: Path) -> Path:
    """Return where the pictures of a result lie."""
    # A result of another name may lie in the folder of a run, whose pictures are its own.
    return result_path.with_name("pictures.npz" if result_path.stem == "result" else f"{result_path.stem}.pictures.npz")


def takes_pictures(engine: Artifact) -> bool:
    """Whether the graph holds the task's preprocessing and postprocessing, as its manifest says."""
    return bool((engine.facts.get("network") or {}).get("embedded"))
