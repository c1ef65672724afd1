"""Train a pair's teacher, or distil its student from the teacher."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._options import Json, Quiet, Sets, answer
from edgekd.core import family
from edgekd.core.errors import InputError
from edgekd.core.recipe import find_recipe, load_recipe
from edgekd.core.sections import ROLES
from edgekd.job import check_names


def command(
    pair: Annotated[str, typer.Argument(help="The pair's folder or name.")],
    data: Annotated[list[Path], typer.Option("--data", help="Folder of high-resolution pictures. Repeatable.")],
    role: Annotated[str, typer.Option("--role", help="Which network learns: teacher or student.")] = "student",
    teacher: Annotated[
        Path | None, typer.Option("--teacher", help="Trained teacher; the pair's own by default.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder; runs/<pair>/distill/<role>.")] = None,
    set_: Sets = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a pair's teacher, or distil its student from the teacher.

    Resumes from last.safetensors in the output folder. Several processes share every batch: start it with
    ``torchrun --nproc-per-node 2 -m edgekd distill ...`` or ``accelerate launch -m edgekd distill ...``.
    """
    if role not in ROLES:
        raise InputError(f"--role {role!r} is neither teacher nor student")
    recipe_path = find_recipe(pair)
    recipe = load_recipe(recipe_path, set_ or ())
    check_names(recipe)
    folder = recipe_path.parent
    if recipe.pair is None:
        raise InputError(f"{recipe_path} has no [pair]; a pair's recipe needs its task")
    loop = family.load_module("edgekd.distill._loop")
    out = output or Path("runs") / folder.name / "distill" / role
    weights = loop.run(loop.Job(folder, role, teacher or folder / recipe.pair.teacher, data, out, quiet), recipe)
    if os.environ.get("RANK", "0") != "0":
        return  # one process of torchrun's answers for all
    if json_:
        answer({"role": role, "weights": str(weights)})
    else:
        typer.echo(weights)
