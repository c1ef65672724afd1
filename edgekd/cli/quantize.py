"""Write a precision into an ONNX file: FP16 types, or INT8 Q/DQ nodes calibrated on images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._options import (
    CalibrationImages,
    Channels,
    Dims,
    InputSize,
    Json,
    Layout,
    Mean,
    Output,
    Resize,
    Samples,
    Scale,
    Sets,
    Std,
    network_overrides,
    print_json,
    sizes,
)
from edgekd.pipeline import library
from edgekd.pipeline.lone_network import assumption


def command(
    context: typer.Context,
    onnx: Annotated[Path, typer.Argument(help="An ONNX file.")],
    scheme: Annotated[str, typer.Option("--scheme", help="A file of edgekd/quantize/schemes/.")] = "int8",
    output: Output = None,
    dim: Dims = None,
    calibration_images: CalibrationImages = None,
    samples: Samples = None,
    set_: Sets = None,
    input_size: InputSize = None,
    mean: Mean = None,
    std: Std = None,
    scale: Scale = None,
    channels: Channels = None,
    layout: Layout = None,
    resize: Resize = None,
    json_: Json = False,
) -> None:
    """Write a precision into an ONNX file: FP16 types, or INT8 Q/DQ nodes calibrated on images."""
    made = library.quantize(
        onnx,
        scheme,
        output,
        samples=samples,
        calibration_images=calibration_images,
        overrides=[*network_overrides(context.params), *(set_ or ())],
        dims=sizes(dim),
    )
    if json_:
        print_json({"onnx": str(made.path), "sha256": made.sha256, **made.facts})
    else:
        typer.echo(made.path)
        typer.echo(made.facts.get("summary", ""), err=True)
        if samples is None and made.network is not None and (warning := assumption(made.network)):
            typer.echo(f"! {warning}", err=True)
