"""Export a checkpoint to ONNX, and prove that it gives the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._options import Images, Json, Module, Quiet, Sets, answer, talker
from edgekd.core.errors import InputError
from edgekd.pipeline import run
from edgekd.pipeline.job import job_from


def command(
    source: Annotated[str, typer.Argument(help="A pair (folder or name), or a checkpoint with --module.")],
    role: Annotated[str, typer.Option("--role", help="Which network of a pair.")] = "student",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder; runs/<pair>.")] = None,
    set_: Sets = None,
    images: Images = None,
    module: Module = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Export a checkpoint to ONNX, and prove that it gives the same numbers."""
    job = job_from(source, output, set_ or (), module).with_data(images, {})
    name = "model" if "model" in job.origins else role
    if name not in job.origins or job.origins[name].is_onnx:
        raise InputError(f"{source} has no {name!r} to export; it has: {', '.join(job.origins)}")
    made = run.export(job, name, talker(quiet))
    if json_:
        answer({"onnx": str(made.path), "sha256": made.sha256, **made.facts})
    else:
        typer.echo(made.path)
