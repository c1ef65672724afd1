"""Run pictures through an engine: pictures in, pictures out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._options import Quiet, Sets, talker
from edgekd.core import family
from edgekd.core.artifact import atomic_path, read_artifact
from edgekd.core.errors import InputError
from edgekd.core.recipe import recipe_from
from edgekd.infer import picture_from


def command(
    engine: Annotated[Path, typer.Argument(help="An engine that edgekd built here.")],
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, or one folder of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results, as PNG.")] = Path("inferred"),
    set_: Sets = None,
    quiet: Quiet = False,
) -> None:
    """Run pictures through an engine: pictures in, pictures out.

    A picture larger than the engine's input goes through in overlapping tiles.
    """
    artifact = read_artifact(engine)
    network = artifact.facts.get("network") or {}
    if "task" not in network:
        raise InputError(f"{engine} does not say what it is for; build it from a pair, whose recipe names its task")
    task = family.load("tasks", str(network["task"]))
    options = {**json.loads(network.get("task_options", "{}")), **recipe_from({}, set_ or ()).task}
    reader = family.load_module("edgekd.datasets._pictures")
    paths = reader.picture_paths(pictures[0]) if len(pictures) == 1 and pictures[0].is_dir() else pictures
    session = family.load("backends", str(artifact.facts["backend"])).BACKEND.open(engine)
    try:
        for path in paths:
            made = picture_from(session, reader.read_picture(path), task, options)
            out = output / f"{path.stem}.png"
            with atomic_path(out) as temporary:
                reader.write_picture(made, temporary)
            talker(quiet)(f"{path.name} → {made.shape[1]}x{made.shape[0]}")
            typer.echo(out)
    finally:
        session.close()
