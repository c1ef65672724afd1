"""Build an engine from an ONNX file, on the machine that will run it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._options import Dims, Json, Output, print_json, sizes
from edgekd.pipeline import library


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
    engine = library.build(onnx, backend, output, threads=threads, dims=sizes(dim))
    if json_:
        print_json({"engine": str(engine.path), "sha256": engine.sha256, **engine.facts})
        return
    typer.echo(engine.path)
    typer.echo("; ".join(filter(None, (engine.facts.get("summary"), engine.facts.get("caveat")))), err=True)
