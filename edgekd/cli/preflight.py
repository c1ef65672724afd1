"""Ask TensorRT's real parser and builder, without a GPU, whether they take an ONNX file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._given import onnx_artifact
from edgekd.cli._options import Dims, Json, answer, sizes
from edgekd.runtime import build

_BACKEND = "tensorrt_rtx"


def command(
    onnx: Annotated[Path, typer.Argument(help="An ONNX file.")],
    dim: Dims = None,
    json_: Json = False,
) -> None:
    """Ask TensorRT's real parser and builder, without a GPU, whether they take an ONNX file.

    A graph that is refused ends with exit code 3 and the node to look at. The engine is thrown away: it is
    TensorRT-RTX's, and no way onto a Jetson.
    """
    with tempfile.TemporaryDirectory(prefix="edgekd-preflight-") as folder:
        given = onnx_artifact(onnx, sizes(dim), Path(folder))
        engine = build.run(given, _BACKEND, Path(folder) / "preflight.engine")
    if json_:
        answer({"onnx": onnx.name, "accepted": True, **engine.facts})
        return
    typer.echo(f"{onnx.name}: TensorRT takes it: {engine.facts['summary']}")
    for warning in engine.facts.get("warnings") or ():
        typer.echo(f"  it warns: {warning}")
    typer.echo(engine.facts["notice"], err=True)
