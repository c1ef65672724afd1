"""Export a checkpoint to ONNX, and check that it gives the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._options import (
    CalibrationImages,
    Channels,
    InputSize,
    Json,
    Layout,
    Mean,
    Model,
    Quiet,
    Resize,
    Scale,
    Sets,
    Std,
    network_overrides,
    print_json,
    reporter,
)
from edgekd.pipeline import library


def command(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A pair (folder or name), or a checkpoint with --model.")],
    role: Annotated[str, typer.Option("--role", help="Which network of a pair.")] = "student",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder; runs/<pair>.")] = None,
    set_: Sets = None,
    calibration_images: CalibrationImages = None,
    model: Model = None,
    input_size: InputSize = None,
    mean: Mean = None,
    std: Std = None,
    scale: Scale = None,
    channels: Channels = None,
    layout: Layout = None,
    resize: Resize = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Export a checkpoint to ONNX, and check that it gives the same numbers."""
    made = library.export(
        source,
        role,
        output,
        overrides=[*network_overrides(context.params), *(set_ or ())],
        model=model,
        calibration_images=calibration_images,
        reporter=reporter(quiet),
    )
    if json_:
        print_json({"onnx": str(made.path), "sha256": made.sha256, **made.facts})
    else:
        typer.echo(made.path)
