"""The report as Markdown that GitHub shows: for a README, a pull request, a step summary."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgekd.core.samples import Samples
from edgekd.report.conditions import lines
from edgekd.report.figures import Table, candidate_table, conditions_line, engine_table, notices, stage_table
from edgekd.report.gate_table import verdict_line, verdict_table
from edgekd.report.nodes import blame_head, blame_line, blame_table, node_lines
from edgekd.report.summary import verdict
from edgekd.results.gate import Verdict
from edgekd.results.result import BenchmarkResult

FILE_NAME = "report.md"


def render(result: BenchmarkResult, pictures: Samples | None = None) -> str:
    """Return the report as Markdown. Pictures are for other formats."""
    parts = [f"## {escape(result.title)}", escape(verdict(result)), table(candidate_table(result))]
    parts.append(f"<sub>{escape(conditions_line(result))}</sub>")
    if stages := stage_table(result):
        parts += ["### From picture to answer", table(stages)]
    if result.engines:
        parts += ["### Engines", table(engine_table(result.engines), text_columns=(1, 4))]
        parts += [f"> {escape(notice)}" for notice in notices(result.engines)]
    if nodes := node_lines(result):
        parts += ["### Time per node, with profiling on", _list(nodes)]
    if result.steps:
        parts += ["### Steps", _list(result.steps)]
    if seen := lines(result):
        parts += ["### While it was measured", _list(seen)]
    notes = [*result.notes, *(f"{c.name}: {note}" for c in result.candidates for note in c.notes)]
    if notes:
        parts += ["### Notes", _list(notes)]
    return "\n\n".join(parts) + "\n"


def render_verdict(verdict_: Verdict) -> str:
    """Return a gate's verdict as Markdown: for a pull request or a step summary."""
    parts = [f"## {escape(verdict_.title)}", escape(verdict_line(verdict_))]
    parts += [table(verdict_table(verdict_), text_columns=(1, 2))]
    for blame in verdict_.blames:
        parts.append(escape(blame_line(blame) if blame.why else f"{blame_head(blame)}:"))
        parts += [table(blame_table(blame), text_columns=(1,))] if blame.moved else []
    parts += [_list(verdict_.notes)] if verdict_.notes else []
    return "\n\n".join(parts) + "\n"


def table(data: Table, text_columns: Sequence[int] = ()) -> str:
    """Return a GitHub table; the first column and ``text_columns`` are left-aligned."""
    rule = [":--" if i == 0 or i in text_columns else "--:" for i in range(len(data.heads))]
    lines = [list(map(escape, data.heads)), rule, *(list(map(escape, row)) for row in data.rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def escape(text: str) -> str:
    """Make any text show as itself: no markup, no cell border, no line break, no HTML."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", flat)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {escape(line)}" for line in lines)
