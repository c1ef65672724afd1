"""Compare the candidates of one result, or of several taken under equal conditions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._options import Json, answer
from edgekd.core import family
from edgekd.results.compare import compare
from edgekd.results.result import read_result


def command(
    results: Annotated[list[Path], typer.Argument(help="One result.json or more.")],
    baseline: Annotated[str | None, typer.Option("--baseline", help="Candidate to compare with; the first.")] = None,
    json_: Json = False,
) -> None:
    """Compare the candidates of one result, or of several taken under equal conditions.

    Ratios come with 95 % intervals over processes and blocks; "~" where the samples cannot tell. Unlike conditions:
    exit 5.
    """
    comparison = compare([read_result(path) for path in results], baseline)
    if json_:
        answer([asdict(row) for row in comparison.rows])
    else:
        typer.echo(family.load("report.formats", "terminal").render_comparison(comparison), nl=False)
