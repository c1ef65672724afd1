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


def command(
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
    contract = {
        "size": input_size, "mean": mean, "std": std, "scale": scale, "channels": channels, "layout": layout,
        "resize": resize,
    }  # fmt: skip
    made = library.quantize(
        onnx,
        scheme,
        output,
        samples=samples,
        calibration_images=calibration_images,
        overrides=[*network_overrides(contract), *(set_ or ())],
        dims=sizes(dim),
    )
    if json_:
        print_json({"onnx": str(made.path), "sha256": made.sha256, **made.facts})
    else:
        typer.echo(made.path)
        typer.echo(made.facts.get("summary", ""), err=True)
