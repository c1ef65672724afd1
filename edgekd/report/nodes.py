"""Time per node: in sentences, as a table, as a section of the page; and which nodes a regression comes from."""

from __future__ import annotations

import html
from dataclasses import dataclass

from edgekd.core import units
from edgekd.report.gate_table import check_line, plain_text
from edgekd.report.tables import Table
from edgekd.results.layer_diff import LayerChange, LayerDiff
from edgekd.results.result import BenchmarkResult, CandidateResult, NodeTime
from edgekd.results.verdict import TIMED, Check, Verdict

_NODES_IN_LINE, _NODES_ON_PAGE = 3, 15
_ROLE_COLOURS = 3  # --role0 to --role2 in page.css
_PROFILE_NOTE = (
    "Measured with profiling on, in a separate process. Profiling slows the engine, so this shows where the time goes, "
    "not how long an inference takes. Medians; node names are the engine's own, after fusion."
)


def node_lines(result: BenchmarkResult) -> tuple[str, ...]:
    """Return one line for each profiled candidate: its slowest nodes."""
    lines = []
    for candidate in result.candidates:
        if candidate.nodes:
            slowest = ", ".join(_slowest(candidate))
            lines.append(f"{candidate.name}, nodes with profiling on: {profile_sums(candidate)}; slowest: {slowest}")
    return tuple(lines)


def profile_sums(candidate: CandidateResult) -> str:
    """Return the sum of the profile beside the latency that was measured without it."""
    return _sums(candidate.nodes_ms, candidate.percentile_ms(50))


def layer_diff_table(layer_diff: LayerDiff) -> Table:
    """Make the table of the nodes that changed most, and of the rest in one row."""
    heads = ("node", "operator", "accepted ms", "new ms", "change ms", "share")
    rows = []
    for node in layer_diff.changes:
        share = "–" if node.share is None else f"{100 * node.share:.0f} %"
        times = (_node_ms(node.old_ms), _node_ms(node.new_ms), _change(node))
        rows.append((plain_text(node.name), plain_text(node.op) or "–", *times, share))
    if layer_diff.others:
        rows.append((_others(layer_diff), "", "", "", _signed(layer_diff.others_ms), ""))
    return Table(heads, tuple(rows))


def layer_diff_line(layer_diff: LayerDiff) -> str:
    """Return in one line which nodes made a candidate slower, or why that is unknown."""
    if layer_diff.reason:
        return plain_text(f"{layer_diff.candidate}: no node is named: {layer_diff.reason}")
    nodes = ", ".join(f"{node.name} {_change(node)} ms{_remark(node)}" for node in layer_diff.changes)
    rest = f"; {_others(layer_diff)} {_signed(layer_diff.others_ms)} ms" if layer_diff.others else ""
    return plain_text(f"{layer_diff_head(layer_diff)}: {nodes or 'none'}{rest}")


def layer_diff_head(layer_diff: LayerDiff) -> str:
    """Return the sums of both profiles, beside the latencies that were measured without profiling."""
    sums = f"{units.ms(layer_diff.old_sum_ms)} to {units.ms(layer_diff.new_sum_ms)} ms"
    measured = f"{units.ms(layer_diff.old_latency_ms)} to {units.ms(layer_diff.new_latency_ms)} ms"
    grew = "" if layer_diff.new_sum_ms > layer_diff.old_sum_ms else ", which does not show the slowdown"
    return plain_text(
        f"{layer_diff.candidate}, nodes with profiling on: sum {sums}{grew}; "
        f"latency without profiling {measured}; largest changes"
    )


def check_words(verdict: Verdict, check: Check) -> str:
    """Return one check in one line; a regression of time is followed by the nodes it comes from."""
    diffs = [layer_diff for layer_diff in verdict.layer_diffs if layer_diff.candidate == check.candidate]
    # A profile explains time only; sizes and accuracy have no nodes to name.
    if check.status != "regress" or check.metric not in TIMED or not diffs:
        return check_line(check)
    return f"{check_line(check)}. {layer_diff_line(diffs[0])}"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a candidate's chart.

    Attributes:
        name: The node, or "<n> others".
        op: Its operator, "" where unknown.
        ms: Its median.
        share: Of the sum of all nodes.
        nodes: How many nodes it stands for.
    """

    name: str
    op: str
    ms: float
    share: float
    nodes: int = 1


@dataclass(frozen=True, slots=True)
class NodeChart:
    """A candidate's slowest nodes as bars.

    Attributes:
        candidate: Its name.
        role: Number of its role, for the colour.
        sum_ms: Sum of all nodes, with profiling on.
        measured_ms: Median latency, with profiling off.
        bars: The slowest first, then the rest in one.
    """

    candidate: str
    role: int
    sum_ms: float
    measured_ms: float
    bars: tuple[Bar, ...]


def node_charts(result: BenchmarkResult) -> tuple[NodeChart, ...]:
    """Work out the page's charts of time per node, one for each profiled candidate."""
    roles = list(dict.fromkeys(candidate.role for candidate in result.candidates))
    profiled = [candidate for candidate in result.candidates if candidate.nodes]
    return tuple(_node_chart(candidate, roles.index(candidate.role) % _ROLE_COLOURS) for candidate in profiled)


def node_section(result: BenchmarkResult) -> str:
    """Return the page's section as HTML; "" where no candidate was profiled."""
    drawn = "".join(map(_figure_html, node_charts(result)))
    if not drawn:
        return ""
    charts = f'<div class="nodes">{drawn}</div>'
    return f'<section><h2>Time per node</h2>{charts}<p class="key">{_PROFILE_NOTE}</p></section>'


def _sums(sum_ms: float, measured_ms: float) -> str:
    return f"profiled sum {units.ms(sum_ms)} ms, measured {units.ms(measured_ms)} ms"


def _slowest(candidate: CandidateResult) -> list[str]:
    whole_ms = candidate.nodes_ms
    return [
        f"{plain_text(node.name)} {units.ms(node.median_ms)} ms ({_share(node.median_ms, whole_ms)})"
        for node in _sorted(candidate)[:_NODES_IN_LINE]
    ]


def _sorted(candidate: CandidateResult) -> list[NodeTime]:
    return sorted(candidate.nodes, key=lambda node: -node.median_ms)


def _share(part_ms: float, whole_ms: float) -> str:
    return f"{100 * part_ms / whole_ms:.0f} %" if whole_ms else "–"


def _remark(node: LayerChange) -> str:
    """Return " (new, 40 %)": whether only one engine has the node, and its share of the change."""
    parts = []
    if node.old_ms is None:
        parts.append("new")
    elif node.new_ms is None:
        parts.append("gone")
    if node.share is not None:
        parts.append(f"{100 * node.share:.0f} %")
    return f" ({', '.join(parts)})" if parts else ""


def _node_ms(ms: float | None) -> str:
    return "absent" if ms is None else units.ms(ms)


def _change(node: LayerChange) -> str:
    # "~": within what the two profiles scatter.
    return f"{'' if node.is_clear else '~ '}{_signed(node.change_ms)}"


def _signed(ms: float) -> str:
    return f"{'-' if ms < 0 else '+'}{units.ms(abs(ms))}"


def _others(layer_diff: LayerDiff) -> str:
    return f"{layer_diff.others} other{'s' if layer_diff.others > 1 else ''}"


def _node_chart(candidate: CandidateResult, role: int) -> NodeChart:
    nodes, whole_ms = _sorted(candidate), candidate.nodes_ms or 1.0  # a profile of zeros has no shares
    shown, rest = nodes[:_NODES_ON_PAGE], nodes[_NODES_ON_PAGE:]
    bars = [Bar(node.name, node.op, node.median_ms, node.median_ms / whole_ms) for node in shown]
    if rest:
        rest_ms = sum(node.median_ms for node in rest)
        bars.append(Bar(f"{len(rest)} others", "", rest_ms, rest_ms / whole_ms, len(rest)))
    return NodeChart(candidate.name, role, candidate.nodes_ms, candidate.percentile_ms(50), tuple(bars))


def _figure_html(chart: NodeChart) -> str:
    caption = f"<b>{html.escape(chart.candidate)}</b>, {_sums(chart.sum_ms, chart.measured_ms)}"
    bars = "".join(_bar_html(bar, chart.bars[0].ms or 1.0, chart.role) for bar in chart.bars)
    return f"<figure><figcaption>{caption}</figcaption><ol>{bars}</ol></figure>"


def _bar_html(bar: Bar, longest_ms: float, role: int) -> str:
    ms, share = f"{units.ms(bar.ms)} ms", f"{100 * bar.share:.0f} %"
    title = html.escape(f"{bar.name}{f', {bar.op}' if bar.op else ''}: {ms}, {share}")
    # The rest has no bar: it would dwarf the others.
    style = f' style="width:{100 * bar.ms / longest_ms:.1f}%;background:var(--role{role})"' if bar.nodes == 1 else ""
    name = html.escape(plain_text(bar.name))
    return f'<li title="{title}"><span>{name}</span><i{style}></i><b>{ms}</b><em>{share}</em></li>'
