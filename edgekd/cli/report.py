"""Write a result again as a terminal table, Markdown, or a self-contained page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from edgekd.bench.scoring import pictures
from edgekd.cli._options import Output
from edgekd.core import family
from edgekd.core.artifact import write_atomic
from edgekd.core.errors import UnknownName
from edgekd.results.result import read_result


def command(
    result: Annotated[Path, typer.Argument(help="A result.json.")],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="terminal, markdown, html; or bencher, benchstat, action_benchmark, trtexec_times, trtexec_profile "
            "for others' tools.",
        ),
    ] = "terminal",
    candidate: Annotated[str | None, typer.Option("--candidate", help="Write this one only.")] = None,
    output: Output = None,
) -> None:
    """Write a result again as a terminal table, Markdown, or a self-contained page."""
    writer = family.load("report.formats", format_)
    if not hasattr(writer, "render"):
        known = [
            name for name in family.names("report.formats") if hasattr(family.load("report.formats", name), "render")
        ]
        raise UnknownName.among("format of a result", format_, known)
    # A writer may want what lies beside the result, too.
    whole = getattr(writer, "render_file", None)
    if whole and not candidate:
        text = whole(result)
    else:
        found = read_result(result)
        if candidate:
            found = replace(found, candidates=(found.candidate(candidate),))
        text = writer.render(found, pictures(result))
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomic(output, text)
        typer.echo(output)
