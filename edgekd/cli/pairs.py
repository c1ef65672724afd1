"""List the pairs at hand: student, teacher, task, and whether their weights are here."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from edgekd.core.recipe import load_recipe, pair_names, pairs_root


def command(
    json_: Annotated[bool, typer.Option("--json", help="Machine-readable, on stdout.")] = False,
) -> None:
    """List the pairs at hand: student, teacher, task, and whether their weights are here."""
    rows: list[dict[str, Any]] = []
    for name in pair_names():
        folder = pairs_root() / name
        pair = load_recipe(folder / "recipe.toml").pair
        if pair is not None:
            weights = {role: (folder / getattr(pair, role)).is_file() for role in ("teacher", "student")}
            rows.append({"pair": name, "task": pair.task, "summary": pair.summary, "weights": weights})
    if json_:
        typer.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        missing = [role for role, here in row["weights"].items() if not here]
        state = f"train first: no weights for {' and '.join(missing)}" if missing else "weights at hand"
        typer.echo(f"{row['pair']}  ({row['task']})\n    {row['summary']}; {state}")
