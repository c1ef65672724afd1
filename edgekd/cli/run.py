"""Run a whole recipe, or any ONNX file, through every stage to a result and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from edgekd.cli._options import (
    CalibrationImages,
    Channels,
    Classes,
    Dims,
    InputSize,
    Json,
    Layout,
    Mean,
    Model,
    Output,
    Quiet,
    Resize,
    Scale,
    Sets,
    Std,
    TaskName,
    Verbose,
    network_overrides,
    reporter,
    sizes,
)
from edgekd.core import family
from edgekd.pipeline import run
from edgekd.pipeline.job import job_from


def command(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A pair (folder or name), a checkpoint, or any ONNX file.")],
    output: Output = None,
    set_: Sets = None,
    dim: Dims = None,
    calibration_images: CalibrationImages = None,
    evaluation: Annotated[
        Path | None,
        typer.Option("--evaluation", help="Folder to measure accuracy on, laid out as the recipe's data.layout."),
    ] = None,
    model: Model = None,
    task: TaskName = None,
    classes: Classes = None,
    input_size: InputSize = None,
    mean: Mean = None,
    std: Std = None,
    scale: Scale = None,
    channels: Channels = None,
    layout: Layout = None,
    resize: Resize = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print which stage would run first, and stop.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run a whole recipe, or any ONNX file, through every stage to a result and a report.

    Stages whose inputs have not changed are skipped.
    """
    overrides = [*network_overrides(context.params), *(set_ or ())]
    job = job_from(source, output, overrides, model).with_data(calibration_images, sizes(dim), evaluation)
    done = run.run(job, reporter(quiet), dry_run=dry_run, verbose=verbose)
    if done is None:
        return
    if json_:
        typer.echo(done.result_path.read_text(), nl=False)
        return
    family.load("report.formats", "terminal").show(done.result, Console(highlight=False))
    typer.echo(f"\nresult  {done.result_path}\nreport  {done.report_path}")
