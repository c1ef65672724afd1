"""List the pairs of student and teacher: their tasks, and which recipes have their weights here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekd.core.config import ROLES
from edgekd.core.errors import RecipeError
from edgekd.core.recipe import PAPER, SMALL, load_recipe, pair_names, pairs_root


def command(
    json_: Annotated[bool, typer.Option("--json", help="Machine-readable, on stdout.")] = False,
) -> None:
    """List the pairs of student and teacher: their tasks, and which recipes have their weights here."""
    rows = [_row(pairs_root() / name) for name in pair_names()]
    if json_:
        typer.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        typer.echo(f"{row['pair']}  ({row['task']})\n    {row['summary']}; {_state(row['recipes'])}")


def _row(folder: Path) -> dict[str, Any]:
    paths = [path for path in (folder / PAPER, folder / SMALL) if path.is_file()]
    recipes = {path.name: load_recipe(path).pair for path in paths}
    paper = recipes[PAPER]
    if paper is None:
        raise RecipeError(f"{folder / PAPER} has no [pair]; a pair's recipe needs its task")
    weights = {
        name: {role: (folder / getattr(pair, role)).is_file() for role in ROLES}
        for name, pair in recipes.items()
        if pair is not None
    }
    return {"pair": folder.name, "task": paper.task, "summary": paper.summary, "recipes": weights}


def _state(recipes: Mapping[str, Mapping[str, bool]]) -> str:
    """List which recipes can be run, and which networks of the others have to be trained first."""
    parts = []
    for name, weights in recipes.items():
        missing = [role for role, here in weights.items() if not here]
        parts.append(f"{name} " + (f"has no weights for {' and '.join(missing)} yet" if missing else "has its weights"))
    return ", ".join(parts)
