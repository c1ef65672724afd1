"""The report as text for a terminal: tables that fit its width, colour only where it has colour."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from edgekd.core.previews import Previews
from edgekd.report.conditions import conditions_line, observations
from edgekd.report.gate_table import verdict_line, verdict_table
from edgekd.report.nodes import layer_diff_head, layer_diff_line, layer_diff_table, node_lines
from edgekd.report.summary import summary
from edgekd.report.tables import (
    SPEEDUP_HEAD,
    Table,
    candidate_table,
    caveats,
    comparison_tables,
    end_to_end_table,
    engine_table,
    notes,
    stage_time_table,
)
from edgekd.results.compare import Comparison
from edgekd.results.result import BenchmarkResult
from edgekd.results.verdict import Verdict

FILE_NAME = "report.txt"

_LOG_LENGTH = 120  # characters of a build log: three lines of its column
# The main table is split where it is too wide for one line: these columns, then the others.
_SPEED_HEADS = ("candidate", "p50 ms", "p90 ms", "p95 ms", "p99 ms", "samples/s", SPEEDUP_HEAD)


def render(result: BenchmarkResult, previews: Previews | None = None, *, width: int = 100) -> str:
    """Return the report as plain text without pictures, no line wider than ``width`` characters."""
    return _text(lambda console: show(result, console), width)


def render_comparison(comparison: Comparison, *, width: int = 100) -> str:
    """Return a comparison as plain text."""

    def tables(console: Console) -> None:
        for table in comparison_tables(comparison):
            console.print(_rich(table, text_columns=(0, 1)))
        _print(console, "~ no measurable difference: the interval contains 1, or there are too few rounds", "dim")
        _print(console, "Sizes are ratios, candidate over reference.", "dim")

    return _text(tables, width)


def render_verdict(verdict: Verdict, *, width: int = 100) -> str:
    """Return a gate's verdict as plain text."""

    def tables(console: Console) -> None:
        console.print(_rich(verdict_table(verdict), text_columns=(0, 1, 2)))
        for note in verdict.notes:
            _print(console, f"! {note}", "yellow")
        for layer_diff in verdict.layer_diffs:
            line = layer_diff_line(layer_diff) if layer_diff.reason else f"{layer_diff_head(layer_diff)}:"
            _print(console, line, "dim")
            if layer_diff.changes:
                console.print(_rich(layer_diff_table(layer_diff), text_columns=(0, 1)))
        _print(console, verdict_line(verdict), "bold")

    return _text(tables, width)


def show(result: BenchmarkResult, console: Console) -> None:
    """Print the report to a console, which knows its width and whether it has colour."""
    _print(console, result.title, "bold")
    _print(console, conditions_line(result), "dim")
    for part in _fitted(_without_precision(candidate_table(result)), console):
        console.print(part)
    if end_to_end := end_to_end_table(result):
        _print(console, "End-to-end latency", "bold")
        console.print(_rich(end_to_end))
    if result.engines:
        console.print(_rich(_shortened(engine_table(result.engines)), text_columns=(0, 1, 4)))
        for caveat in caveats(result.engines):
            _print(console, f"! {caveat}", "yellow")
    for line in (*node_lines(result), *result.steps, *observations(result)):
        _print(console, f"· {line}", "dim")
    for note in notes(result):
        _print(console, f"! {note}", "yellow")
    if stage_times := stage_time_table(result):
        _print(console, "Run time by stage", "bold")
        console.print(_rich(stage_times))
    console.print()
    _print(console, summary(result), "bold")


def _text(show_on: Callable[[Console], None], width: int) -> str:
    # An empty _environ: FORCE_COLOR and COLUMNS of the caller must not change a file.
    file = io.StringIO()
    show_on(Console(file=file, width=width, color_system=None, _environ={}))
    return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())


def _print(console: Console, text: str, style: str) -> None:
    # Padding makes rich fill the line, so that it wraps at words; no highlighting of numbers and paths.
    console.print(Padding(Text(text, style=style), 0), highlight=False)


def _without_precision(table: Table) -> Table:
    """Drop the precision column where every candidate's name contains its precision: a terminal is narrow."""
    at = table.heads.index("precision")
    if not all(row[at] in row[0].split("/")[1:] for row in table.rows):
        return table
    return _columns(table, [i for i in range(len(table.heads)) if i != at])


def _shortened(table: Table) -> Table:
    """Shorten the build logs; they are complete in the result and on the page."""
    rows = [(*row[:-1], textwrap.shorten(row[-1], _LOG_LENGTH, placeholder=" …")) for row in table.rows]
    return Table(table.heads, tuple(rows))


def _columns(table: Table, keep: list[int]) -> Table:
    rows = [tuple(row[i] for i in keep) for row in table.rows]
    return Table(tuple(table.heads[i] for i in keep), tuple(rows))


def _fitted(table: Table, console: Console) -> list[RichTable]:
    """Return the whole table if the console is wide enough, else two: speed, then cost."""
    whole = _rich(table)
    if console.measure(whole, options=console.options.update(max_width=10_000)).maximum <= console.width:
        return [whole]
    speed = [i for i, head in enumerate(table.heads) if head in _SPEED_HEADS]
    cost = [i for i, head in enumerate(table.heads) if i == 0 or head not in _SPEED_HEADS]
    return [_rich(_columns(table, speed)), _rich(_columns(table, cost))]


def _rich(table: Table, *, text_columns: Sequence[int] = (0,)) -> RichTable:
    """Make a rich table; cells are Text, so that "[bold]" in a name is not markup."""
    drawn = RichTable(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for i, head in enumerate(table.heads):
        drawn.add_column(Text(head), justify="left" if i in text_columns else "right", overflow="fold", min_width=4)
    for row in table.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn
