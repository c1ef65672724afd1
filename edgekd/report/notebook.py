"""Results and verdicts as HTML for a notebook's ``_repr_html_``: small tables, inline styles, no script.

A notebook strips style sheets and scripts of an output, so each cell carries its own style.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from edgekd.report.conditions import conditions_line
from edgekd.report.gate_table import verdict_line, verdict_table
from edgekd.report.nodes import layer_diff_head, layer_diff_line, layer_diff_table
from edgekd.report.summary import summary
from edgekd.report.tables import Table, candidate_table, caveats, notes, stage_time_table
from edgekd.results.result import BenchmarkResult
from edgekd.results.verdict import Verdict

# Colours that are legible on a light and on a dark notebook.
_STATUS_COLOURS = {"pass": "#2e8b57", "regress": "#d0342c", "inconclusive": "#b7791f"}
_CELL = "padding:2px 10px;white-space:nowrap;text-align:"
_SMALL = "margin:4px 0;font-size:85%;opacity:0.75"


def result_html(result: BenchmarkResult) -> str:
    """Return a result's title, conditions, main table, caveats and summary as one HTML element."""
    parts = [
        f"<b>{html.escape(result.title)}</b>",
        _paragraph(conditions_line(result), _SMALL),
        _table(candidate_table(result), (0, 1)),
        _paragraph(summary(result)),
    ]
    parts += [_paragraph(text, _SMALL) for text in (*caveats(result.engines), *notes(result))]
    if stage_times := stage_time_table(result):
        parts += [_paragraph("Run time by stage"), _table(stage_times, (0,))]
    return f"<div>{''.join(parts)}</div>"


def verdict_html(verdict: Verdict) -> str:
    """Return a gate's verdict, its checks and the nodes a regression comes from as one HTML element."""
    colour = _STATUS_COLOURS[verdict.status]
    parts = [
        f"<b>{html.escape(verdict.title)}</b>",
        _paragraph(verdict_line(verdict), f"margin:4px 0;font-weight:600;color:{colour}"),
        _table(verdict_table(verdict), (0, 1, 2)),
    ]
    for layer_diff in verdict.layer_diffs:
        if layer_diff.reason:
            parts.append(_paragraph(layer_diff_line(layer_diff), _SMALL))
        else:
            parts += [_paragraph(layer_diff_head(layer_diff), _SMALL), _table(layer_diff_table(layer_diff), (0, 1))]
    parts += [_paragraph(note, _SMALL) for note in verdict.notes]
    return f"<div>{''.join(parts)}</div>"


def _paragraph(text: str, style: str = "margin:4px 0") -> str:
    return f'<p style="{style}">{html.escape(text)}</p>'


def _table(table: Table, text_columns: Sequence[int]) -> str:
    """Return a table; ``text_columns`` are left-aligned, the others right."""

    def row(cells: Sequence[str], tag: str) -> str:
        found = []
        for column, cell in enumerate(cells):
            side = "left" if column in text_columns else "right"
            found.append(f'<{tag} style="{_CELL}{side}">{html.escape(cell)}</{tag}>')
        return f"<tr>{''.join(found)}</tr>"

    head, body = row(table.heads, "th"), "".join(row(cells, "td") for cells in table.rows)
    return f'<table style="border-collapse:collapse"><thead>{head}</thead><tbody>{body}</tbody></table>'
