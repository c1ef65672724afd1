"""Build an engine from an ONNX file, on the machine that will run it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._given import onnx_artifact
from edgekd.cli._options import Dims, Json, Output, answer, sizes
from edgekd.runtime import build


def command(
    onnx: Annotated[Path, typer.Argument(help="An ONNX file.")],
    backend: Annotated[
        str, typer.Option("--backend", help="Engine library: a file of edgekd/backends/.")
    ] = "onnxruntime",
    output: Output = None,
    dim: Dims = None,
    threads: Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0 is every core.")] = 0,
    json_: Json = False,
) -> None:
    """Build an engine from an ONNX file, on the machine that will run it."""
    out = output or onnx.with_suffix(".engine")
    engine = build.run(onnx_artifact(onnx, sizes(dim), out.parent), backend, out, threads=threads)
    if json_:
        answer({"engine": str(out), "sha256": engine.sha256, **engine.facts})
        return
    typer.echo(out)
    typer.echo("; ".join(filter(None, (engine.facts.get("summary"), engine.facts.get("notice")))), err=True)
