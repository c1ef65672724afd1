"""The whole measurement: open the engines, score them, time them, measure memory and energy, write one result."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import __version__
from edgekd.bench import end_to_end, energy, memory, processes, profile, reference_workload, scenarios
from edgekd.bench.accuracy import Accuracy
from edgekd.bench.candidate import Candidate
from edgekd.bench.plan import BenchPlan, provenance
from edgekd.bench.processes import Measured
from edgekd.bench.scenarios import Query
from edgekd.bench.scoring import Scores, score
from edgekd.core import family
from edgekd.core.artifact import Artifact, ensure_writable, publish
from edgekd.core.clock import stopwatch
from edgekd.core.conditions import Conditions
from edgekd.core.config import BenchConfig
from edgekd.core.errors import BuildError, EdgeKDError, InputError
from edgekd.core.protocols import Feeds, GpuBackend, Session
from edgekd.core.provenance import Provenance
from edgekd.core.reporter import Reporter
from edgekd.core.tensor import TensorSpec
from edgekd.machine import conditions
from edgekd.results.result import BenchmarkResult, CandidateResult, StageTime, read_result


def run(candidates: Sequence[Candidate], plan: BenchPlan, out: Path, reporter: Reporter) -> Artifact:
    """Measure every candidate and write ``result.json``, and previews beside it where there is something to see.

    Returns:
        The result; facts["timed_s"] is what of ``budget_s`` was spent.

    Raises:
        BuildError: No engine was built, so there is nothing to measure.
        InputError: ``out`` cannot be written.
        MachineError: An engine does not open or run here.
    """
    if not candidates:
        reasons = "; ".join(f"{row.candidate}: {row.summary}" for row in plan.engines if not row.ok)
        raise BuildError(f"{plan.title}: {plan.config.backend} built no engine, so there is nothing to time. {reasons}")
    ensure_writable(out)
    parts = _Parts()
    with tempfile.TemporaryDirectory(prefix="edgekd-bench-") as folder:
        with _opened(candidates, plan) as (sessions, queries):
            scores = Scores()
            if plan.evaluation is not None:
                reporter.message("scoring every engine's outputs")
                scores = score(candidates, sessions, plan.evaluation, out)
            images, untimed = _images(candidates, sessions, plan)
        fed = _with_feeds(candidates, queries, images, Path(folder))
        parts.end("accuracy")
        measured = _timed(fed, plan.config, Path(folder), reporter)
        parts.end("latency")
        rows = _rows(fed, queries, measured, scores, plan, reporter)
        parts.end("memory and nodes")
        energies = energy.measure(fed, plan.config, reporter)
        parts.end("energy")
    result = BenchmarkResult(
        title=plan.title,
        edgekd=__version__,
        conditions=_conditions(plan.config, queries[candidates[0].key]),
        candidates=tuple(replace(row, energy=energies.by_key.get(row.name)) for row in rows),
        engines=plan.engines,
        baseline_accuracy=scores.baseline.overall if scores.baseline else {},
        baseline_per_sample=scores.baseline.per_sample if scores.baseline else {},
        primary_metric=scores.primary,
        steps=plan.steps,
        notes=(*plan.notes, *scores.notes, *untimed, *measured.notes),
        set_metrics=scores.set_metrics,
        reference_workload=measured.runs.get(reference_workload.KEY, ()),
        reference_workload_sha256=reference_workload.sha256() if reference_workload.KEY in measured.runs else "",
        energy_unavailable=energies.reason,
        stage_seconds=(*plan.stage_seconds, *parts.seconds),
    )
    return _publish(result, provenance(candidates, plan), out, measured.took_s)


def extend(candidates: Sequence[Candidate], plan: BenchPlan, made: Artifact, reporter: Reporter) -> Artifact:
    """Add as many processes to a result, of its candidates and the reference workload, and as many energy windows.

    Args:
        candidates: Those the result is of.
        plan: What it was measured with; ``config.budget_s`` is for the new processes.
        made: As ``run`` or this returned it; its file is replaced.
        reporter: Receives the progress.

    Raises:
        MachineError: The processes failed; the file is as it was.
    """
    result = read_result(made.path)
    with tempfile.TemporaryDirectory(prefix="edgekd-bench-") as folder:
        with _opened(candidates, plan) as (_, queries):
            fed = _with_feeds(candidates, queries, {}, Path(folder))
        measured = _timed(fed, plan.config, Path(folder), reporter)
        energies = energy.measure(fed, plan.config, reporter).by_key
    rows = []
    for row in result.candidates:
        both = row.energy
        if both is not None and row.name in energies:
            both = replace(both, windows=both.windows + energies[row.name].windows)
        rows.append(replace(row, runs=row.runs + measured.runs[row.name], energy=both))
    result = replace(
        result,
        candidates=tuple(rows),
        reference_workload=result.reference_workload + measured.runs.get(reference_workload.KEY, ()),
        notes=tuple(dict.fromkeys((*result.notes, *measured.notes))),
    )
    return _publish(result, made.made_by, made.path, float(made.facts["timed_s"]) + measured.took_s)


def with_nodes(candidates: Sequence[Candidate], plan: BenchPlan, result: BenchmarkResult) -> BenchmarkResult:
    """Return the result with the time of each node of these candidates, profiled interleaved in one process."""
    with tempfile.TemporaryDirectory(prefix="edgekd-bench-") as folder:
        with _opened(candidates, plan) as (_, queries):
            fed = _with_feeds(candidates, queries, {}, Path(folder))
        rows = [result.candidate(candidate.key) for candidate in candidates]
        profiled = {row.name: row for row in _profiled(rows, fed, plan.config)}
    return replace(result, candidates=tuple(profiled.get(row.name, row) for row in result.candidates))


class _Parts:
    """Stopwatch over the parts of a measurement, for people who wonder where the time goes."""

    def __init__(self) -> None:
        self.seconds: list[StageTime] = []
        self._elapsed_s = stopwatch()

    def end(self, part: str) -> None:
        """Record how long the part took that ends now."""
        self.seconds.append(StageTime(f"bench {part}", self._elapsed_s()))
        self._elapsed_s = stopwatch()


@contextlib.contextmanager
def _opened(candidates: Sequence[Candidate], plan: BenchPlan) -> Iterator[tuple[dict[str, Session], dict[str, Query]]]:
    """Open every engine in this process, and run each once: one that cannot run raises its own error here."""
    config = plan.config
    backend = family.load("backends", config.backend).BACKEND
    with contextlib.ExitStack() as stack:
        sessions, queries = {}, {}
        for candidate in candidates:
            session = backend.open(candidate.engine, threads=config.threads)
            stack.callback(session.close)
            query = scenarios.query(session.inputs, _feeds(session, plan), config)
            session.run(query[0])
            sessions[candidate.key], queries[candidate.key] = session, query
        yield sessions, queries


def _with_feeds(
    candidates: Sequence[Candidate],
    queries: Mapping[str, Query],
    images: Mapping[str, NDArray[np.uint8]],
    folder: Path,
) -> list[Candidate]:
    return [
        candidate.with_feeds(queries[candidate.key], folder / f"feeds{index}.npz", images.get(candidate.key))
        for index, candidate in enumerate(candidates)
    ]


def _timed(candidates: Sequence[Candidate], config: BenchConfig, folder: Path, reporter: Reporter) -> Measured:
    reporter.message(f"timing {len(candidates)} engines interleaved on {config.backend}, in fresh processes")
    reference = [reference_workload.candidate(config, folder)] if config.reference_workload else []
    return processes.measure([*candidates, *reference], config, reporter)


def _rows(
    candidates: Sequence[Candidate],
    queries: Mapping[str, Query],
    measured: Measured,
    scores: Scores,
    plan: BenchPlan,
    reporter: Reporter,
) -> list[CandidateResult]:
    """Measure the memory of every candidate, and its nodes, each in a process that does nothing else."""
    config = plan.config
    reporter.message("measuring peak memory of each engine, in its own process")
    rows = []
    for candidate in candidates:
        found = memory.measure(candidate, config.backend, config.threads)
        rows.append(_row(candidate, measured, found, scores.by_key.get(candidate.key), queries[candidate.key]))
    if plan.times_nodes:
        reporter.message("timing each engine's nodes, with profiling on, in their own process")
        rows = _profiled(rows, candidates, config)
    return rows


def _profiled(
    rows: Sequence[CandidateResult], candidates: Sequence[Candidate], config: BenchConfig
) -> list[CandidateResult]:
    """Return the rows with the time of each node, or with a note why there is none."""
    latencies_ms = {row.name: row.percentile_ms(50) for row in rows}
    found = profile.profile(candidates, latencies_ms, config.backend, config.threads)
    profiled = []
    for row in rows:
        of_row = found[row.name]
        if of_row.nodes:
            profiled.append(replace(row, nodes=of_row.nodes))
        else:
            profiled.append(replace(row, notes=(*row.notes, f"time per node not measured: {of_row.reason}")))
    return profiled


def _publish(result: BenchmarkResult, made_by: Provenance, out: Path, timed_s: float) -> Artifact:
    facts = {"summary": f"{len(result.candidates)} engines", "timed_s": timed_s}
    return publish(Artifact("result", out, made_by=made_by, facts=facts), result.to_json())


def _conditions(config: BenchConfig, query: Query) -> Conditions:
    backend = family.load("backends", config.backend).BACKEND
    libraries = ("numpy", *backend.libraries)
    batch = scenarios.batch_of(query[0])
    observed = conditions.observe(config, libraries, device=backend.device, batch=batch)
    return replace(observed, gpu_timing=backend.gpu_timing) if isinstance(backend, GpuBackend) else observed


def _feeds(session: Session, plan: BenchPlan) -> list[Feeds]:
    """Return as many feeds as one query needs, of the plan's samples as the engine takes them, or zeros."""
    if plan.feeds is None:
        return [{spec.name: np.zeros(spec.at("opt"), spec.dtype) for spec in session.inputs}]
    count = min(len(plan.feeds), scenarios.SAMPLES[plan.config.scenario])
    feeds: list[Feeds] = []
    for index in range(count):
        sample = plan.feeds[index]
        feeds.append({spec.name: _fit(spec, sample.feeds) for spec in session.inputs})
    return feeds


def _fit(spec: TensorSpec, feeds: Feeds) -> NDArray[Any]:
    if spec.name not in feeds or not spec.admits(feeds[spec.name].shape):
        found = {name: array.shape for name, array in feeds.items()}
        raise InputError(f"the engine takes {spec}, the samples hold {found}; give samples of this network")
    return np.asarray(feeds[spec.name], spec.dtype, order="C")  # ascontiguousarray would make a scalar (1,)


def _images(
    candidates: Sequence[Candidate], sessions: Mapping[str, Session], plan: BenchPlan
) -> tuple[dict[str, NDArray[np.uint8]], tuple[str, ...]]:
    """Return the image that each engine is timed with end to end, and notes where that is not possible."""
    if plan.evaluation is None or not candidates[0].network.task or not plan.config.end_to_end:
        return {}, ()
    image = plan.evaluation[0].image
    if image is None:
        return {}, ("end-to-end latency was not measured: the evaluation samples hold no images",)
    images, notes = {}, []
    for candidate in candidates:
        try:
            end_to_end.split(sessions[candidate.key], candidate.network, np.asarray(image, np.uint8), repeats=1)
        except EdgeKDError as err:
            notes.append(f"end-to-end latency of {candidate.key} was not measured: {err}")
            continue
        images[candidate.key] = np.asarray(image, np.uint8)
    return images, tuple(notes)


def _row(
    candidate: Candidate, measured: Measured, found: memory.Memory, scored: Accuracy | None, query: Query
) -> CandidateResult:
    network = candidate.network
    notes = [f"memory not measured: {found.reason}"] if found.reason else []
    if uncounted := int(network.cost.get("uncounted", 0)):
        notes.append(f"MACs leave out {uncounted} nodes inside If or Loop")
    return CandidateResult(
        name=candidate.key,
        role=network.role,
        precision=network.precision,
        engine_sha256=candidate.engine_sha256,
        onnx_sha256=candidate.onnx_sha256,
        inputs={name: tuple(array.shape) for name, array in query[0].items()},
        runs=measured.runs[candidate.key],
        cost=network.cost,
        onnx_bytes=network.onnx_bytes,
        engine_bytes=candidate.engine.stat().st_size,
        peak_memory_bytes=found.peak_bytes,
        idle_memory_bytes=found.idle_bytes,
        accuracy=scored.overall if scored else {},
        accuracy_per_sample=scored.per_sample if scored else {},
        notes=tuple(notes),
        samples_per_query=scenarios.samples_in(query),
        end_to_end_ns=measured.end_to_end_ns[candidate.key],
    )
