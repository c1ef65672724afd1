"""Export a checkpoint to ONNX, and check that it gives the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._options import CalibrationImages, Json, Module, Quiet, Sets, print_json, reporter
from edgekd.pipeline import library


def command(
    source: Annotated[str, typer.Argument(help="A pair (folder or name), or a checkpoint with --module.")],
    role: Annotated[str, typer.Option("--role", help="Which network of a pair.")] = "student",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder; runs/<pair>.")] = None,
    set_: Sets = None,
    calibration_images: CalibrationImages = None,
    module: Module = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Export a checkpoint to ONNX, and check that it gives the same numbers."""
    made = library.export(
        source,
        role,
        output,
        overrides=set_ or (),
        module=module,
        calibration_images=calibration_images,
        reporter=reporter(quiet),
    )
    if json_:
        print_json({"onnx": str(made.path), "sha256": made.sha256, **made.facts})
    else:
        typer.echo(made.path)
