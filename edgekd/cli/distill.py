"""Train a pair's teacher, distil its student from the teacher, or adapt the student to images without labels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._options import Json, Quiet, Sets, print_json, reporter
from edgekd.pipeline import library


def command(
    pair: Annotated[str, typer.Argument(help="The pair's folder or name, or a recipe such as PAIR/small.toml.")],
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="Folder laid out as the recipe's data.layout says. Repeatable.")
    ] = None,
    unlabeled_images: Annotated[
        list[Path] | None,
        typer.Option("--unlabeled-images", help="Instead of --data: images without labels, to adapt the student to."),
    ] = None,
    role: Annotated[str, typer.Option("--role", help="Which network learns: teacher or student.")] = "student",
    teacher: Annotated[
        Path | None, typer.Option("--teacher", help="Trained teacher; the pair's own by default.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--start", help="Weights to start from; the pair's own student with --unlabeled-images, else random."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder; runs/<pair>/distill/<role>.")] = None,
    set_: Sets = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a pair's teacher, or distil its student from the teacher.

    With --unlabeled-images, fine-tune the pair's student on images without labels: the teacher's outputs are the
    targets. Training resumes from last.safetensors in the output folder. Several processes share every batch: start
    it with ``torchrun --nproc-per-node 2 -m edgekd distill ...`` or ``accelerate launch -m edgekd distill ...``.
    """
    trained = library.distill(
        pair,
        role,
        output,
        data=data or (),
        unlabeled_images=unlabeled_images or (),
        teacher=teacher,
        start=start,
        overrides=set_ or (),
        reporter=reporter(quiet),
        progress_bar=not quiet,
    )
    if os.environ.get("RANK", "0") != "0":
        return  # one of torchrun's processes prints for all
    if json_:
        print_json({"role": role, "weights": str(trained.weights), "metrics": dict(trained.metrics)})
        return
    typer.echo(trained.weights)
    if trained.metrics:
        typer.echo("  ".join(f"{name} {value:.4g}" for name, value in trained.metrics.items()))
