"""Files a user gives to a single stage: with a manifest they are taken as they are, without one they are adopted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgekd.core import family
from edgekd.core.artifact import Artifact, manifest_path, read_artifact
from edgekd.core.config import Recipe
from edgekd.core.errors import InputError
from edgekd.core.samples import Samples
from edgekd.pipeline import sample_sources
from edgekd.pipeline.job import Job, Origin


def onnx_artifact(path: Path, dims: Mapping[str, int], folder: Path) -> Artifact:
    """Return an ONNX file as an artifact; one without a manifest is adopted into ``folder``.

    Raises:
        InputError: There is no such file, or it cannot be adopted.
        IntegrityError: It has changed since its manifest was written.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; an ONNX file was expected")
    if manifest_path(path).exists():
        artifact = read_artifact(path)
        if artifact.kind != "onnx":
            raise InputError(f"{path} is a file of kind {artifact.kind!r}; an ONNX file was expected")
        return artifact
    adopted: Artifact = family.load_module("edgekd.convert.import_onnx").run(
        path, dims, None, folder / f"{path.stem}.adopted.onnx"
    )
    return adopted


def samples_for(onnx: Artifact, archive: Path | None, images: Path | None, recipe: Recipe) -> Samples:
    """Return the samples a network is checked or calibrated on: an archive, the user's pictures, or the default."""
    if archive is not None:
        return Samples.load(archive)
    job = Job(onnx.path.stem, recipe, {}, onnx.path.parent, images)
    return sample_sources.plans(job, Origin(onnx.path), onnx.inputs)["calibration"].make()
