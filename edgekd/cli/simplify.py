"""Make an ONNX file smaller, and prove that it still gives the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._given import onnx_artifact, samples_for
from edgekd.cli._options import Dims, Images, Json, Output, Samples, Sets, answer, sizes
from edgekd.core import family
from edgekd.core.recipe import recipe_from


def command(
    onnx: Annotated[Path, typer.Argument(help="An ONNX file.")],
    output: Output = None,
    dim: Dims = None,
    images: Images = None,
    samples: Samples = None,
    set_: Sets = None,
    json_: Json = False,
) -> None:
    """Make an ONNX file smaller, and prove that it still gives the same numbers; if it does not, the input stands."""
    recipe = recipe_from({}, set_ or ())
    out = output or onnx.with_suffix(".simplified.onnx")
    given = onnx_artifact(onnx, sizes(dim), out.parent)
    stage = family.load_module("edgekd.convert.simplify")
    made = stage.run(given, recipe.simplify, samples_for(given, samples, images, recipe), out)
    if json_:
        answer({"onnx": str(out), "sha256": made.sha256, **made.facts})
    else:
        typer.echo(out)
        typer.echo(made.facts.get("summary", ""), err=True)
