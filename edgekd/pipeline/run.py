"""The stages in order, from a checkpoint or an ONNX file to a report. The page to read first.

::

    checkpoint ─ export ┐
                        ├─ simplify ─ quantize ─ build ─ bench ─ report
    foreign ONNX ─ adopt┘             fp32       every backend
                                      fp16
                                      int8

A stage is skipped when what it would make is there already: the file is whole, and its manifest names the same
parents, configuration and library versions. The heavy stages are imported by name, and only when one has to run: a run
with nothing to do imports neither torch nor onnx.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgekd import __version__
from edgekd.bench import suite
from edgekd.bench.processes import Progress
from edgekd.bench.scoring import Scoring
from edgekd.core import family, provenance
from edgekd.core.artifact import Artifact, Provenance, current, locked, save_manifest, sha256_of, write_atomic
from edgekd.core.clock import stopwatch
from edgekd.core.errors import BuildError, CalibrationError, MachineError, MissingDependency, ParityError
from edgekd.core.preprocessing import input_spec
from edgekd.core.samples import Samples
from edgekd.core.schema import to_plain
from edgekd.core.tensor import TensorSpec
from edgekd.pipeline import sample_sources
from edgekd.pipeline.job import Job, Origin
from edgekd.results.result import BenchmarkResult, EngineRow, read_result
from edgekd.runtime import build

Say = Callable[[str], None]

# What a converter or an engine library may refuse without stopping the rest: the refusal is kept, shown, and not
# tried again until something changes.
_REFUSALS = (CalibrationError, ParityError, BuildError)


class _WouldRun(Exception):
    """Raised by a dry run at the first stage that would run."""


@dataclass(slots=True)
class Walk:
    """One walk through the stages: makes what is not there, remembers what was said.

    Attributes:
        job: What to do.
        say: Called with a line when a stage starts, ends, is skipped, or refuses.
        progress: Called with (candidate, steps done, steps in all) while engines are timed.
        dry_run: Stop at the first stage that would run.
        verbose: Say everything that a stage found.
        lines: One a stage and network, for the report.
        archives: "calibration" and "evaluation" samples of the network at hand.
        subjects: The engines to measure, so far.
        rows: Every engine that was built, or refused.
        notes: For the report.
    """

    job: Job
    say: Say
    progress: Progress | None = None
    dry_run: bool = False
    verbose: bool = False
    lines: list[str] = field(default_factory=list)
    archives: dict[str, Artifact] = field(default_factory=dict)
    subjects: list[suite.Subject] = field(default_factory=list)
    rows: list[EngineRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def samples(self, name: str) -> Samples:
        """Read one of the archives."""
        return Samples.load(self.archives[name].path)

    def made(self, name: str, path: Path, made_by: Provenance, make: Callable[[], Artifact]) -> Artifact:
        """Return the artifact at ``path``: the one that is there, or a new one.

        Raises:
            BuildError, ...: The stage refused, now or when it was last tried with the same parents and versions.
        """
        found = current(path, made_by)
        refused = path.with_name(path.name + ".refused")
        if found is not None:
            self.say(f"  {name}: as before")
        elif (refusal := current(refused, made_by)) is not None:
            kind = {cls.__name__: cls for cls in _REFUSALS}.get(str(refusal.facts.get("error")), BuildError)
            raise kind(str(refusal.facts.get("message")))
        elif self.dry_run:
            raise _WouldRun(name)
        else:
            self.say(f"  {name} …")
            seconds = stopwatch()
            try:
                found = make()
            except _REFUSALS as err:
                write_atomic(refused, f"{err}\n")
                facts = {"error": type(err).__name__, "message": str(err)}
                save_manifest(Artifact("report", refused, sha256_of(refused), made_by=made_by, facts=facts))
                raise
            self.say(f"      {found.facts.get('summary') or 'done'} ({seconds():.1f} s)")
            if self.verbose:
                self.say(_told(found))
        line = f"{name}: {found.facts.get('summary') or 'done'}"
        if made_by.stage != "build" and line not in self.lines:  # engines have a table of their own
            self.lines.append(line)
        return found


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run leaves.

    Attributes:
        result: The figures.
        result_path, report_path: Where they and the page lie.
    """

    result: BenchmarkResult
    result_path: Path
    report_path: Path


def run(walk: Walk) -> Finished | None:
    """Run every stage of ``walk.job`` that is not done already.

    Returns:
        What there is now; None where a dry run found something to do, and said it.

    Raises:
        EdgeKDError: A stage failed; what was finished before it stands.
    """
    job = walk.job
    with locked(job.out):
        try:
            _tell(walk)
            for role, origin in job.origins.items():
                walk.say(f"{job.title}: {role}")
                _network(walk, role, origin)
            return _measured(walk)
        except _WouldRun as stop:
            walk.say(f"  {stop}: would run, and what comes after it")
            return None


def _tell(walk: Walk) -> None:
    """Say how the source was read, where there was a choice."""
    if walk.job.said:
        walk.say(walk.job.said)


def _told(artifact: Artifact) -> str:
    """Everything an artifact's maker found, a line each, indented below its summary."""
    facts = {key: value for key, value in artifact.facts.items() if key != "summary"}
    return "\n".join(f"        {key}: {json.dumps(value, sort_keys=True)}" for key, value in sorted(facts.items()))


def export(job: Job, role: str, say: Say) -> Artifact:
    """Run the export stage alone, with the samples it needs. Raises as ``run``."""
    walk = Walk(job, say)
    with locked(job.out):
        _tell(walk)
        return _exported(walk, role, job.origins[role])


def _network(walk: Walk, role: str, origin: Origin) -> None:
    """Take one network from its origin to its engines; what is to be measured is added to the walk."""
    onnx = _adopted(walk, role, origin) if origin.is_onnx else _exported(walk, role, origin)
    simplified = _simplified(walk, role, onnx)
    for scheme in walk.job.recipe.quantize.schemes:
        name = f"{role}/{scheme}"
        try:
            variant = _quantized(walk, role, scheme, simplified)
        except _REFUSALS as err:
            if scheme == "fp32":
                raise
            walk.say(f"  {name}: not made: {err}")
            walk.notes.append(f"{name} was not made: {err}")
            continue
        engine = _engines(walk, name, variant)
        if engine is not None:
            size, cost = variant.path.stat().st_size, simplified.facts.get("cost") or {}
            walk.subjects.append(suite.Subject(name, role, scheme, engine, variant.sha256, size, cost))


def _adopted(walk: Walk, role: str, origin: Origin) -> Artifact:
    out, dims = walk.job.out / role / "adopted.onnx", walk.job.dims
    made_by = provenance.adopt(sha256_of(origin.path), dims)
    onnx = walk.made(
        f"{role} adopt",
        out,
        made_by,
        lambda: family.load_module("edgekd.convert.import_onnx").run(origin.path, dims, None, out),
    )
    _sampled(walk, origin, onnx.inputs)
    return onnx


def _exported(walk: Walk, role: str, origin: Origin) -> Artifact:
    job, out, config = walk.job, walk.job.out / role / "exported.onnx", walk.job.recipe.export
    _sampled(walk, origin, (input_spec(config),))
    opset = config.opset or family.load("targets", job.recipe.build.target).TARGET.opset
    checkpoint_sha256 = sha256_of(origin.path)
    # The same weights in another network are another graph: an edited model.py, or another size, is exported again.
    metadata = {"title": job.title, "role": role, "network": origin.network}
    if job.recipe.pair is not None:
        metadata |= {"task": job.recipe.pair.task, "task_options": json.dumps(dict(job.recipe.task), sort_keys=True)}

    def make() -> Artifact:
        checkpoint = family.load_module("edgekd.networks.checkpoint")
        stage = family.load_module("edgekd.convert.export")
        if origin.pair_folder is not None:
            blank = checkpoint.network(origin.pair_folder, role, origin.sizes)
        else:
            blank = checkpoint.network_at(origin.module)
        module = checkpoint.load_weights(blank, origin.path)
        made: Artifact = stage.run(
            module, stage.Job(checkpoint_sha256, config, opset, walk.samples("calibration"), metadata, out)
        )
        return made

    return walk.made(f"{role} export", out, provenance.export(checkpoint_sha256, config, opset, metadata), make)


def _sampled(walk: Walk, origin: Origin, inputs: tuple[TensorSpec, ...]) -> None:
    """Make the samples that the network with these inputs is checked, calibrated and scored on."""
    for name, plan in sample_sources.plans(walk.job, origin, inputs).items():
        path = walk.job.out / f"{name}.npz"
        walk.archives[name] = walk.made(f"{name} samples", path, plan.made_by, lambda: plan.write(path))  # noqa: B023


def _simplified(walk: Walk, role: str, onnx: Artifact) -> Artifact:
    out, config = walk.job.out / role / "simplified.onnx", walk.job.recipe.simplify
    return walk.made(
        f"{role} simplify",
        out,
        provenance.simplify(onnx.sha256, config),
        lambda: family.load_module("edgekd.convert.simplify").run(onnx, config, walk.samples("calibration"), out),
    )


def _quantized(walk: Walk, role: str, scheme: str, onnx: Artifact) -> Artifact:
    out, config = walk.job.out / role / f"{scheme}.onnx", walk.job.recipe.quantize
    return walk.made(
        f"{role} quantize {scheme}",
        out,
        provenance.quantize(onnx.sha256, scheme, config, str(walk.archives["calibration"].facts["digest"])),
        lambda: family.load("quantize.schemes", scheme).quantize(onnx, config, walk.samples("calibration"), out),
    )


def _engines(walk: Walk, name: str, onnx: Artifact) -> Artifact | None:
    """Build with every backend asked for, and return the engine that will be timed. A refusal is a row, too."""
    config, timed = walk.job.recipe.build, None
    for backend in config.backends:
        out = onnx.path.parent / backend / f"{onnx.path.stem}.engine"
        try:
            made_by = build.provenance(onnx.sha256, backend, config.threads)
            engine = walk.made(
                f"{name.replace('/', ' ')} build, {backend}",
                out,
                made_by,
                lambda: build.run(onnx, backend, out, threads=config.threads),  # noqa: B023 - called at once
            )
        except MachineError as err:
            walk.say(f"  {name} on {backend}: not built: {err}")
            notice = "" if isinstance(err, MissingDependency) else build.notice(backend)
            walk.rows.append(EngineRow(name, backend, False, notice, str(err)))
            continue
        facts = engine.facts
        walk.rows.append(EngineRow(name, backend, True, facts.get("notice", ""), facts.get("summary", ""), facts))
        timed = engine if backend == walk.job.recipe.bench.backend else timed
    return timed


def _measured(walk: Walk) -> Finished:
    """Time and score every engine that can run here, then write the result and the page."""
    job, out = walk.job, walk.job.out / "result.json"
    scoring = None
    if job.recipe.pair is not None and "evaluation" in walk.archives:
        scoring = Scoring(walk.archives["evaluation"], job.recipe.pair.task, job.recipe.task)
    setting = suite.Setting(
        job.title,
        job.recipe.bench,
        walk.archives.get("calibration"),
        scoring,
        tuple(walk.rows),
        tuple(walk.lines),
        tuple(walk.notes),
    )
    made_by = suite.provenance(walk.subjects, setting, to_plain(job.recipe.bench))
    told = suite.Told(walk.say, walk.progress)
    measured = walk.made("bench", out, made_by, lambda: suite.run(walk.subjects, setting, made_by, out, told))
    page = job.out / "report.html"
    page_by = Provenance("report", (measured.sha256,), "", {"edgekd": __version__})

    def make() -> Artifact:
        write_atomic(page, family.load("report.formats", "html").render_file(out))
        artifact = Artifact("report", page, sha256_of(page), made_by=page_by)
        save_manifest(artifact)
        return artifact

    walk.made("report", page, page_by, make)
    return Finished(read_result(out), out, page)
