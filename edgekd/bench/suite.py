"""The whole measurement: open the engines, time them in turns, weigh their memory, score them, write one result."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import __version__
from edgekd.bench import accuracy, end_to_end, energy, memory, processes, profile, reference_workload, scenarios
from edgekd.bench.end_to_end import Edge
from edgekd.bench.processes import Entrant, Measured
from edgekd.bench.scenarios import Query
from edgekd.bench.scoring import Scores, Scoring, score, takes_pictures
from edgekd.core import family
from edgekd.core.artifact import (
    Artifact,
    Provenance,
    digest_of,
    ensure_writable,
    save_manifest,
    sha256_of,
    write_atomic,
)
from edgekd.core.conditions import Conditions
from edgekd.core.config import BenchConfig
from edgekd.core.errors import BuildError, EdgeKDError, InputError, NotComparable
from edgekd.core.protocols import Backend, Feeds, Session
from edgekd.core.samples import Samples
from edgekd.core.tensor import TensorSpec
from edgekd.machine import conditions
from edgekd.results.result import BenchmarkResult, Candidate, EngineRow, read_result


@dataclass(frozen=True, slots=True)
class Subject:
    """One engine to measure.

    Attributes:
        name: "<role>/<scheme>".
        role, precision: Its two halves.
        engine: What is run.
        onnx_sha256, onnx_bytes: What it was built from.
        cost: Counted on the ONNX graph.
    """

    name: str
    role: str
    precision: str
    engine: Artifact
    onnx_sha256: str = ""
    onnx_bytes: int = 0
    cost: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """Who hears of it: a line of talk, and processes done of a long measurement."""

    say: Callable[[str], None]
    progress: processes.Progress | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What all subjects share.

    Attributes:
        title: Of the result.
        config: Warm-up, blocks, budget, threads.
        feeds: An archive of samples; its first entry is what every timed inference is fed. None feeds zeros.
        scoring: None where there is nothing to score.
        engines, steps, notes: Go into the result as they are.
        profiled: Whether each engine's nodes are timed too, in a process of their own.
    """

    title: str
    config: BenchConfig
    feeds: Artifact | None = None
    scoring: Scoring | None = None
    engines: tuple[EngineRow, ...] = ()
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    profiled: bool = True


def subjects(engines: Sequence[Artifact]) -> list[Subject]:
    """Make subjects of engines by what their manifests say of the network ("network" in the facts).

    Raises:
        InputError: A file is not an engine.
    """
    found: dict[str, Subject] = {}
    for engine in engines:
        if engine.kind != "engine":
            raise InputError(f"{engine.path} is a file of kind {engine.kind!r}; an engine was expected")
        network = engine.facts.get("network") or {}
        precision = str(network.get("precision", "as given"))
        name = f"{network.get('role', engine.path.stem)}/{precision}"
        if name in found:
            name = f"{name} {engine.sha256[:8]}"
        onnx_sha256 = engine.made_by.parents_sha256[0] if engine.made_by.parents_sha256 else ""
        role = name.partition("/")[0]
        size, cost = int(network.get("onnx_bytes", 0)), network.get("cost") or {}
        found[name] = Subject(name, role, precision, engine, onnx_sha256, size, cost)
    return list(found.values())


def backend_of(engines: Sequence[Artifact]) -> str:
    """Return the backend that built the engines, from their manifests.

    Raises:
        NotComparable: They are of several: engines are timed in turns in one process.
    """
    backends = sorted({str(engine.facts.get("backend", "unknown")) for engine in engines})
    if len(backends) != 1:
        raise NotComparable(
            f"the engines are of {', '.join(backends)}; give those of one backend, they run in one process"
        )
    return backends[0]


def provenance(subjects: Sequence[Subject], setting: Setting, config: Mapping[str, Any]) -> Provenance:
    """Return what the result's manifest will say; ``config`` is ``setting.config`` as plain data."""
    parents = [subject.engine.sha256 for subject in subjects]
    parents += [setting.feeds.sha256] if setting.feeds else []
    parents += [setting.scoring.samples.sha256] if setting.scoring else []
    scoring = [setting.scoring.task, dict(setting.scoring.options)] if setting.scoring else []
    names = [subject.name for subject in subjects]
    rows = [[row.candidate, row.backend, row.ok, row.summary] for row in setting.engines]
    digest = digest_of([setting.title, dict(config), scoring, names, rows, setting.notes])
    return Provenance("bench", tuple(parents), digest, {"edgekd": __version__, **_libraries(setting.config.backend)})


def run(subjects: Sequence[Subject], setting: Setting, made_by: Provenance, out: Path, told: Told) -> Artifact:
    """Measure every subject and write ``result.json``, and beside it ``pictures.npz`` where there is something to see.

    Returns:
        The result; facts["timed_s"] is what of ``budget_s`` was spent.

    Raises:
        BuildError: No engine was built, so there is nothing to measure.
        InputError: ``out`` cannot be written.
        MachineError: An engine does not open or run here.
    """
    if not subjects:
        reasons = "; ".join(f"{row.candidate}: {row.summary}" for row in setting.engines if not row.ok)
        raise BuildError(
            f"{setting.title}: {setting.config.backend} built no engine, so there is nothing to time. {reasons}"
        )
    ensure_writable(out)
    backend = family.load("backends", setting.config.backend).BACKEND
    threads = setting.config.threads
    with contextlib.ExitStack() as stack:
        sessions: dict[str, Session] = {}
        for subject in subjects:
            sessions[subject.name] = backend.open(subject.engine.path, threads=threads)
            stack.callback(sessions[subject.name].close)
        samples = Samples.load(setting.feeds.path) if setting.feeds else None
        queries = {name: scenarios.query(s.inputs, _fed(s, samples), setting.config) for name, s in sessions.items()}
        for name, session in sessions.items():
            session.run(queries[name][0])  # one that cannot run says so here, in its own error
        if setting.scoring:
            told.say("      scoring every engine's answers")
        engines = {subject.name: subject.engine for subject in subjects}
        scores = score(setting.scoring, engines, sessions, out) if setting.scoring else Scores()
        edges, unsplit = _edges(subjects, sessions, setting, scores.picture)
    entrants = [Entrant(s.name, s.engine.path, queries[s.name], edges.get(s.name)) for s in subjects]
    candidates, measured = _timed(subjects, setting, entrants, scores, told)
    energies = energy.measure(entrants, setting.config, say=told.say)
    candidates = [replace(candidate, energy=energies.by_name.get(candidate.name)) for candidate in candidates]
    result = BenchmarkResult(
        title=setting.title,
        edgekd=__version__,
        conditions=_conditions(setting.config, backend, queries[subjects[0].name]),
        candidates=tuple(candidates),
        engines=setting.engines,
        baseline_accuracy=scores.baseline.overall if scores.baseline else {},
        baseline_per_sample=scores.baseline.per_sample if scores.baseline else {},
        primary_metric=scores.primary,
        steps=setting.steps,
        notes=(*setting.notes, *scores.notes, *unsplit, *measured.notes),
        set_metrics=scores.of_set,
        yardstick=measured.runs.get(reference_workload.NAME, ()),
        yardstick_sha256=reference_workload.sha256() if reference_workload.NAME in measured.runs else "",
        no_energy=energies.reason,
    )
    return _saved(result, made_by, out, measured.took_s)


def longer(subjects: Sequence[Subject], setting: Setting, made: Artifact, told: Told) -> Artifact:
    """Add as many processes to a result, of its subjects and of the yardstick, and as many windows of energy.

    Args:
        subjects: Those the result is of.
        setting: What it was measured with; ``config.budget_s`` is for the new processes.
        made: As ``run`` or this returned it; its file is written anew.
        told: Hears of it.

    Raises:
        MachineError: The processes ended badly; the file is as it was.
    """
    result = read_result(made.path)
    entrants = _opened(subjects, setting)
    measured = _in_turns(entrants, setting.config, told)
    energies = energy.measure(entrants, setting.config, say=told.say).by_name
    candidates = []
    for of in result.candidates:
        both = of.energy
        if both is not None and of.name in energies:
            both = replace(both, windows=both.windows + energies[of.name].windows)
        candidates.append(replace(of, runs=of.runs + measured.runs[of.name], energy=both))
    result = replace(
        result,
        candidates=tuple(candidates),
        yardstick=result.yardstick + measured.runs.get(reference_workload.NAME, ()),
        notes=tuple(dict.fromkeys((*result.notes, *measured.notes))),
    )
    return _saved(result, made.made_by, made.path, float(made.facts["timed_s"]) + measured.took_s)


def profiled(subjects: Sequence[Subject], setting: Setting, result: BenchmarkResult) -> BenchmarkResult:
    """Return the result with the time of each node of these subjects, profiled in turns in one process."""
    candidates = _with_nodes(
        [result.candidate(subject.name) for subject in subjects], _opened(subjects, setting), setting.config
    )
    by_name = {candidate.name: candidate for candidate in candidates}
    return replace(result, candidates=tuple(by_name.get(of.name, of) for of in result.candidates))


def _opened(subjects: Sequence[Subject], setting: Setting) -> list[Entrant]:
    """Return who takes part, once more: each engine is opened to see what it is fed."""
    backend, config = family.load("backends", setting.config.backend).BACKEND, setting.config
    samples = Samples.load(setting.feeds.path) if setting.feeds else None
    entrants = []
    for subject in subjects:
        with contextlib.closing(backend.open(subject.engine.path, threads=config.threads)) as session:
            query = scenarios.query(session.inputs, _fed(session, samples), config)
        entrants.append(Entrant(subject.name, subject.engine.path, query))
    return entrants


def _saved(result: BenchmarkResult, made_by: Provenance, out: Path, timed_s: float) -> Artifact:
    write_atomic(out, result.to_json())
    facts = {"summary": f"{len(result.candidates)} engines", "timed_s": timed_s}
    artifact = Artifact("result", out, sha256_of(out), made_by=made_by, facts=facts)
    save_manifest(artifact)
    return artifact


def _with_nodes(candidates: Sequence[Candidate], entrants: Sequence[Entrant], config: BenchConfig) -> list[Candidate]:
    """Return the candidates with the time of each node, all profiled in turns in one process, or with a note why not.

    Args:
        candidates: As measured.
        entrants: Their engines and feeds, by the same names.
        config: Backend and threads.
    """
    latencies_ms = {candidate.name: candidate.percentile_ms(50) for candidate in candidates}
    found = profile.profile(config.backend, entrants, latencies_ms, config.threads)
    return [
        replace(candidate, nodes=of.nodes)
        if (of := found[candidate.name]).nodes
        else replace(candidate, notes=(*candidate.notes, f"time per node not measured: {of.reason}"))
        for candidate in candidates
    ]


def _conditions(config: BenchConfig, backend: Backend, query: Query) -> Conditions:
    seen = conditions.observe(
        config, ("numpy", *backend.libraries), device=backend.device, batch=scenarios.batch_of(query[0])
    )
    return replace(seen, gpu_timing=getattr(backend, "gpu_timing", {}))


def _libraries(backend: str) -> dict[str, str]:
    """Versions of what can change a latency."""
    libraries = ("numpy", *family.load("backends", backend).BACKEND.libraries)
    return {library: family.version_of(library) or "unknown" for library in libraries}


def _timed(
    subjects: Sequence[Subject], setting: Setting, entrants: Sequence[Entrant], scores: Scores, told: Told
) -> tuple[list[Candidate], Measured]:
    """Time every subject, weigh it, and profile it, each in processes that do nothing else."""
    config = setting.config
    measured = _in_turns(entrants, config, told)
    told.say("      weighing each engine's memory in a process of its own")
    candidates = []
    for subject, entrant in zip(subjects, entrants, strict=True):
        weight = memory.peak(config.backend, subject.engine.path, entrant.feeds[0], config.threads)
        score = scores.by_name.get(subject.name)
        candidates.append(_candidate(subject, measured, weight, score, entrant.feeds))
    if setting.profiled:
        told.say("      timing each engine's nodes, with profiling on, in a process of their own")
        candidates = _with_nodes(candidates, entrants, config)
    return candidates, measured


def _in_turns(entrants: Sequence[Entrant], config: BenchConfig, told: Told) -> Measured:
    told.say(f"      timing {len(entrants)} engines in turns on {config.backend}, in fresh processes")
    with tempfile.TemporaryDirectory(prefix="edgekd-yardstick-") as folder:
        beside = [reference_workload.entrant(config, Path(folder))] if config.yardstick else []
        return processes.measure([*entrants, *beside], config, told.progress)


def _notes(subject: Subject, weight: memory.Memory) -> tuple[str, ...]:
    uncounted = int(subject.cost.get("uncounted", 0))
    notes = [
        f"memory not measured: {weight.reason}" if weight.reason else "",
        f"MACs leave out {uncounted} nodes inside If or Loop" if uncounted else "",
    ]
    return tuple(filter(None, notes))


def _fed(session: Session, samples: Samples | None) -> list[Feeds]:
    """Return what may be fed: every sample, as the engine takes it, or zeros."""
    if samples is None:
        return [{spec.name: np.zeros(spec.at("opt"), spec.dtype) for spec in session.inputs}]
    return [{spec.name: _fit(spec, samples.feeds(i)) for spec in session.inputs} for i in range(len(samples))]


def _fit(spec: TensorSpec, feeds: Feeds) -> NDArray[Any]:
    if spec.name not in feeds or not spec.admits(feeds[spec.name].shape):
        found = {name: array.shape for name, array in feeds.items()}
        raise InputError(f"the engine takes {spec}, the samples hold {found}; give samples of this network")
    return np.asarray(feeds[spec.name], spec.dtype, order="C")  # ascontiguousarray would make a scalar (1,)


def _edges(
    subjects: Sequence[Subject], sessions: Mapping[str, Session], setting: Setting, picture: NDArray[np.uint8] | None
) -> tuple[dict[str, Edge], tuple[str, ...]]:
    """Return what stands before and after each engine, where that can be timed; else notes that say why not."""
    if setting.scoring is None or not setting.config.stages:
        return {}, ()
    if picture is None:
        return {}, ("stages were not timed: the evaluation samples hold no pictures",)
    edges, notes = {}, []
    for subject in subjects:
        edge = Edge(setting.scoring.task, setting.scoring.options, takes_pictures(subject.engine), picture)
        try:
            end_to_end.split(sessions[subject.name], edge, 1)
        except EdgeKDError as err:
            notes.append(f"stages of {subject.name} were not timed: {err}")
            continue
        edges[subject.name] = edge
    return edges, tuple(notes)


def _candidate(
    subject: Subject, measured: Measured, weight: memory.Memory, score: accuracy.Accuracy | None, query: Query
) -> Candidate:
    return Candidate(
        name=subject.name,
        role=subject.role,
        precision=subject.precision,
        engine_sha256=subject.engine.sha256,
        onnx_sha256=subject.onnx_sha256,
        inputs={name: tuple(array.shape) for name, array in query[0].items()},
        runs=measured.runs[subject.name],
        cost=subject.cost,
        onnx_bytes=subject.onnx_bytes,
        engine_bytes=subject.engine.path.stat().st_size,
        peak_memory_bytes=weight.peak_bytes,
        idle_memory_bytes=weight.idle_bytes,
        accuracy=score.overall if score else {},
        accuracy_per_sample=score.per_sample if score else {},
        notes=_notes(subject, weight),
        samples_per_query=scenarios.samples_in(query),
        stages_ns=measured.stages_ns[subject.name],
    )
