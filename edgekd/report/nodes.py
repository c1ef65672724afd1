"""Time per node in words, as a table and as a section of the page; and the nodes a slower engine is blamed on."""

from __future__ import annotations

import html
from dataclasses import dataclass

from edgekd.core import units
from edgekd.report.figures import Table
from edgekd.report.gate_table import check_line, plain_text
from edgekd.results.gate import Check, Verdict
from edgekd.results.layer_diff import Blame, Moved
from edgekd.results.result import BenchmarkResult, Candidate, NodeTime

_TIMED = ("latency", "latency_p99", "throughput")
_IN_A_LINE, _ON_THE_PAGE = 3, 15


def node_lines(result: BenchmarkResult) -> tuple[str, ...]:
    """Say for each candidate that was profiled, in a line, which nodes take its time."""
    profiled = [candidate for candidate in result.candidates if candidate.nodes]
    words = [(of.name, profile_words(of), ", ".join(_costliest(of))) for of in profiled]
    return tuple(f"{name}, nodes with profiling on: {sums}; most in {most}" for name, sums, most in words)


def profile_words(candidate: Candidate) -> str:
    """Hold the profile's sum against the latency that was measured without one."""
    return _sums(candidate.nodes_ms, candidate.percentile_ms(50))


def _sums(sum_ms: float, measured_ms: float) -> str:
    return f"profiled sum {units.ms(sum_ms)} ms, measured {units.ms(measured_ms)} ms"


def _costliest(candidate: Candidate) -> list[str]:
    whole_ms = candidate.nodes_ms
    return [
        f"{plain_text(node.name)} {units.ms(node.median_ms)} ms ({_share(node.median_ms, whole_ms)})"
        for node in _sorted(candidate)[:_IN_A_LINE]
    ]


def _sorted(candidate: Candidate) -> list[NodeTime]:
    return sorted(candidate.nodes, key=lambda node: -node.median_ms)


def _share(part_ms: float, whole_ms: float) -> str:
    return f"{100 * part_ms / whole_ms:.0f} %" if whole_ms else "–"


def blame_table(blame: Blame) -> Table:
    """Make the table of the nodes that moved furthest, and what is left."""
    heads = ("node", "operator", "accepted ms", "new ms", "change ms", "share")
    rows = [
        (
            *(plain_text(node.name), plain_text(node.op) or "–", _side(node.old_ms), _side(node.new_ms)),
            *(_change(node), "–" if node.share is None else f"{100 * node.share:.0f} %"),
        )
        for node in blame.moved
    ]
    if blame.others:
        rows.append((_others(blame), "", "", "", _signed(blame.others_ms), ""))
    return Table(heads, tuple(rows))


def blame_line(blame: Blame) -> str:
    """Say in a line where a candidate became slower."""
    if blame.why:
        return plain_text(f"{blame.candidate}: no node is named: {blame.why}")
    said = [f"{node.name} {_change(node)} ms{_known(node)}" for node in blame.moved]
    rest = f"; {_others(blame)} {_signed(blame.others_ms)} ms" if blame.others else ""
    return plain_text(f"{blame_head(blame)}: {', '.join(said) or 'no node moved'}{rest}")


def blame_head(blame: Blame) -> str:
    """Say what the profiles come to, beside the latency that was measured without them."""
    sums, measured = (
        f"{units.ms(old)} to {units.ms(new)} ms"
        for old, new in ((blame.old_sum_ms, blame.new_sum_ms), (blame.old_latency_ms, blame.new_latency_ms))
    )
    grew = "" if blame.new_sum_ms > blame.old_sum_ms else ", which does not show it"
    return plain_text(f"{blame.candidate}, nodes with profiling on: sum {sums}{grew}; measured {measured}; moved most")


def check_words(verdict: Verdict, check: Check) -> str:
    """Say in a line what one check found, and of one whose time regressed, in which nodes."""
    of = [blame for blame in verdict.blames if blame.candidate == check.candidate]
    if check.status != "regress" or check.metric not in _TIMED or not of:
        return check_line(check)
    return f"{check_line(check)}. {blame_line(of[0])}"


def _known(node: Moved) -> str:
    share = "" if node.share is None else f"{100 * node.share:.0f} %"
    kind = "new" if node.old_ms is None else "gone" if node.new_ms is None else ""
    words = ", ".join(filter(None, (kind, share)))
    return f" ({words})" if words else ""


def _side(ms: float | None) -> str:
    return "no such node" if ms is None else units.ms(ms)


def _change(node: Moved) -> str:
    return f"{'' if node.is_clear else '~ '}{_signed(node.change_ms)}"


def _signed(ms: float) -> str:
    return f"{'-' if ms < 0 else '+'}{units.ms(abs(ms))}"


def _others(blame: Blame) -> str:
    return f"{blame.others} other{'s' if blame.others > 1 else ''}"


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a candidate's chart: a node, or all that have none of their own (``of`` of them)."""

    name: str
    op: str
    ms: float
    share: float
    of: int = 1


@dataclass(frozen=True, slots=True)
class Bars:
    """A candidate's costliest nodes, and the sum of all beside the latency that was measured without a profile."""

    candidate: str
    role: int
    sum_ms: float
    measured_ms: float
    bars: tuple[Bar, ...]


def node_bars(result: BenchmarkResult) -> tuple[Bars, ...]:
    """Work out the page's charts of time per node, one a candidate that was profiled."""
    roles = list(dict.fromkeys(candidate.role for candidate in result.candidates))
    return tuple(
        _bars(candidate, roles.index(candidate.role) % 3) for candidate in result.candidates if candidate.nodes
    )


def node_section(result: BenchmarkResult) -> str:
    """Return the page's section: each profiled candidate's costliest nodes as bars; "" where none was profiled."""
    figures = "".join(map(_drawn, node_bars(result)))
    if not figures:
        return ""
    said = (
        "Taken with profiling on, in a process of its own, which slows the engine: it says where time goes, not how "
        "much. Medians; nodes have the engine's own names, after what it fused."
    )
    return f'<section><h2>Time per node</h2><div class="nodes">{figures}</div><p class="key">{said}</p></section>'


def _bars(candidate: Candidate, role: int) -> Bars:
    nodes, whole_ms = _sorted(candidate), candidate.nodes_ms
    shown, rest = nodes[:_ON_THE_PAGE], nodes[_ON_THE_PAGE:]
    bars = [Bar(node.name, node.op, node.median_ms, node.median_ms / (whole_ms or 1.0)) for node in shown]
    if rest:
        rest_ms = sum(node.median_ms for node in rest)
        bars.append(Bar(f"{len(rest)} others", "", rest_ms, rest_ms / (whole_ms or 1.0), len(rest)))
    return Bars(candidate.name, role, whole_ms, candidate.percentile_ms(50), tuple(bars))


def _drawn(of: Bars) -> str:
    caption = f"<b>{html.escape(of.candidate)}</b>, {_sums(of.sum_ms, of.measured_ms)}"
    drawn = "".join(_line(bar, of.bars[0].ms or 1.0, of.role) for bar in of.bars)
    return f"<figure><figcaption>{caption}</figcaption><ol>{drawn}</ol></figure>"


def _line(bar: Bar, top_ms: float, role: int) -> str:
    ms, share = f"{units.ms(bar.ms)} ms", f"{100 * bar.share:.0f} %"
    title = html.escape(f"{bar.name}{f', {bar.op}' if bar.op else ''}: {ms}, {share}")
    # What is left over has no bar: it would dwarf the others.
    style = f' style="width:{100 * bar.ms / top_ms:.1f}%;background:var(--role{role})"' if bar.of == 1 else ""
    name = html.escape(plain_text(bar.name))
    return f'<li title="{title}"><span>{name}</span><i{style}></i><b>{ms}</b><em>{share}</em></li>'
