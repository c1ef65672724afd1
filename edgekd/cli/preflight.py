"""Ask TensorRT's real parser and builder, without a GPU, whether they accept an ONNX file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._options import Dims, Json, print_json, sizes
from edgekd.pipeline import library
from edgekd.pipeline.inputs import onnx_artifact

_BACKEND = "tensorrt_rtx"


def command(
    onnx: Annotated[Path, typer.Argument(help="An ONNX file.")],
    dim: Dims = None,
    json_: Json = False,
) -> None:
    """Ask TensorRT's real parser and builder, without a GPU, whether they accept an ONNX file.

    A graph that is refused ends with exit code 3 and the node to look at. The engine is thrown away: it is
    TensorRT-RTX's, which does not run on a Jetson.
    """
    with tempfile.TemporaryDirectory(prefix="edgekd-preflight-") as folder:
        onnx_file = onnx_artifact(onnx, sizes(dim), Path(folder))
        engine = library.build(onnx_file, _BACKEND, Path(folder) / "preflight.engine")
    if json_:
        print_json({"onnx": onnx.name, "accepted": True, **engine.facts})
        return
    typer.echo(f"{onnx.name}: TensorRT accepts it: {engine.facts['summary']}")
    for warning in engine.facts.get("warnings") or ():
        typer.echo(f"  warning: {warning}")
    typer.echo(engine.facts["caveat"], err=True)
