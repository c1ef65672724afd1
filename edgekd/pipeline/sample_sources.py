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
from edgekd.core.network_info import NetworkInfo
from edgekd.core.preprocessing import task_view
from edgekd.core.protocols import Degrades, Task
from edgekd.core.provenance import Provenance, digest_of
from edgekd.core.recipe import pairs_root
from edgekd.core.samples import Origin, Sample, write_archive
from edgekd.core.schema import parse, to_plain
from edgekd.core.tensor import TensorSpec
from edgekd.pipeline.job import Job, NetworkSource
from edgekd.pipeline.lone_network import evaluation_options

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


def plans(job: Job, source: NetworkSource, inputs: tuple[TensorSpec, ...], network: NetworkInfo) -> list[SamplePlan]:
    """Plan the calibration samples of a network and, for a task, the evaluation samples, with ground truth or without.

    Args:
        job: The user's folders, and the recipe.
        source: Where the network comes from.
        inputs: What it takes.
        network: Its task, options and input contract.

    Raises:
        InputError: A folder cannot be listed.
    """
    data = job.recipe.data
    if not network.task:
        return [_plan_without_task(job, inputs, network)]
    task = cast("Task", family.load("tasks", network.task))
    includes_preprocessing = network.includes_preprocessing or job.recipe.export.include_preprocessing
    view = task_view(task, includes_preprocessing, network.input)
    planner = _TaskPlanner(inputs[0], network, view)
    user_images = job.calibration_images
    calibration = user_images or _recipe_folder(source.pair_folder, data.calibration, "calibration")
    found = [planner.without_target("calibration", calibration or _shipped("calibration"), _origin(user_images))]
    evaluation = job.evaluation or _recipe_folder(source.pair_folder, data.evaluation, "evaluation")
    if evaluation is None:
        return found
    origin = _origin(job.evaluation)
    if _has_target(view, evaluation):
        options = evaluation_options(job) if job.evaluation else {**data.options, **data.evaluation_options}
        found.append(planner.with_target(evaluation, data.layout, options, origin))
    else:
        found.append(planner.without_target("evaluation", evaluation, origin))
    return found


@dataclass(frozen=True, slots=True)
class _TaskPlanner:
    """Plans samples for a network whose task is known.

    Attributes:
        spec: The network's input.
        network: Its task's name and options, and its input contract.
        task: As the network's caller needs it: see ``core.preprocessing.task_view``.
    """

    spec: TensorSpec
    network: NetworkInfo
    task: Task

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
        network = self.network
        described = [network.task, dict(network.task_options), to_plain(network.input)]
        return _provenance(folder, [self.spec.to_json(), described, how])

    def _network_input(self) -> Any:
        return _maker().NetworkInput(self.spec, self.task, self.network.task_options)


def _maker() -> ModuleType:
    return family.load_module("edgekd.datasets.samples")  # imports an imaging library, so only when samples are made


def _origin(user_folder: Path | None) -> Origin:
    return "shipped" if user_folder is None else "user"


def _has_target(task: Task, folder: Path) -> bool:
    """Whether images have ground truth beside them: every layout keeps it in folders of their own.

    Where the task makes its input by degrading an image, the image itself is the ground truth.
    """
    return isinstance(task, Degrades) or any(path.is_dir() for path in _listed(folder))


def _recipe_folder(pair_folder: Path | None, named: str | None, kind: str) -> Path | None:
    """Return the folder that a recipe names; edgekd's own photographs where it names none, None where it names ""."""
    if named is None:
        return _shipped(kind)
    return (pair_folder or Path()) / named if named else None


def _shipped(kind: str) -> Path:
    """Return the photographs that edgekd ships to calibrate or to evaluate on; the two sets are disjoint."""
    return pairs_root() / "edsr_from_edsr" / "pictures" / kind


def _plan_without_task(job: Job, inputs: tuple[TensorSpec, ...], network: NetworkInfo) -> SamplePlan:
    """Plan calibration samples of a network whose task nobody named."""
    contract = network.input
    user_images = job.calibration_images
    if contract is None:
        if user_images is not None:
            signature = ", ".join(map(str, inputs))
            raise InputError(
                f"--calibration-images {user_images.name} was given, but the network does not take one image: "
                f"{signature}; leave it out"
            )
        made_by = Provenance("samples", (), digest_of([spec.to_json() for spec in inputs]))
        return SamplePlan("calibration", made_by, "synthetic", lambda: _synthetic(inputs))
    folder = user_images or _shipped("calibration")
    description = f"images of {user_images.name}" if user_images else "photographs shipped with edgekd"
    made_by = _provenance(folder, [inputs[0].to_json(), to_plain(contract)])
    return SamplePlan(
        "calibration",
        made_by,
        _origin(user_images),
        lambda: _maker().image_samples(folder, inputs[0], contract, description),
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
