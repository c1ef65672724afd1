"""Which samples a network is calibrated, checked and scored on: plans that can be compared before they are made.

A pair brings images of its own; ``--calibration-images`` and ``--evaluation`` bring the user's. An imported network
whose input looks like an image is fed the photographs that edgekd ships. One whose input does not is fed synthetic
numbers, which serve for parity and latency and are refused for calibration. Every figure made with samples says which
they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from edgekd.core import family
from edgekd.core.artifact import Artifact, publish, sha256_of
from edgekd.core.errors import InputError
from edgekd.core.preprocessing import task_view
from edgekd.core.protocols import Degrades, Task
from edgekd.core.provenance import Provenance, digest_of
from edgekd.core.recipe import pairs_root
from edgekd.core.samples import Origin, Sample, write_archive
from edgekd.core.schema import parse
from edgekd.core.tensor import TensorSpec
from edgekd.pipeline.job import Job, NetworkSource

_SYNTHETIC_COUNT = 8


@dataclass(frozen=True, slots=True)
class Stream:
    """Samples that are made while they are written.

    Attributes:
        samples: One at a time.
        source: Where they are from, in words; ``{count}`` in it becomes their number.
    """

    samples: Iterable[Sample]
    source: str


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """Samples that may exist already.

    Attributes:
        name: "calibration" or "evaluation".
        made_by: What their manifest must say.
        origin: Whose they are.
        make: Starts making them.
    """

    name: str
    made_by: Provenance
    origin: Origin
    make: Callable[[], Any]

    def write(self, path: Path) -> Artifact:
        """Make the samples one by one and write them with their manifest.

        Raises:
            InputError: The folder or an image is unusable, or does not suit the network.
        """

        def write(temporary: Path) -> dict[str, Any]:
            stream = self.make()
            archive = write_archive(temporary, stream.samples, stream.source, self.origin)
            return {"digest": archive.digest, "samples": len(archive), "summary": archive.source}

        return publish(Artifact("samples", path, made_by=self.made_by), write)


def plans(job: Job, source: NetworkSource, inputs: tuple[TensorSpec, ...]) -> list[SamplePlan]:
    """Plan the calibration samples of a network and, for a pair, the evaluation samples, with ground truth or without.

    Raises:
        InputError: A folder cannot be listed.
    """
    pair, data = job.recipe.pair, job.recipe.data
    if pair is None or source.pair_folder is None:
        return [_plan_without_task(job, inputs)]
    task = cast("Task", family.load("tasks", pair.task))
    view = task_view(task, job.recipe.export.include_preprocessing)
    planner = _TaskPlanner(inputs[0], pair.task, view, dict(job.recipe.task))
    user_images = job.calibration_images
    calibration = user_images or _recipe_folder(source.pair_folder, data.calibration, "calibration")
    found = [planner.without_target("calibration", calibration or _shipped("calibration"), _origin(user_images))]
    evaluation = job.evaluation or _recipe_folder(source.pair_folder, data.evaluation, "evaluation")
    if evaluation is None:
        return found
    origin = _origin(job.evaluation)
    if _has_target(view, evaluation):
        options = data.options if job.evaluation else {**data.options, **data.evaluation_options}
        found.append(planner.with_target(evaluation, data.layout, options, origin))
    else:
        found.append(planner.without_target("evaluation", evaluation, origin))
    return found


@dataclass(frozen=True, slots=True)
class _TaskPlanner:
    """Plans samples for a network whose task is known.

    Attributes:
        spec: The network's input.
        name: The task's.
        task: As the network's caller needs it: see ``core.preprocessing.task_view``.
        options: The recipe's ``[task]``.
    """

    spec: TensorSpec
    name: str
    task: Task
    options: dict[str, Any]

    def without_target(self, name: str, folder: Path, origin: Origin) -> SamplePlan:
        """Plan samples of a flat folder."""
        make = lambda: _maker().unlabelled_samples(folder, self._network_input())  # noqa: E731 - a plan's own maker
        return SamplePlan(name, self._made_by(folder, "unlabelled"), origin, make)

    def with_target(self, folder: Path, layout: str, options: Any, origin: Origin) -> SamplePlan:
        """Plan samples with their ground truth."""

        def make() -> Any:
            module = family.load("datasets.layouts", layout)
            config = parse(module.Config, options, "data.options")
            return _maker().labelled_samples(folder, self._network_input(), module, config)

        return SamplePlan("evaluation", self._made_by(folder, [layout, dict(options)]), origin, make)

    def _made_by(self, folder: Path, how: object) -> Provenance:
        return _provenance(folder, [self.spec.to_json(), self.name, self.options, how])

    def _network_input(self) -> Any:
        return _maker().NetworkInput(self.spec, self.task, self.options)


def _maker() -> ModuleType:
    return family.load_module("edgekd.datasets.samples")  # imports an imaging library, so only when samples are made


def _origin(user_folder: Path | None) -> Origin:
    return "shipped" if user_folder is None else "user"


def _has_target(task: Task, folder: Path) -> bool:
    """Whether images have ground truth beside them: every layout keeps it in folders of their own.

    Where the task makes its input by degrading an image, the image itself is the ground truth.
    """
    return isinstance(task, Degrades) or any(path.is_dir() for path in _listed(folder))


def _recipe_folder(pair_folder: Path, named: str | None, kind: str) -> Path | None:
    """Return the folder that a recipe names; edgekd's own photographs where it names none, None where it names ""."""
    if named is None:
        return _shipped(kind)
    return pair_folder / named if named else None


def _shipped(kind: str) -> Path:
    """Return the photographs that edgekd ships to calibrate or to evaluate on; the two sets are disjoint."""
    return pairs_root() / "edsr_from_edsr" / "pictures" / kind


def _plan_without_task(job: Job, inputs: tuple[TensorSpec, ...]) -> SamplePlan:
    """Plan calibration samples of a network whose task nobody named."""
    layout = inputs[0].picture_layout if len(inputs) == 1 else None
    user_images = job.calibration_images
    if layout is None:
        if user_images is not None:
            signature = ", ".join(map(str, inputs))
            raise InputError(
                f"--calibration-images {user_images.name} was given, but the network does not take one image: "
                f"{signature}; leave it out"
            )
        made_by = Provenance("samples", (), digest_of([spec.to_json() for spec in inputs]))
        return SamplePlan("calibration", made_by, "synthetic", lambda: _synthetic(inputs))
    folder, scale = user_images or _shipped("calibration"), job.recipe.data.assumed_scale
    description = f"images of {user_images.name}" if user_images else "photographs shipped with edgekd"
    made_by = _provenance(folder, [inputs[0].to_json(), layout, scale])
    return SamplePlan(
        "calibration",
        made_by,
        _origin(user_images),
        lambda: _maker().image_samples(folder, inputs[0], scale, description),
    )


def _synthetic(inputs: tuple[TensorSpec, ...]) -> Stream:
    samples = family.load_module("edgekd.convert.import_onnx").synthetic_feeds(inputs, _SYNTHETIC_COUNT, 0)
    return Stream(samples, samples.source)


def _provenance(folder: Path, config: object) -> Provenance:
    """Digest every file and its name, in order: another image, or another name for it, makes other samples."""
    _listed(folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    version = family.version_of("pillow") or "none"
    return Provenance("samples", tuple(map(sha256_of, paths)), digest_of([config, names]), {"pillow": version})


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as err:
        raise InputError(f"cannot list {folder}: {err.strerror}; a folder of PNG or JPEG images was expected") from err
