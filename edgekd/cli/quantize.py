"""Write a precision into an ONNX file: FP16 types, or INT8 Q/DQ nodes calibrated on pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._given import onnx_artifact, samples_for
from edgekd.cli._options import Dims, Images, Json, Output, Samples, Sets, answer, sizes
from edgekd.core import family
from edgekd.core.recipe import recipe_from
from edgekd.pipeline.job import check_names


def command(
    onnx: Annotated[Path, typer.Argument(help="An ONNX file.")],
    output: Output = None,
    dim: Dims = None,
    images: Images = None,
    samples: Samples = None,
    set_: Sets = None,
    json_: Json = False,
) -> None:
    """Write a precision into an ONNX file: FP16 types, or INT8 Q/DQ nodes calibrated on pictures.

    Which one is a recipe key: ``--set quantize.scheme=int8``.
    """
    recipe = recipe_from({}, set_ or ())
    check_names(recipe)
    scheme = recipe.quantize.scheme
    out = output or onnx.with_suffix(f".{scheme}.onnx")
    given = onnx_artifact(onnx, sizes(dim), out.parent)
    stage = family.load("quantize.schemes", scheme)
    made = stage.quantize(given, recipe.quantize, samples_for(given, samples, images, recipe), out)
    if json_:
        answer({"onnx": str(out), "sha256": made.sha256, **made.facts})
    else:
        typer.echo(out)
        typer.echo(made.facts.get("summary", ""), err=True)
