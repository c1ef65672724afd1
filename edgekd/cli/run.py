"""Run a whole recipe, or any ONNX file, through every stage to a result and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from edgekd.cli._options import Dims, Images, Json, Module, Output, Quiet, Sets, Verbose, progress_bar, sizes, talker
from edgekd.core import family
from edgekd.pipeline import run
from edgekd.pipeline.job import job_from


def command(
    source: Annotated[str, typer.Argument(help="A pair (folder or name), a checkpoint, or any ONNX file.")],
    output: Output = None,
    set_: Sets = None,
    dim: Dims = None,
    images: Images = None,
    evaluation: Annotated[
        Path | None,
        typer.Option("--evaluation", help="Folder of your own pictures to score on, as the recipe's layout has them."),
    ] = None,
    module: Module = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run first, and stop.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run a whole recipe, or any ONNX file, through every stage to a result and a report.

    What is there already, made from the same files with the same settings and versions, is not made again.
    """
    job = job_from(source, output, set_ or (), module)
    job = job.with_data(images, sizes(dim), evaluation)
    done = run.run(run.Walk(job, talker(quiet), progress_bar(quiet), dry_run, verbose))
    if done is None:
        return
    if json_:
        typer.echo(done.result_path.read_text(), nl=False)
        return
    family.load("report.formats", "terminal").show(done.result, Console(highlight=False))
    typer.echo(f"\nresult  {done.result_path}\nreport  {done.report_path}")
