"""What the user gives a verb, a path or an object, as the object that the stages take."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from edgekd.core import family
from edgekd.core.artifact import Artifact, manifest_path, read_artifact
from edgekd.core.config import Recipe
from edgekd.core.errors import InputError, RecipeError
from edgekd.core.input_contract import InputContract, resolved
from edgekd.core.network_info import NetworkInfo
from edgekd.core.recipe import read_toml
from edgekd.core.samples import SampleArchive, SampleSource
from edgekd.core.schema import parse
from edgekd.pipeline import sample_sources
from edgekd.pipeline.job import Job, NetworkSource
from edgekd.results.gate import Limits
from edgekd.results.result import BenchmarkResult, read_result
from edgekd.runtime import build

PathLike = str | Path
# What the gate checks where no limits are given.
DEFAULT_LIMITS = Limits(latency=0.03, peak_memory=0.05, engine_size=0.05)
# Archives that a verb has made for itself; they are deleted when the interpreter ends.
_TEMPORARY: list[tempfile.TemporaryDirectory[str]] = []


def read_limits(path: Path) -> Limits:
    """Read a limits.toml.

    Raises:
        InputError: It does not exist.
        RecipeError: It is not TOML, has an unknown figure, a value that is no limit, or checks nothing.
    """
    data = read_toml(path, "a limits.toml")
    if set(data) != {"limits"}:
        raise RecipeError(f"{path} has {', '.join(data) or 'nothing'}; one table was expected: [limits]")
    limits = parse(Limits, data["limits"], "limits")
    if not limits.enabled():
        raise RecipeError(f"{path} checks nothing; [limits] takes {', '.join(Limits.__slots__)}")
    return limits


def onnx_artifact(
    onnx: PathLike | Artifact, dims: Mapping[str, int], folder: Path, contract: InputContract | None = None
) -> Artifact:
    """Return an ONNX file as an artifact; one without a manifest is imported into ``folder``.

    What the user says of its input, ``contract``, precedes what the file or its manifest says.

    Raises:
        InputError: There is no such file, or it cannot be imported.
        IntegrityError: It has changed since its manifest was written.
    """
    path = onnx.path if isinstance(onnx, Artifact) else Path(onnx)
    if not path.is_file():
        raise InputError(f"{path} does not exist; an ONNX file was expected")
    if isinstance(onnx, Artifact) or manifest_path(path).exists():
        artifact = read_artifact(path)
        if artifact.kind != "onnx":
            raise InputError(f"{path} is a file of kind {artifact.kind!r}; an ONNX file was expected")
        return _with_contract(artifact, contract) if contract else artifact
    out = folder / f"{path.stem}.imported.onnx"
    network = NetworkInfo(role="model", title=path.stem, input=contract or None)
    imported: Artifact = family.load_module("edgekd.convert.import_onnx").run(path, dims, None, out, network)
    return imported


def _with_contract(artifact: Artifact, contract: InputContract) -> Artifact:
    """Return an ONNX artifact whose network is fed as the user says."""
    network = artifact.network or NetworkInfo(role="model", title=artifact.path.stem)
    if len(artifact.inputs) != 1:
        raise InputError(f"[input] was given, but {artifact.path} takes {', '.join(map(str, artifact.inputs))}")
    known, assumed = resolved(contract.or_else(network.input or InputContract()), artifact.inputs[0])
    return replace(artifact, network=replace(network, input=known, input_assumed=assumed))


def samples_for(
    onnx: Artifact, samples: PathLike | SampleSource | None, calibration_images: PathLike | None, recipe: Recipe
) -> SampleSource:
    """Return what a network is checked or calibrated on: given samples, the user's images, or the default.

    Samples of images are written to a temporary archive, which lives as long as this process.
    """
    given = samples_of(samples)
    if given is not None:
        return given
    job = Job(onnx.path.stem, recipe, {}, onnx.path.parent, path_of(calibration_images))
    network = onnx.network or NetworkInfo(role="model", title=onnx.path.stem)
    plan = sample_sources.plans(job, NetworkSource(onnx.path), onnx.inputs, network)[0]
    folder = tempfile.TemporaryDirectory(prefix="edgekd-samples-")
    _TEMPORARY.append(folder)
    plan.write(Path(folder.name) / "calibration.npz")
    return SampleArchive(Path(folder.name) / "calibration.npz")


def path_of(path: PathLike | None) -> Path | None:
    """Return a path, or None."""
    return None if path is None else Path(path)


def output_path(out: PathLike | None, onnx: PathLike | Artifact, suffix: str) -> Path:
    """Return where a verb writes: ``out``, else the input's path with another suffix."""
    if out is not None:
        return Path(out)
    return (onnx.path if isinstance(onnx, Artifact) else Path(onnx)).with_suffix(suffix)


def limits_of(limits: PathLike | Limits | Mapping[str, float] | None) -> Limits:
    """Return limits given as a file, as a mapping or as they are; the usual ones for None."""
    if limits is None:
        return DEFAULT_LIMITS
    if isinstance(limits, Limits):
        return limits
    return parse(Limits, limits, "limits") if isinstance(limits, Mapping) else read_limits(Path(limits))


def samples_of(samples: PathLike | SampleSource | None) -> SampleSource | None:
    """Return samples given as an archive or as they are."""
    return SampleArchive(Path(samples)) if isinstance(samples, (str, Path)) else samples


def result_of(result: PathLike | BenchmarkResult) -> BenchmarkResult:
    """Return a result given as a file or as it is."""
    return result if isinstance(result, BenchmarkResult) else read_result(Path(result))


def engine_artifact(engine: PathLike | Artifact) -> Artifact:
    """Return an engine given as a file with its manifest or as it is."""
    return engine if isinstance(engine, Artifact) else read_artifact(Path(engine))


def engine_from(network: PathLike | Artifact, folder: Path, backend: str, threads: int) -> Artifact:
    """Return an engine as it is; an ONNX file is built here, now, with ``backend``."""
    path = network.path if isinstance(network, Artifact) else Path(network)
    if path.suffix != ".onnx":
        return engine_artifact(network)
    folder.mkdir()
    onnx = onnx_artifact(network, {}, folder)
    return build.run(onnx, backend, folder / f"{path.stem}.engine", threads=threads)
