"""What a measurement is of: the plan that all candidates share, and the provenance of the result it leads to.

Apart from ``bench.suite``, so that whoever only asks whether a result is up to date need not load what measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgekd import __version__
from edgekd.bench.candidate import Candidate, backend_of, candidates_of
from edgekd.core import family
from edgekd.core.artifact import Artifact
from edgekd.core.config import BenchConfig
from edgekd.core.provenance import Provenance, digest_of
from edgekd.core.samples import SampleSource
from edgekd.core.schema import to_plain
from edgekd.results.result import EngineRow, StageTime


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """What all candidates share.

    Attributes:
        title: Of the result.
        config: Warm-up, rounds, budget, threads.
        feeds: Samples whose first ones every timed query is made of; None feeds zeros.
        evaluation: Samples that accuracy is measured on; None measures none.
        engines, steps, notes, stage_seconds: Go into the result as they are.
        times_nodes: Whether each engine's nodes are timed too, in a process of their own.
    """

    title: str
    config: BenchConfig
    feeds: SampleSource | None = None
    evaluation: SampleSource | None = None
    engines: tuple[EngineRow, ...] = ()
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    stage_seconds: tuple[StageTime, ...] = ()
    times_nodes: bool = True


def plan_of(
    engines: Sequence[Artifact], config: BenchConfig, samples: SampleSource | None = None, title: str = ""
) -> tuple[list[Candidate], BenchPlan]:
    """Assemble a measurement of engines as they are: what ``edgekd bench`` and the agent run.

    Args:
        engines: Of one backend; the others are compared with the first.
        config: Its ``backend`` is replaced by the one that built the engines.
        samples: What is fed, and what accuracy is measured on; None feeds zeros and measures no accuracy.
        title: Of the result; the first engine's name by default.

    Raises:
        InputError: A file is not an engine.
        NotComparable: The engines are of several backends.
    """
    config = replace(config, backend=backend_of(engines))
    return candidates_of(engines), BenchPlan(title or engines[0].path.stem, config, samples, samples)


def provenance(candidates: Sequence[Candidate], plan: BenchPlan) -> Provenance:
    """Return what the result's manifest will say."""
    parents = [candidate.engine_sha256 for candidate in candidates]
    parents += [samples.digest for samples in (plan.feeds, plan.evaluation) if samples is not None]
    keys = [candidate.key for candidate in candidates]
    rows = [[row.candidate, row.backend, row.ok, row.summary] for row in plan.engines]
    digest = digest_of([plan.title, to_plain(plan.config), keys, rows, plan.notes])
    libraries = ("numpy", *family.constant("backends", plan.config.backend, "LIBRARIES"))
    versions = {library: family.version_of(library) or "unknown" for library in libraries}
    return Provenance("bench", tuple(parents), digest, {"edgekd": __version__, **versions})
