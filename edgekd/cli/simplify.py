"""Simplify an ONNX file, and check that it still gives the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._options import CalibrationImages, Dims, Json, Output, Samples, Sets, print_json, sizes
from edgekd.pipeline import library


def command(
    onnx: Annotated[Path, typer.Argument(help="An ONNX file.")],
    output: Output = None,
    dim: Dims = None,
    calibration_images: CalibrationImages = None,
    samples: Samples = None,
    set_: Sets = None,
    json_: Json = False,
) -> None:
    """Simplify an ONNX file, and check that it still gives the same numbers; where it does not, the input stands."""
    made = library.simplify(
        onnx,
        output,
        samples=samples,
        calibration_images=calibration_images,
        overrides=set_ or (),
        dims=sizes(dim),
    )
    if json_:
        print_json({"onnx": str(made.path), "sha256": made.sha256, **made.facts})
    else:
        typer.echo(made.path)
        typer.echo(made.facts.get("summary", ""), err=True)
