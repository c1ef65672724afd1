"""Run images through an engine: images in; images, labels or classes out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgekd.cli._options import Json, Quiet, Sets, print_json, reporter
from edgekd.core import family
from edgekd.core.artifact import atomic_path, read_artifact
from edgekd.core.errors import InputError
from edgekd.core.preprocessing import task_view
from edgekd.core.recipe import recipe_from
from edgekd.runtime.predictor import Prediction, Predictor


def command(
    engine: Annotated[Path, typer.Argument(help="An engine that edgekd built here.")],
    images: Annotated[list[Path], typer.Argument(help="Images, or one folder of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results, as PNG.")] = Path("inferred"),
    set_: Sets = None,
    labels: Annotated[bool, typer.Option("--labels", help="Write class numbers as grey values, not colours.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run images through an engine: images in; images, labels or classes out.

    An image of another size than the engine's is cut into overlapping tiles, or resized and the output resized back,
    depending on the task.
    """
    artifact = read_artifact(engine)
    network = artifact.network
    if network is None or not network.task:
        raise InputError(f"the task of {engine} is unknown; build it from a pair, whose recipe names the task")
    member: Any = family.load("tasks", network.task)
    task = task_view(member, network.includes_preprocessing, network.input)
    options = {**network.task_options, **recipe_from({}, set_ or ()).task}
    reader = family.load_module("edgekd.datasets.pictures")
    paths = reader.picture_paths(images[0]) if len(images) == 1 and images[0].is_dir() else images
    session = family.load("backends", str(artifact.facts["backend"])).BACKEND.open(engine)
    rows, progress = [], reporter(quiet)
    try:
        predictor = Predictor(session, task, options)
        for path in paths:
            found = predictor.predict(reader.read_picture(path))
            rows.append(_kept(path, found, output, labels))
            if found.picture is not None:
                progress.message(f"{path.name} → {found.picture.shape[1]}x{found.picture.shape[0]}")
            if not json_:
                typer.echo(rows[-1].get("output") or f"{path.name}: {found.text}")
    finally:
        session.close()
    if json_:
        print_json(rows)


def _kept(path: Path, found: Prediction, folder: Path, labels: bool) -> dict[str, Any]:
    """Write the picture where there is one, and return the prediction as plain data."""
    if labels and found.labels is None:
        raise InputError(f"--labels was given, but the engine does not label the pixels of {path}; leave it out")
    if found.picture is None:
        return {"picture": str(path), "answer": found.text, "scores": dict(found.scores or {})}
    out = folder / f"{path.stem}.png"
    drawn = found.labels.astype("uint8") if labels and found.labels is not None else found.picture
    with atomic_path(out) as temporary:
        family.load_module("edgekd.datasets.pictures").write_picture(drawn, temporary)
    return {"picture": str(path), "output": str(out)}
