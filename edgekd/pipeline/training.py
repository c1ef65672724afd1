"""distill as one call: from a pair and folders of images to trained weights."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd.core import family
from edgekd.core.config import ROLES, AdaptConfig
from edgekd.core.errors import InputError
from edgekd.core.recipe import find_recipe, load_recipe, runnable_recipe
from edgekd.core.reporter import QuietReporter, Reporter
from edgekd.pipeline.inputs import PathLike, path_of
from edgekd.pipeline.job import check_names


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training leaves.

    Attributes:
        weights: The checkpoint, float16 safetensors.
        metrics: The validation scores of the weights; empty where there was nothing to validate on.
    """

    weights: Path
    metrics: Mapping[str, float]


def distill(
    pair: PathLike,
    role: str = "student",
    out: PathLike | None = None,
    *,
    data: Sequence[PathLike] = (),
    unlabeled_images: Sequence[PathLike] = (),
    teacher: PathLike | None = None,
    start: PathLike | None = None,
    overrides: Sequence[str] = (),
    reporter: Reporter | None = None,
    progress_bar: bool = False,
) -> Trained:
    """Train a pair's teacher, distil its student from the teacher, or adapt the student to images without labels.

    Args:
        pair: The pair's folder or name, or a recipe.
        role: "teacher" or "student".
        out: Folder for weights and logs; ``runs/<pair>/distill/<role>`` by default. A run that is there is resumed.
        data: Folders laid out as the recipe's ``data.layout``.
        unlabeled_images: Instead of ``data``: folders of images, for which the teacher's outputs are the targets.
        teacher: The trained teacher's checkpoint; the pair's own by default.
        start: Weights to start from; the pair's own student with ``unlabeled_images``, else random.
        overrides: Recipe keys, like "distill.student.steps=1000".
        reporter: Receives the progress.
        progress_bar: Whether a bar is drawn on stderr.

    Raises:
        InputError: An option is wrong, or contradicts another.

    Example:
        >>> overrides = ["distill.student.steps=2", "data.options.patch=8"]
        >>> edgekd.distill("pair", data=["pair/pictures"], overrides=overrides).weights.name
        'student.safetensors'
    """
    if bool(data) == bool(unlabeled_images):
        raise InputError("give either --data, images with ground truth, or --unlabeled-images, images without")
    adapt, reporter = bool(unlabeled_images), reporter or QuietReporter()
    _check(role, adapt, overrides)
    recipe_path = _recipe_path(pair, adapt, overrides, reporter)
    recipe, folder = load_recipe(recipe_path, overrides), recipe_path.parent
    check_names(recipe)
    if recipe.pair is None:
        raise InputError(f"{recipe_path} has no [pair]; a pair's recipe needs its task")
    folders = [Path(path) for path in (unlabeled_images if adapt else data)]
    out = path_of(out) or Path("runs") / folder.name / ("adapt" if adapt else f"distill/{role}")
    training = family.load_module("edgekd.distill.train")
    job = training.TrainJob(
        folder,
        role,
        path_of(teacher) or folder / recipe.pair.teacher,
        folders,
        out,
        path_of(start) or (folder / recipe.pair.student if adapt else None),
        adapt=adapt,
        quiet=not progress_bar,
        reporter=reporter,
    )
    return Trained(training.run(job, recipe), _metrics(out / "metrics.json"))


def _recipe_path(pair: PathLike, adapt: bool, overrides: Sequence[str], reporter: Reporter) -> Path:
    """Return the paper's recipe to train by; for adaptation, which starts from weights, one that has weights."""
    if not adapt:
        return find_recipe(str(pair))
    path, caveat = runnable_recipe(str(pair), overrides)
    if caveat:
        reporter.warning(caveat)
    return path


def _metrics(path: Path) -> dict[str, float]:
    """Read a training's validation scores; none where there was nothing to validate on."""
    return dict(json.loads(path.read_text())["metrics"]) if path.exists() else {}


def _check(role: str, adapt: bool, overrides: Iterable[str]) -> None:
    """Refuse a role that does not exist, and what would have no effect in adaptation."""
    if role not in ROLES:
        raise InputError(f"role {role!r} is neither teacher nor student")
    if not adapt:
        return
    if role == "teacher":
        raise InputError("--unlabeled-images adapts the student to the teacher's outputs; leave --role teacher out")
    for override in overrides:
        key = override.partition("=")[0].strip()
        field = key.removeprefix("distill.student.")
        if key != field and field.partition(".")[0] in AdaptConfig.__slots__:
            raise InputError(f"--set {key} has no effect with --unlabeled-images; set distill.adapt.{field}")
