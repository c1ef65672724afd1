"""Which samples a network is calibrated, checked and scored on: a plan that can be compared before it is made.

A pair brings pictures of its own; ``--images`` brings the user's. A foreign network whose input looks like a picture is
fed the photographs that edgekd ships, and one that does not gets synthetic numbers, good for parity and latency and
refused for calibration. Every figure made with them says which it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgekd import provenance
from edgekd.core import family
from edgekd.core.artifact import Artifact, Provenance, digest_of, save_manifest, sha256_of
from edgekd.core.errors import InputError
from edgekd.core.recipe import pairs_root
from edgekd.core.samples import Samples
from edgekd.core.tensor import TensorSpec
from edgekd.job import Job, Origin

_SHIPPED = "edsr_from_edsr/pictures/calibration"
_SYNTHETIC_COUNT = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """Samples that may be there already.

    Attributes:
        name: "calibration" or "evaluation".
        made_by: What their manifest must say.
        make: Makes them.
    """

    name: str
    made_by: Provenance
    make: Callable[[], Samples]

    def write(self, path: Path) -> Artifact:
        """Make the samples and write them with their manifest."""
        samples = self.make()
        samples.save(path)
        facts = {"digest": provenance.digest_of_samples(samples), "samples": len(samples), "summary": samples.source}
        artifact = Artifact("samples", path, sha256_of(path), made_by=self.made_by, facts=facts)
        save_manifest(artifact)
        return artifact


def plans(job: Job, origin: Origin, inputs: tuple[TensorSpec, ...]) -> dict[str, Plan]:
    """Plan the "calibration" samples of a network and, where its task has truths, the "evaluation" samples.

    Raises:
        InputError: A folder cannot be listed.
    """
    pair = job.recipe.pair
    if pair is None or origin.pair_folder is None:
        return {"calibration": _foreign(job, inputs)}
    folders = {
        "calibration": job.images or _beside(origin.pair_folder, job.recipe.data.calibration),
        "evaluation": _beside(origin.pair_folder, job.recipe.data.evaluation),
    }
    task = family.load("tasks", pair.task)
    options = dict(job.recipe.task)

    def plan(name: str, folder: Path) -> Plan:
        config = [inputs[0].to_json(), pair.task, options]
        return Plan(
            name,
            _provenance(folder, config),
            lambda: family.load("datasets", "samples").task_samples(folder, inputs[0], task, options),
        )

    return {name: plan(name, folder) for name, folder in folders.items() if folder is not None}


def _foreign(job: Job, inputs: tuple[TensorSpec, ...]) -> Plan:
    layout = inputs[0].picture_layout if len(inputs) == 1 else None
    if layout is None:
        if job.images is not None:
            edge = ", ".join(map(str, inputs))
            raise InputError(f"--images was given, but the network does not take one picture: {edge}; leave it out")
        config = [spec.to_json() for spec in inputs]
        made_by = Provenance("samples", (), digest_of(config))
        return Plan(
            "calibration",
            made_by,
            lambda: family.load_module("edgekd.adopt").synthetic_feeds(inputs, _SYNTHETIC_COUNT, 0),
        )
    folder = job.images or pairs_root() / _SHIPPED
    scale = job.recipe.data.assumed_scale
    whose = f"pictures of {job.images.name}" if job.images else "of edgekd's own photographs"
    return Plan(
        "calibration",
        _provenance(folder, [inputs[0].to_json(), layout, scale]),
        lambda: family.load("datasets", "samples").image_samples(folder, inputs[0], layout, scale, whose),
    )


def _beside(folder: Path, name: str | None) -> Path | None:
    return folder / name if name else None


def _provenance(folder: Path, config: object) -> Provenance:
    """Every picture's digest, in order: another picture, other samples."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as err:
        raise InputError(
            f"cannot list {folder}: {err.strerror}; a folder of PNG or JPEG pictures was expected"
        ) from err
    version = family.version_of("pillow") or "none"
    return Provenance("samples", tuple(map(sha256_of, paths)), digest_of(config), {"pillow": version})
