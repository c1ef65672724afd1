"""Run pictures through an engine: pictures in; pictures, labels or classes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekd.cli._options import Json, Quiet, Sets, answer, talker
from edgekd.core import family
from edgekd.core.artifact import atomic_path, read_artifact
from edgekd.core.errors import InputError
from edgekd.core.preprocessing import task_view
from edgekd.core.recipe import recipe_from
from edgekd.runtime.predictor import Answer, answer_from


def command(
    engine: Annotated[Path, typer.Argument(help="An engine that edgekd built here.")],
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, or one folder of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results, as PNG.")] = Path("inferred"),
    set_: Sets = None,
    labels: Annotated[bool, typer.Option("--labels", help="Write class numbers as grey values, not colours.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run pictures through an engine: pictures in; pictures, labels or classes out.

    A picture of another size than the engine's goes through in overlapping tiles, or resized and back, as its task is.
    """
    artifact = read_artifact(engine)
    network = artifact.facts.get("network") or {}
    if "task" not in network:
        raise InputError(f"{engine} does not say what it is for; build it from a pair, whose recipe names its task")
    task: Any = task_view(family.load("tasks", str(network["task"])), bool(network.get("embedded")))
    options = {**json.loads(network.get("task_options", "{}")), **recipe_from({}, set_ or ()).task}
    reader = family.load_module("edgekd.datasets.pictures")
    paths = reader.picture_paths(pictures[0]) if len(pictures) == 1 and pictures[0].is_dir() else pictures
    session = family.load("backends", str(artifact.facts["backend"])).BACKEND.open(engine)
    rows = []
    try:
        for path in paths:
            found = answer_from(session, reader.read_picture(path), task, options)
            rows.append(_kept(path, found, output, labels))
            if found.picture is not None:
                talker(quiet)(f"{path.name} → {found.picture.shape[1]}x{found.picture.shape[0]}")
            if not json_:
                typer.echo(rows[-1].get("output") or f"{path.name}: {found.text}")
    finally:
        session.close()
    if json_:
        answer(rows)


def _kept(path: Path, found: Answer, folder: Path, labels: bool) -> dict[str, Any]:
    """Write what is a picture, and return what is known of the answer as plain data."""
    if labels and found.labels is None:
        raise InputError(f"--labels was given, but the engine does not label the pixels of {path}; leave it out")
    if found.picture is None:
        return {"picture": str(path), "answer": found.text, "scores": dict(found.scores or {})}
    out = folder / f"{path.stem}.png"
    drawn = found.labels.astype("uint8") if labels and found.labels is not None else found.picture
    with atomic_path(out) as temporary:
        family.load_module("edgekd.datasets.pictures").write_picture(drawn, temporary)
    return {"picture": str(path), "output": str(out)}
