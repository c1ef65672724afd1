"""Print a result or a verdict, or write it as Markdown, a self-contained page, or for other tools."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from edgekd.bench.previews import load_previews
from edgekd.cli._options import Reports, report_paths
from edgekd.core.artifact import write_atomic
from edgekd.core.errors import InputError
from edgekd.pipeline import library
from edgekd.report.format import ResultFileFormat, result_format, verdict_format
from edgekd.results.gate import Verdict
from edgekd.results.result import BenchmarkResult


def command(
    file: Annotated[Path, typer.Argument(help="A result.json, or a verdict that the gate wrote.")],
    report: Reports = None,
    candidate: Annotated[str | None, typer.Option("--candidate", help="Of a result: this candidate only.")] = None,
) -> None:
    """Print a result or a verdict, or write it with --report FORMAT=PATH."""
    found = library.load(file)
    if not isinstance(found, (BenchmarkResult, Verdict)):
        raise InputError(f"{file} is neither a result nor a verdict; give the result.json of a run")
    reports = report_paths(report)
    texts = [(_text(found, name, file, candidate), path) for name, path in reports]
    for text, path in texts:  # written once all formats are known to be good
        write_atomic(path, text)
        typer.echo(path)
    if not reports:
        typer.echo(_text(found, "terminal", file, candidate), nl=False)


def _text(found: BenchmarkResult | Verdict, format_name: str, file: Path, candidate: str | None) -> str:
    if isinstance(found, Verdict):
        return verdict_format(format_name).render_verdict(found)
    writer = result_format(format_name)
    if isinstance(writer, ResultFileFormat) and candidate is None:
        return writer.render_file(file)
    if candidate is not None:
        found = replace(found, candidates=(found.candidate(candidate),))
    return writer.render(found, load_previews(file))
