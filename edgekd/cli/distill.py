"""Train a pair's teacher, distil its student from the teacher, or adapt the student to pictures without labels."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._options import Json, Quiet, Sets, answer
from edgekd.core import family
from edgekd.core.config import ROLES, AdaptConfig
from edgekd.core.errors import InputError
from edgekd.core.recipe import find_recipe, load_recipe, runnable_recipe
from edgekd.pipeline.job import check_names


def command(
    pair: Annotated[str, typer.Argument(help="The pair's folder or name, or a recipe such as PAIR/small.toml.")],
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="Folder laid out as the recipe's data.layout says. Repeatable.")
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option("--images", help="Instead of --data: pictures without labels, to adapt the student to."),
    ] = None,
    role: Annotated[str, typer.Option("--role", help="Which network learns: teacher or student.")] = "student",
    teacher: Annotated[
        Path | None, typer.Option("--teacher", help="Trained teacher; the pair's own by default.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--start", help="Weights to start from; the pair's own student with --images, else random."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder; runs/<pair>/distill/<role>.")] = None,
    set_: Sets = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a pair's teacher, or distil its student from the teacher.

    With --images, fine-tune the pair's student on pictures without labels: the teacher's answers are the truth.
    Goes on from last.safetensors in the output folder. Several processes share every batch: start it with
    ``torchrun --nproc-per-node 2 -m edgekd distill ...`` or ``accelerate launch -m edgekd distill ...``.
    """
    if role not in ROLES:
        raise InputError(f"--role {role!r} is neither teacher nor student")
    if bool(data) == bool(images):
        raise InputError("give either --data, pictures with their truth, or --images, pictures without")
    if images and role == "teacher":
        raise InputError("--images adapts the student to the teacher's answers; leave --role teacher out")
    if images:
        _check_sets(set_ or ())
    # Adaptation starts from weights, so it takes the recipe that has some; training takes the paper's.
    recipe_path, notice = runnable_recipe(pair, set_ or ()) if images else (find_recipe(pair), "")
    if notice:
        typer.echo(notice, err=True)
    recipe = load_recipe(recipe_path, set_ or ())
    check_names(recipe)
    folder = recipe_path.parent
    if recipe.pair is None:
        raise InputError(f"{recipe_path} has no [pair]; a pair's recipe needs its task")
    loop = family.load_module("edgekd.distill.train")
    out = output or Path("runs") / folder.name / ("adapt" if images else f"distill/{role}")
    start = start or (folder / recipe.pair.student if images else None)
    taught_by = teacher or folder / recipe.pair.teacher
    job = loop.Job(folder, role, taught_by, images or data, out, start, bool(images), quiet)
    weights = loop.run(job, recipe)
    if os.environ.get("RANK", "0") != "0":
        return  # one process of torchrun's answers for all
    metrics = json.loads((out / "metrics.json").read_text())["metrics"]
    if json_:
        answer({"role": role, "weights": str(weights), "metrics": metrics})
    else:
        typer.echo(weights)
        if metrics:
            typer.echo("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))


def _check_sets(sets: Iterable[str]) -> None:
    """Refuse what adaptation has settings of its own for: they would be put aside in silence."""
    for given in sets:
        key = given.partition("=")[0].strip()
        field = key.removeprefix("distill.student.")
        if key != field and field.partition(".")[0] in AdaptConfig.__slots__:
            raise InputError(f"--set {key} has no part in adaptation to --images; set distill.adapt.{field}")
