"""The stages in order, from a checkpoint or an ONNX file to a report. Read this file first.

::

    checkpoint ─ export ─────────┐
                                 ├─ simplify ─ quantize ─ build ─ bench ─ report
    other ONNX ─ import_onnx ────┘             fp32       every backend
                                               fp16
                                               int8

Stages whose inputs have not changed are skipped: the file is whole, and its manifest names the same parents,
configuration and library versions. Stages are imported by name, and only when one has to run: a run with nothing to do
imports neither torch nor onnx, nor what measures.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgekd import __version__
from edgekd.bench import plan as bench_plan
from edgekd.bench.candidate import Candidate, candidates_of
from edgekd.core import family, provenance
from edgekd.core.artifact import Artifact, current, locked, publish, sha256_of, write_atomic
from edgekd.core.clock import stopwatch
from edgekd.core.errors import (
    BuildError,
    CalibrationError,
    IntegrityError,
    MachineError,
    MissingDependency,
    ParityError,
)
from edgekd.core.input_contract import InputContract, resolved
from edgekd.core.network_info import NetworkInfo
from edgekd.core.preprocessing import input_spec
from edgekd.core.provenance import Provenance
from edgekd.core.reporter import QuietReporter, Reporter
from edgekd.core.samples import SampleArchive
from edgekd.core.schema import to_plain
from edgekd.core.tensor import TensorSpec
from edgekd.pipeline import lone_network, sample_sources
from edgekd.pipeline.job import Job, NetworkSource
from edgekd.results.result import BenchmarkResult, EngineRow, StageTime, read_result
from edgekd.runtime import build

# A library may refuse its input without stopping the rest: the refusal is kept and shown, and the stage is not tried
# again until its inputs change.
_REFUSALS = (CalibrationError, ParityError, BuildError)
# How long each stage took when it last ran, for the report.
_SECONDS_FILE = "stage_seconds.json"


class _WouldRun(Exception):
    """Raised by a dry run at the first stage that would run."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run leaves.

    Attributes:
        result: The figures.
        result_path, report_path: The files.
    """

    result: BenchmarkResult
    result_path: Path
    report_path: Path


@dataclass(slots=True)
class PipelineRun:
    """One run through the stages: runs those that are not up to date, and collects what the result shows of them.

    Attributes:
        job: What to do.
        reporter: Receives every stage.
        dry_run: Stop at the first stage that would run.
        verbose: Report all facts that a stage found.
        summaries: One line a stage and network, for the result.
        samples: "calibration" and "evaluation" archives of the network at hand.
        candidates: The engines to measure, so far.
        engine_rows: Every engine that was built, or refused.
        notes: For the result.
        seconds: Stage → how long it took when it last ran.
    """

    job: Job
    reporter: Reporter
    dry_run: bool = False
    verbose: bool = False
    summaries: list[str] = field(default_factory=list)
    samples: dict[str, SampleArchive] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    engine_rows: list[EngineRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def stage(self, name: str, path: Path, made_by: Provenance, make: Callable[[], Artifact]) -> Artifact:
        """Return the artifact at ``path``: the present one where it is up to date, else a new one.

        Raises:
            BuildError, ...: The stage refused, now or when it last ran with the same parents and versions.
        """
        artifact = current(path, made_by)
        refusal = current(_refusal_path(path), made_by)
        if artifact is not None:
            self.reporter.stage(name, "skipped", "up to date")
        elif refusal is not None:
            raise _refusal_error(refusal)
        elif self.dry_run:
            raise _WouldRun(name)
        else:
            artifact = self._run_stage(name, path, made_by, make)
        summary = f"{name}: {artifact.facts.get('summary') or 'done'}"
        if made_by.stage != "build" and summary not in self.summaries:  # engines have a table of their own
            self.summaries.append(summary)
        return artifact

    def _run_stage(self, name: str, path: Path, made_by: Provenance, make: Callable[[], Artifact]) -> Artifact:
        self.reporter.stage(name, "started")
        elapsed_s = stopwatch()
        try:
            artifact = make()
        except _REFUSALS as err:
            facts = {"error": type(err).__name__, "message": str(err)}
            publish(Artifact("report", _refusal_path(path), made_by=made_by, facts=facts), f"{err}\n")
            raise
        self.seconds[name] = elapsed_s()
        write_atomic(self.job.out / _SECONDS_FILE, json.dumps(self.seconds, indent=1) + "\n")
        self.reporter.stage(name, "done", f"{artifact.facts.get('summary') or 'done'} ({self.seconds[name]:.1f} s)")
        if self.verbose:
            for key, value in sorted(artifact.facts.items()):
                if key != "summary":
                    self.reporter.message(f"{key}: {json.dumps(value, sort_keys=True)}")
        return artifact

    def stage_seconds(self) -> tuple[StageTime, ...]:
        """Return how long each stage took when it last ran, in the order of the first run."""
        return tuple(StageTime(name, seconds) for name, seconds in self.seconds.items() if name != "report")


def run(
    job: Job, reporter: Reporter | None = None, *, dry_run: bool = False, verbose: bool = False
) -> RunResult | None:
    """Run every stage of ``job`` that is not up to date.

    Returns:
        What there is now; None where a dry run found something to do, and reported it.

    Raises:
        EdgeKDError: A stage failed; what was finished before it stands.
    """
    with locked(job.out):
        job = _completed(job)
        current_run = PipelineRun(job, reporter or QuietReporter(), dry_run, verbose, seconds=_read_seconds(job.out))
        try:
            _report_caveat(current_run)
            for role, source in job.sources.items():
                current_run.reporter.message(f"{job.title}: {role}")
                _run_network(current_run, role, source)
            return _measure(current_run)
        except _WouldRun as stop:
            current_run.reporter.message(f"{stop}: would run, and what comes after it")
            return None


def export(job: Job, role: str, reporter: Reporter | None = None) -> Artifact:
    """Run the export stage alone, with the samples it needs. Raises as ``run``."""
    with locked(job.out):
        job = _completed(job)
        current_run = PipelineRun(job, reporter or QuietReporter())
        _report_caveat(current_run)
        return _export(current_run, role, job.sources[role])


def _completed(job: Job) -> Job:
    """Complete the job of a lone checkpoint by what its source says, before any stage runs."""
    for role, source in job.sources.items():
        if source.model is not None:
            return lone_network.completed(job, role)
    return job


def _run_network(current_run: PipelineRun, role: str, source: NetworkSource) -> None:
    """Take one network from its source to its engines, and add what is to be measured to the run."""
    onnx = _import(current_run, role, source) if source.is_onnx else _export(current_run, role, source)
    simplified = _simplify(current_run, role, onnx)
    for scheme in current_run.job.recipe.quantize.schemes:
        name = f"{role}/{scheme}"
        try:
            quantized = _quantize(current_run, role, scheme, simplified)
        except _REFUSALS as err:
            if len(current_run.job.recipe.quantize.schemes) == 1:
                raise  # nothing else would be left to measure
            current_run.reporter.stage(f"{role} quantize {scheme}", "refused", str(err))
            current_run.notes.append(f"{name} was not made: {err}")
            continue
        engine = _build(current_run, name, quantized)
        if engine is not None:
            current_run.candidates += candidates_of([engine], keys=[name])


def _import(current_run: PipelineRun, role: str, source: NetworkSource) -> Artifact:
    job = current_run.job
    out, dims = job.out / role / "imported.onnx", job.dims
    network = lone_network.network_of(job, role)
    if job.recipe.input:
        network = replace(network, input=job.recipe.input)
    onnx = current_run.stage(
        f"{role} import",
        out,
        provenance.import_onnx(sha256_of(source.path), dims, to_plain(network)),
        lambda: family.load_module("edgekd.convert.import_onnx").run(source.path, dims, None, out, network),
    )
    assert onnx.network is not None, "import_onnx writes it"
    described = lone_network.with_classes(job, onnx.network, onnx.outputs)
    _make_samples(current_run, source, onnx.inputs, described)
    return replace(onnx, network=described)


def _export(current_run: PipelineRun, role: str, source: NetworkSource) -> Artifact:
    job, config = current_run.job, current_run.job.recipe.export
    out = job.out / role / "exported.onnx"
    spec = input_spec(config)
    network = lone_network.network_of(job, role)
    contract = _contract(job, spec)
    if contract is not None:
        network = replace(network, input=contract[0], input_assumed=contract[1])
    opset = config.opset or family.load("targets", job.recipe.build.target).TARGET.opset
    _make_samples(current_run, source, (spec,), network)
    # The same weights in another network are another graph: an edited model.py, or another size, is exported again.
    described = {"network": to_plain(network), "architecture": source.architecture}
    made_by = provenance.export(sha256_of(source.path), config, opset, described)

    def make() -> Artifact:
        checkpoint = family.load_module("edgekd.networks.checkpoint")
        stage = family.load_module("edgekd.convert.export")
        if source.pair_folder is not None:
            blank = checkpoint.network(source.pair_folder, role, source.sizes)
        else:
            blank = family.load_module("edgekd.networks.model_source").build_model(str(source.model)).module
        module = checkpoint.load_weights(blank, source.path)
        samples = current_run.samples["calibration"]
        made: Artifact = stage.run(
            module, stage.ExportJob(made_by, config, opset, samples, network, out, source.architecture)
        )
        return made

    return current_run.stage(f"{role} export", out, made_by, make)


def _contract(job: Job, spec: TensorSpec) -> tuple[InputContract, tuple[str, ...]] | None:
    """Return how images are fed to a network that is exported; None where the pair's task alone decides."""
    if not job.is_lone and not job.recipe.input:
        return None
    if spec.picture_layout is None and not job.recipe.input:
        return None
    return resolved(job.recipe.input, spec)


def _make_samples(
    current_run: PipelineRun, source: NetworkSource, inputs: tuple[TensorSpec, ...], network: NetworkInfo
) -> None:
    """Make the samples that the network with these inputs is checked, calibrated and scored on."""
    if warning := lone_network.assumption(network):
        current_run.reporter.warning(warning)
        current_run.notes.append(warning)
    for plan in sample_sources.plans(current_run.job, source, inputs, network):
        path = current_run.job.out / f"{plan.name}.npz"
        current_run.stage(f"{plan.name} samples", path, plan.made_by, lambda: plan.write(path))  # noqa: B023 - called now
        current_run.samples[plan.name] = SampleArchive(path)


def _simplify(current_run: PipelineRun, role: str, onnx: Artifact) -> Artifact:
    out, config = current_run.job.out / role / "simplified.onnx", current_run.job.recipe.simplify
    samples = current_run.samples["calibration"]
    return current_run.stage(
        f"{role} simplify",
        out,
        provenance.simplify(onnx.sha256, config),
        lambda: family.load_module("edgekd.convert.simplify").run(onnx, config, samples, out),
    )


def _quantize(current_run: PipelineRun, role: str, scheme: str, onnx: Artifact) -> Artifact:
    out, config = current_run.job.out / role / f"{scheme}.onnx", current_run.job.recipe.quantize
    samples = current_run.samples["calibration"]
    return current_run.stage(
        f"{role} quantize {scheme}",
        out,
        provenance.quantize(onnx.sha256, scheme, config, samples.digest),
        lambda: family.load_module("edgekd.quantize.stage").run(onnx, scheme, config, samples, out),
    )


def _build(current_run: PipelineRun, name: str, onnx: Artifact) -> Artifact | None:
    """Build with every backend of the recipe, and return the engine that will be timed. A refusal is a row, too."""
    recipe, timed = current_run.job.recipe, None
    threads = recipe.build.threads
    for backend in recipe.build.backends:
        stage_name = f"{name.replace('/', ' ')} build, {backend}"
        out = onnx.path.parent / backend / f"{onnx.path.stem}.engine"
        try:
            made_by = build.provenance(onnx.sha256, backend, threads)
            engine = current_run.stage(
                stage_name,
                out,
                made_by,
                lambda: build.run(onnx, backend, out, threads=threads),  # noqa: B023 - called now
            )
        except MachineError as err:
            current_run.reporter.stage(stage_name, "refused", str(err))
            caveat = "" if isinstance(err, MissingDependency) else build.caveat(backend)
            current_run.engine_rows.append(EngineRow(name, backend, False, caveat, str(err)))
            continue
        facts = engine.facts
        row = EngineRow(name, backend, True, facts.get("caveat", ""), facts.get("summary", ""), facts)
        current_run.engine_rows.append(row)
        if backend == recipe.bench.backend:
            timed = engine
    return timed


def _measure(current_run: PipelineRun) -> RunResult:
    """Time and score every engine that can run here, then write the result and the page."""
    job, out = current_run.job, current_run.job.out / "result.json"
    plan = bench_plan.BenchPlan(
        job.title,
        job.recipe.bench,
        feeds=current_run.samples.get("calibration"),
        evaluation=current_run.samples.get("evaluation"),
        engines=tuple(current_run.engine_rows),
        steps=tuple(current_run.summaries),
        notes=tuple(current_run.notes),
        stage_seconds=current_run.stage_seconds(),
    )
    candidates, reporter = current_run.candidates, current_run.reporter
    made_by = bench_plan.provenance(candidates, plan)
    result = current_run.stage(
        "bench",
        out,
        made_by,
        lambda: family.load_module("edgekd.bench.suite").run(candidates, plan, out, reporter),
    )
    page = job.out / "report.html"
    page_by = Provenance("report", (result.sha256,), "", {"edgekd": __version__})

    def make_page() -> Artifact:
        html: str = family.load("report.formats", "html").render_file(out)
        return publish(Artifact("report", page, made_by=page_by), html)

    current_run.stage("report", page, page_by, make_page)
    return RunResult(read_result(out), out, page)


def _report_caveat(current_run: PipelineRun) -> None:
    """Report how the source was read, where there was a choice."""
    if current_run.job.caveat:
        current_run.reporter.warning(current_run.job.caveat)


def _read_seconds(out: Path) -> dict[str, float]:
    """Read how long the stages took when they last ran; nothing where no run has left it, or it is damaged."""
    path = out / _SECONDS_FILE
    try:
        return {str(name): float(seconds) for name, seconds in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _refusal_path(path: Path) -> Path:
    return path.with_name(path.name + ".refused")


def _refusal_error(refusal: Artifact) -> CalibrationError | ParityError | BuildError:
    """Return the error that a stage raised when it last ran."""
    kinds = {cls.__name__: cls for cls in _REFUSALS}
    kind = kinds.get(str(refusal.facts.get("error")))
    if kind is None:
        raise IntegrityError(f"{refusal.path} does not say which error it keeps; delete it and run again")
    return kind(str(refusal.facts.get("message")))
