"""Compare the candidates of one result, or of several taken under equal conditions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._options import Json, print_json
from edgekd.core import family
from edgekd.pipeline import library


def command(
    results: Annotated[list[Path], typer.Argument(help="One result.json or more.")],
    relative_to: Annotated[
        str | None, typer.Option("--relative-to", help="Candidate that the others are compared with; the first.")
    ] = None,
    json_: Json = False,
) -> None:
    """Compare the candidates of one result, or of several taken under equal conditions.

    Ratios come with 95 % intervals over processes and blocks; "~" marks no measurable difference. Different conditions
    end with exit code 5.
    """
    comparison = library.compare(results, relative_to)
    if json_:
        print_json([asdict(row) for row in comparison.rows])
    else:
        typer.echo(family.load("report.formats", "terminal").render_comparison(comparison), nl=False)
