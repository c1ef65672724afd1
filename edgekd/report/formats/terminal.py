"""The report as text for a terminal: tables that fit, colour only where there is one."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from edgekd.core.samples import Samples
from edgekd.report.conditions import lines
from edgekd.report.figures import (
    Table,
    candidate_table,
    comparison_tables,
    conditions_line,
    engine_table,
    notices,
    stage_table,
)
from edgekd.report.gate_table import verdict_line, verdict_table
from edgekd.report.nodes import blame_head, blame_line, blame_table, node_lines
from edgekd.report.summary import verdict
from edgekd.results.compare import Comparison
from edgekd.results.gate import Verdict
from edgekd.results.result import BenchmarkResult

FILE_NAME = "report.txt"

_LONG = 120  # characters of what a library said
# Of the main table, in two halves where one line has no room for all of it.
_SPEED = ("candidate", "p50 ms", "p90 ms", "p95 ms", "p99 ms", "per s", "vs first (95 %)")


def render(result: BenchmarkResult, pictures: Samples | None = None, *, width: int = 100) -> str:
    """Return the report as plain text, no line wider than ``width``. Pictures are for other formats."""
    return _text(lambda console: show(result, console), width)


def render_comparison(comparison: Comparison, *, width: int = 100) -> str:
    """Return a comparison as plain text."""

    def tables(console: Console) -> None:
        for table in comparison_tables(comparison):
            console.print(_rich(table, text_columns=(0, 1)))
        _say(console, "~ marks what the samples cannot tell from 1; sizes are this over the other", "dim")

    return _text(tables, width)


def render_verdict(verdict_: Verdict, *, width: int = 100) -> str:
    """Return a gate's verdict as plain text."""

    def tables(console: Console) -> None:
        console.print(_rich(verdict_table(verdict_), text_columns=(0, 1, 2)))
        for note in verdict_.notes:
            _say(console, f"! {note}", "yellow")
        for blame in verdict_.blames:
            _say(console, blame_line(blame) if blame.why else f"{blame_head(blame)}:", "dim")
            if blame.moved:
                console.print(_rich(blame_table(blame), text_columns=(0, 1)))
        _say(console, verdict_line(verdict_), "bold")

    return _text(tables, width)


def show(result: BenchmarkResult, console: Console) -> None:
    """Print the report to a console, which knows its width and whether it has colour."""
    _say(console, result.title, "bold")
    _say(console, conditions_line(result), "dim")
    for part in _fitted(_compact(candidate_table(result)), console):
        console.print(part)
    if stages := stage_table(result):
        _say(console, "From picture to answer", "bold")
        console.print(_rich(stages))
    if result.engines:
        console.print(_rich(_shortened(engine_table(result.engines)), text_columns=(0, 1, 4)))
        for notice in notices(result.engines):
            _say(console, f"! {notice}", "yellow")
    for line in (*node_lines(result), *result.steps, *lines(result)):
        _say(console, f"· {line}", "dim")
    for note in _notes(result):
        _say(console, f"! {note}", "yellow")
    console.print()
    _say(console, verdict(result), "bold")


def _text(show_on: Callable[[Console], None], width: int) -> str:
    # _environ: FORCE_COLOR and COLUMNS of whoever runs us have no say in a file.
    file = io.StringIO()
    show_on(Console(file=file, width=width, color_system=None, _environ={}))
    return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())


def _notes(result: BenchmarkResult) -> list[str]:
    return [*result.notes, *(f"{c.name}: {note}" for c in result.candidates for note in c.notes)]


def _say(console: Console, text: str, style: str) -> None:
    console.print(Padding(Text(text, style=style), 0), highlight=False)


def _compact(table: Table) -> Table:
    """Drop the precision column where every name ends in it: a terminal is narrow."""
    at = table.heads.index("precision")
    if not all(row[0].endswith(f"/{row[at]}") for row in table.rows):
        return table
    return _columns(table, [i for i in range(len(table.heads)) if i != at])


def _shortened(table: Table) -> Table:
    """Keep what a library said to a line or three; the whole of it stands in the result and on the page."""
    return Table(
        table.heads, tuple((*row[:-1], textwrap.shorten(row[-1], _LONG, placeholder=" …")) for row in table.rows)
    )


def _columns(table: Table, keep: list[int]) -> Table:
    return Table(tuple(table.heads[i] for i in keep), tuple(tuple(row[i] for i in keep) for row in table.rows))


def _fitted(table: Table, console: Console) -> list[RichTable]:
    """Return the table whole where the console has room, else as two: speed, then cost."""
    whole = _rich(table)
    if console.measure(whole, options=console.options.update(max_width=10_000)).maximum <= console.width:
        return [whole]
    speed = [i for i, head in enumerate(table.heads) if head in _SPEED]
    cost = [i for i, head in enumerate(table.heads) if i == 0 or head not in _SPEED]
    return [_rich(_columns(table, speed)), _rich(_columns(table, cost))]


def _rich(table: Table, *, text_columns: Sequence[int] = (0,)) -> RichTable:
    """Make a rich table; cells are plain text, so that "[bold]" in a name stays what it is."""
    drawn = RichTable(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for i, head in enumerate(table.heads):
        drawn.add_column(Text(head), justify="left" if i in text_columns else "right", overflow="fold", min_width=4)
    for row in table.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn
