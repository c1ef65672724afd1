"""Which samples a network is calibrated, checked and scored on: a plan that can be compared before it is made.

A pair brings pictures of its own; ``--images`` (to calibrate on) and ``--evaluation`` (to score on) bring the user's. A
foreign network whose input looks like a picture is fed the photographs that edgekd ships, and one that does not gets
synthetic numbers, good for parity and latency and refused for calibration. Every figure made with them says which it
was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from edgekd.core import family, provenance
from edgekd.core.artifact import Artifact, Provenance, digest_of, save_manifest, sha256_of
from edgekd.core.errors import InputError
from edgekd.core.preprocessing import task_view
from edgekd.core.protocols import Task
from edgekd.core.recipe import pairs_root
from edgekd.core.samples import Samples
from edgekd.core.schema import parse
from edgekd.core.tensor import TensorSpec
from edgekd.pipeline.job import Job, Origin

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
    """Plan the "calibration" samples of a network and, for a pair, the "evaluation" samples, with truth or without.

    Raises:
        InputError: A folder cannot be listed.
    """
    pair, data = job.recipe.pair, job.recipe.data
    if pair is None or origin.pair_folder is None:
        return {"calibration": _foreign(job, inputs)}
    evaluation = job.evaluation or _folder(origin.pair_folder, data.evaluation, "evaluation")
    calibration = job.images or _folder(origin.pair_folder, data.calibration, "calibration") or _shipped("calibration")
    view = task_view(cast("Task", family.load("tasks", pair.task)), job.recipe.export.embed_preprocess)
    subject = _Subject(inputs[0], pair.task, view, dict(job.recipe.task))
    found = {"calibration": subject.unlabelled("calibration", calibration)}
    if evaluation is not None and _has_truth(subject.task, evaluation):
        options = data.options if job.evaluation else {**data.options, **data.evaluation_options}
        found["evaluation"] = subject.labelled(evaluation, data.layout, options)
    elif evaluation is not None:
        found["evaluation"] = subject.unlabelled("evaluation", evaluation)
    return found


@dataclass(frozen=True, slots=True)
class _Subject:
    """A pair's network, its task by name and as it is met at the network's edge, and the task's options."""

    spec: TensorSpec
    name: str
    task: Task
    options: Mapping[str, Any]

    def unlabelled(self, name: str, folder: Path) -> Plan:
        """Plan samples of a flat folder."""
        return Plan(name, self._made_by(folder, "unlabelled"), lambda: _maker().unlabelled_samples(folder, self._fed()))

    def labelled(self, folder: Path, layout: str, options: Mapping[str, Any]) -> Plan:
        """Plan samples with their truth."""

        def make() -> Samples:
            module = family.load("datasets.layouts", layout)
            config = parse(module.Config, options, "recipe.data.options")
            made: Samples = _maker().labelled_samples(folder, self._fed(), module, config)
            return made

        return Plan("evaluation", self._made_by(folder, [layout, dict(options)]), make)

    def _made_by(self, folder: Path, how: object) -> Provenance:
        return _provenance(folder, [self.spec.to_json(), self.name, dict(self.options), how])

    def _fed(self) -> Any:
        return _maker().Subject(self.spec, self.task, self.options)


def _maker() -> ModuleType:
    return family.load_module("edgekd.datasets.samples")  # brings an imaging library, so only when samples are made


def _has_truth(task: Task, folder: Path) -> bool:
    """Whether pictures have answers beside them: every layout keeps those in folders of their own.

    Where the task makes its input by degrading a picture, the picture itself is the truth.
    """
    return hasattr(task, "degrade") or any(path.is_dir() for path in _listed(folder))


def _folder(pair_folder: Path, named: str | None, kind: str) -> Path | None:
    """Return the folder that a recipe names; edgekd's own photographs where it names none, None where it names ""."""
    if named is None:
        return _shipped(kind)
    return pair_folder / named if named else None


def _shipped(kind: str) -> Path:
    """Return the photographs that edgekd ships to calibrate or to evaluate on; neither holds one of the other."""
    return pairs_root() / "edsr_from_edsr" / "pictures" / kind


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
            lambda: family.load_module("edgekd.convert.import_onnx").synthetic_feeds(inputs, _SYNTHETIC_COUNT, 0),
        )
    folder = job.images or _shipped("calibration")
    scale = job.recipe.data.assumed_scale
    whose = f"pictures of {job.images.name}" if job.images else "of edgekd's own photographs"
    return Plan(
        "calibration",
        _provenance(folder, [inputs[0].to_json(), layout, scale]),
        lambda: _maker().image_samples(folder, inputs[0], layout, scale, whose),
    )


def _provenance(folder: Path, config: object) -> Provenance:
    """Every file's name and digest, in order: another picture, or another name for it, other samples."""
    _listed(folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    version = family.version_of("pillow") or "none"
    return Provenance("samples", tuple(map(sha256_of, paths)), digest_of([config, names]), {"pillow": version})


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as err:
        raise InputError(
            f"cannot list {folder}: {err.strerror}; a folder of PNG or JPEG pictures was expected"
        ) from err
