"""The public library: one function per verb, on paths or on objects, offered as ``edgekd.<verb>``.

The command line parses, calls one of these and prints what it returns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgekd.bench import paired, suite
from edgekd.bench.plan import plan_of
from edgekd.core import family
from edgekd.core.artifact import Artifact, manifest_path, read_artifact
from edgekd.core.config import ROLES, Recipe
from edgekd.core.errors import InputError
from edgekd.core.recipe import load_recipe, recipe_from
from edgekd.core.reporter import QuietReporter, Reporter
from edgekd.core.samples import SampleArchive, SampleSource
from edgekd.core.schema import to_plain
from edgekd.pipeline import run as pipeline
from edgekd.pipeline.inputs import (
    PathLike,
    engine_artifact,
    engine_from,
    limits_of,
    onnx_artifact,
    output_path,
    path_of,
    result_of,
    samples_for,
    samples_of,
)
from edgekd.pipeline.job import check_names, job_from
from edgekd.pipeline.run import RunResult
from edgekd.pipeline.training import Trained, distill
from edgekd.results import compare as comparing
from edgekd.results import gate as gating
from edgekd.results.compare import Comparison
from edgekd.results.gate import Limits, Verdict, read_verdict
from edgekd.results.result import BenchmarkResult, read_result
from edgekd.runtime import build as building

__all__ = [
    "Trained",
    "bench",
    "build",
    "compare",
    "distill",
    "export",
    "gate",
    "load",
    "quantize",
    "run",
    "simplify",
]


def run(
    source: PathLike,
    out: PathLike | None = None,
    *,
    overrides: Sequence[str] = (),
    model: str | None = None,
    calibration_images: PathLike | None = None,
    evaluation: PathLike | None = None,
    dims: Mapping[str, int] | None = None,
    reporter: Reporter | None = None,
) -> RunResult:
    """Run a pair, a checkpoint or an ONNX file through every stage to a result and a page.

    Args:
        source: A pair's folder or name, a recipe, a checkpoint (with ``model``), or an ONNX file.
        out: Folder to write into; ``runs/<title>`` by default. Stages that are up to date there are skipped.
        overrides: Recipe keys, like "bench.processes=3".
        model: What builds the network of a lone checkpoint: "timm:NAME?num_classes=10", "torchvision:NAME",
            "path.py:function" or "package.module:function".
        calibration_images: Folder of images to calibrate on, instead of the recipe's.
        evaluation: Folder to measure accuracy on, laid out as the recipe's ``data.layout``.
        dims: Size of each dynamic dimension of an ONNX file, by name.
        reporter: Receives the progress; quiet by default.

    Raises:
        InputError: The source or an option is wrong.
        MachineError: A library refuses, or this machine cannot.

    Example:
        >>> overrides = ["bench.processes=1", "bench.budget_s=1", 'build.backends=["onnxruntime"]']
        >>> done = edgekd.run("net.onnx", overrides=overrides)
        >>> [candidate.name for candidate in done.result.candidates]
        ['model/fp32', 'model/fp16', 'model/int8']
    """
    job = job_from(str(source), path_of(out), overrides, model).with_data(
        path_of(calibration_images), dict(dims or {}), path_of(evaluation)
    )
    done = pipeline.run(job, reporter)
    assert done is not None  # only a dry run returns None
    return done


def export(
    source: PathLike,
    role: str = "student",
    out: PathLike | None = None,
    *,
    overrides: Sequence[str] = (),
    model: str | None = None,
    calibration_images: PathLike | None = None,
    reporter: Reporter | None = None,
) -> Artifact:
    """Export a checkpoint to ONNX and check that it gives the same numbers.

    Args:
        source: A pair's folder or name, or a checkpoint (with ``model``).
        role: Which network of a pair.
        out: Folder to write into; ``runs/<title>`` by default.
        overrides: Recipe keys, like "export.opset=17".
        model: What builds the network of a lone checkpoint: "timm:NAME?num_classes=10", "torchvision:NAME",
            "path.py:function" or "package.module:function".
        calibration_images: Folder of images that both networks are compared on.
        reporter: Receives the progress.

    Returns:
        The ONNX file, with parity in its facts.

    Raises:
        InputError: There is no such network to export.
        ParityError: The ONNX file gives other numbers.

    Example:
        >>> edgekd.export("pair", "student").network.role
        'student'
    """
    # An unknown role is answered below with those that there are.
    roles = (role,) if role in ROLES else ROLES
    job = job_from(str(source), path_of(out), overrides, model, roles).with_data(path_of(calibration_images), {})
    name = "model" if "model" in job.sources else role
    if name not in job.sources or job.sources[name].is_onnx:
        raise InputError(f"{source} has no {name!r} to export; it has: {', '.join(job.sources)}")
    return pipeline.export(job, name, reporter)


def simplify(
    onnx: PathLike | Artifact,
    out: PathLike | None = None,
    *,
    samples: PathLike | SampleSource | None = None,
    calibration_images: PathLike | None = None,
    overrides: Sequence[str] = (),
    dims: Mapping[str, int] | None = None,
) -> Artifact:
    """Simplify an ONNX file and check that it gives the same numbers; where it does not, the input stands.

    Args:
        onnx: Any ONNX file, or what another verb returned.
        out: The file to write; ``<name>.simplified.onnx`` by default.
        samples: What both graphs are compared on.
        calibration_images: A folder of images instead.
        overrides: Recipe keys, like "simplify.tolerance=1e-3".
        dims: Size of each dynamic dimension, by name.

    Raises:
        InputError: The file cannot be read, or does not run on the samples.

    Example:
        >>> edgekd.simplify("net.onnx").path.name
        'net.simplified.onnx'
    """
    recipe = recipe_from({}, overrides)
    out = output_path(out, onnx, ".simplified.onnx")
    artifact = onnx_artifact(onnx, dims or {}, out.parent, recipe.input)
    source = samples_for(artifact, samples, calibration_images, recipe)
    made: Artifact = family.load_module("edgekd.convert.simplify").run(artifact, recipe.simplify, source, out)
    return made


def quantize(
    onnx: PathLike | Artifact,
    scheme: str = "int8",
    out: PathLike | None = None,
    *,
    samples: PathLike | SampleSource | None = None,
    calibration_images: PathLike | None = None,
    overrides: Sequence[str] = (),
    dims: Mapping[str, int] | None = None,
) -> Artifact:
    """Write a precision into an ONNX file: FP16 types, or INT8 Q/DQ nodes calibrated on images.

    Args:
        onnx: Any ONNX file, or what another verb returned.
        scheme: A file of ``edgekd/quantize/schemes/``.
        out: The file to write; ``<name>.<scheme>.onnx`` by default.
        samples: What it is calibrated on.
        calibration_images: A folder of images instead.
        overrides: Recipe keys, like "quantize.options.int8.calibration=percentile".
        dims: Size of each dynamic dimension, by name.

    Raises:
        CalibrationError: The samples are too few, or synthetic.
        ParityError: The quantized graph is no longer the same network.

    Example:
        >>> made = edgekd.quantize("net.onnx", "fp16")
        >>> made.network.precision
        'fp16'
    """
    recipe = recipe_from({}, [*overrides, f'quantize.schemes=["{scheme}"]'])
    check_names(recipe)
    out = output_path(out, onnx, f".{scheme}.onnx")
    artifact = onnx_artifact(onnx, dims or {}, out.parent, recipe.input)
    source = samples_for(artifact, samples, calibration_images, recipe)
    stage = family.load_module("edgekd.quantize.stage")
    made: Artifact = stage.run(artifact, scheme, recipe.quantize, source, out)
    return made


def build(
    onnx: PathLike | Artifact,
    backend: str = "onnxruntime",
    out: PathLike | None = None,
    *,
    threads: int = 0,
    dims: Mapping[str, int] | None = None,
) -> Artifact:
    """Build an engine from an ONNX file, on the machine that will run it.

    Args:
        onnx: Any ONNX file, or what another verb returned. Its precision is the engine's.
        backend: A file of ``edgekd/backends/``.
        out: The file to write; ``<name>.engine`` by default.
        threads: CPU threads; 0 is every core.
        dims: Size of each dynamic dimension, by name.

    Raises:
        BuildError: The library refuses the graph.
        MachineError: The library, or the GPU it needs, is not here.

    Example:
        >>> edgekd.build("net.onnx", "onnxruntime").kind
        'engine'
    """
    out = output_path(out, onnx, ".engine")
    return building.run(onnx_artifact(onnx, dims or {}, out.parent), backend, out, threads=threads)


def bench(
    engines: Sequence[PathLike | Artifact],
    out: PathLike = "result.json",
    *,
    samples: PathLike | SampleSource | None = None,
    overrides: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> BenchmarkResult:
    """Time engines of one backend interleaved on this machine; with samples, measure their accuracy too.

    Args:
        engines: What ``build`` returned, or their files; the others are compared with the first.
        out: The result file.
        samples: What is fed and scored, such as a run's ``evaluation.npz``; zeros are fed where there are none.
        overrides: Recipe keys, like "bench.processes=3".
        reporter: Receives the progress.

    Raises:
        NotComparable: The engines are of several backends.
        MachineError: An engine does not run here.

    Example:
        >>> engines = [edgekd.build("net.onnx"), edgekd.build(edgekd.quantize("net.onnx", "fp16"))]
        >>> result = edgekd.bench(engines, overrides=["bench.processes=1", "bench.budget_s=1"])
        >>> [candidate.precision for candidate in result.candidates]
        ['as given', 'fp16']
    """
    artifacts = [engine_artifact(engine) for engine in engines]
    config = recipe_from({}, overrides).bench
    candidates, plan = plan_of(artifacts, config, samples_of(samples))
    suite.run(candidates, plan, Path(out), reporter or QuietReporter())
    return read_result(Path(out))


def compare(
    results: Sequence[PathLike | BenchmarkResult] | PathLike | BenchmarkResult, relative_to: str | None = None
) -> Comparison:
    """Compare the candidates of one result, or of several taken under equal conditions.

    Args:
        results: One or more.
        relative_to: The candidate that the others are compared with; the first by default.

    Raises:
        NotComparable: Conditions differ, or there is no such candidate.

    Example:
        >>> engines = [edgekd.build("net.onnx"), edgekd.build(edgekd.quantize("net.onnx", "fp16"))]
        >>> result = edgekd.bench(engines, overrides=["bench.processes=1", "bench.budget_s=1"])
        >>> edgekd.compare(result, relative_to="model/fp16").rows[0].against
        'model/fp16'
    """
    given = [results] if isinstance(results, (str, Path, BenchmarkResult)) else results
    return comparing.compare([result_of(result) for result in given], relative_to)


def gate(
    new: PathLike | Artifact | BenchmarkResult,
    *,
    against: PathLike | Artifact | None = None,
    baseline: PathLike | BenchmarkResult | None = None,
    limits: PathLike | Limits | Mapping[str, float] | None = None,
    candidates: Sequence[str] = (),
    samples: PathLike | SampleSource | None = None,
    overrides: Sequence[str] = (),
    out: PathLike | None = None,
    reporter: Reporter | None = None,
) -> Verdict:
    """Judge a new engine by the accepted one: pass, regress or inconclusive.

    Args:
        new: With ``against``, an engine or ONNX file; with ``baseline``, a result.
        against: The accepted engine or ONNX file: both are measured interleaved, now.
        baseline: The accepted result, recorded earlier under equal conditions.
        limits: How much worse the new one may be, as a file, as ``Limits`` or as {"latency": 0.03}; latency 3 %, memory
            and size 5 % by default.
        candidates: With ``baseline``: judge these only.
        samples: With ``against``: what is fed and scored.
        overrides: Recipe keys of ``[bench]``, with ``against``.
        out: With ``against``: where the raw result stays.
        reporter: Receives the progress.

    Raises:
        InputError: Neither or both of ``against`` and ``baseline`` are given.
        NotComparable: The two cannot be compared.

    Example:
        >>> options = {"limits": {"engine_size": 0.05}, "overrides": ["bench.processes=1", "bench.budget_s=1"]}
        >>> edgekd.gate("net.onnx", against="net.onnx", **options).status
        'pass'
    """
    checked = limits_of(limits)
    if (against is None) == (baseline is None):
        raise InputError("give either against (an engine, to measure both now) or baseline (a recorded result)")
    if checked.accuracy is not None and against is not None and samples is None:
        raise InputError("the limits check accuracy, and there are no samples; give a run's evaluation.npz")
    if baseline is not None:
        if isinstance(new, Artifact):
            raise InputError(f"{new.path} is an engine; with a baseline, give the new result")
        return gating.judge_recorded(result_of(new), result_of(baseline), checked, candidates)
    if isinstance(new, BenchmarkResult):
        raise InputError("new is a result; with against, give an engine or an ONNX file")
    assert against is not None  # the other case has returned
    config = recipe_from({"bench": to_plain(paired.CONFIG)}, overrides).bench
    with tempfile.TemporaryDirectory(prefix="edgekd-gate-") as folder:
        pair = [
            engine_from(network, Path(folder) / name, config.backend, config.threads)
            for name, network in ((paired.NEW, new), (paired.ACCEPTED, against))
        ]
        result_path = Path(folder) / "result.json" if out is None else Path(out)
        source = samples_of(samples)
        return paired.run((pair[0], pair[1]), checked, config, result_path, reporter or QuietReporter(), source)


def load(path: PathLike) -> Artifact | BenchmarkResult | Verdict | Recipe | SampleArchive:
    """Read any file that edgekd writes: a result, a verdict, a recipe, samples, or an ONNX file or engine.

    Raises:
        InputError: There is no such file, or edgekd does not read its kind.
        IntegrityError: It has changed since its manifest was written.

    Example:
        >>> edgekd.load("pair/recipe.toml").pair.task
        'super_resolution'
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; a file that edgekd wrote was expected")
    if path.suffix == ".toml":
        return load_recipe(path)
    if path.suffix == ".npz":
        return SampleArchive(path)
    if path.suffix == ".json":
        is_verdict = manifest_path(path).exists() and read_artifact(path).kind == "verdict"
        return read_verdict(path) if is_verdict else read_result(path)
    return read_artifact(path)
