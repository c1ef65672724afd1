"""The report as GitHub Markdown: for a README, a pull request, a step summary."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from edgekd.core.previews import Previews
from edgekd.report.conditions import conditions_line, observations
from edgekd.report.gate_table import verdict_line, verdict_table
from edgekd.report.nodes import layer_diff_head, layer_diff_line, layer_diff_table, node_lines
from edgekd.report.summary import summary
from edgekd.report.tables import (
    Table,
    candidate_table,
    caveats,
    end_to_end_table,
    engine_table,
    notes,
    stage_time_table,
)
from edgekd.results.result import BenchmarkResult
from edgekd.results.verdict import Verdict

FILE_NAME = "report.md"


def render(result: BenchmarkResult, previews: Previews | None = None) -> str:
    """Return the report as Markdown, without pictures."""
    parts = [f"## {escape(result.title)}", escape(summary(result)), table(candidate_table(result))]
    parts.append(f"<sub>{escape(conditions_line(result))}</sub>")
    if end_to_end := end_to_end_table(result):
        parts += ["### End-to-end latency", table(end_to_end)]
    if result.engines:
        parts += ["### Engines", table(engine_table(result.engines), text_columns=(1, 4))]
        parts += [f"> {escape(caveat)}" for caveat in caveats(result.engines)]
    lists = (
        ("Time per node, with profiling on", node_lines(result)),
        ("Pipeline steps", result.steps),
        ("Observations", observations(result)),
        ("Notes", notes(result)),
    )
    for title, lines in lists:
        if lines:
            parts += [f"### {title}", _list(lines)]
    if stage_times := stage_time_table(result):
        parts += ["### Run time by stage", table(stage_times)]
    return "\n\n".join(parts) + "\n"


def render_verdict(verdict: Verdict) -> str:
    """Return a gate's verdict as Markdown, for a pull request or a step summary."""
    parts = [f"## {escape(verdict.title)}", escape(verdict_line(verdict))]
    parts.append(table(verdict_table(verdict), text_columns=(1, 2)))
    for layer_diff in verdict.layer_diffs:
        parts.append(escape(layer_diff_line(layer_diff) if layer_diff.reason else f"{layer_diff_head(layer_diff)}:"))
        if layer_diff.changes:
            parts.append(table(layer_diff_table(layer_diff), text_columns=(1,)))
    if verdict.notes:
        parts.append(_list(verdict.notes))
    return "\n\n".join(parts) + "\n"


def table(data: Table, text_columns: Sequence[int] = ()) -> str:
    """Return a GitHub table; the first column and ``text_columns`` are left-aligned."""
    rule = [":--" if i == 0 or i in text_columns else "--:" for i in range(len(data.heads))]
    lines = [list(map(escape, data.heads)), rule, *(list(map(escape, row)) for row in data.rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def escape(text: str) -> str:
    """Escape text so that it shows as itself: no markup, no cell border, no line break, no HTML."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    # "<" starts HTML, "|" ends a cell, "~" strikes out; the rest is emphasis, code and links.
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", flat)


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {escape(line)}" for line in lines)
