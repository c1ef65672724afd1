"""A gate's verdict in words and as a table, the same for every format."""

from __future__ import annotations

from edgekd.core import units
from edgekd.report.figures import Table
from edgekd.results.gate import Check, Verdict

# A field of ``gate.Limits`` → its name and unit in a table.
FIGURES = {
    "latency": "latency, median ms",
    "latency_p99": "latency, p99 ms",
    "throughput": "throughput, per s",
    "peak_memory": "peak memory, MiB",
    "engine_size": "engine, MiB",
    "onnx_size": "ONNX, MiB",
    "accuracy": "accuracy",
    "energy": "energy, mJ",
}
_BYTES = ("peak_memory", "engine_size", "onnx_size")


def verdict_table(verdict: Verdict) -> Table:
    """Make the table: one check a line."""
    heads = ("verdict", "candidate", "figure", "accepted", "new", "worse by (95 %)", "limit", "p")
    rows = (
        (
            *(check.status, plain_text(check.candidate), FIGURES[check.metric]),
            *(_figure(check, value) for value in (check.old, check.new)),
            *(_change(check), _amount(check, check.limit), "–" if check.p is None else f"{check.p:.2g}"),
        )
        for check in verdict.checks
    )
    return Table(heads, tuple(rows))


def verdict_line(verdict: Verdict) -> str:
    """Say in a line what it comes to, and why."""
    return plain_text(_said(verdict))


def check_line(check: Check) -> str:
    """Say in a line what one check found."""
    return plain_text(_found(check))


def _found(check: Check) -> str:
    name = FIGURES[check.metric].partition(",")[0]
    if check.status == "inconclusive":
        return f"{check.candidate}: {name} is inconclusive: {check.why}"
    return (
        f"{check.candidate}: {name} is worse by {_change(check)}, {_amount(check, check.limit)} is allowed "
        f"({_figure(check, check.old)} to {_figure(check, check.new)})"
    )


def plain_text(text: str) -> str:
    """Flatten to one line and drop what no XML and no workflow command may hold: control characters."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _figure(check: Check, value: float | None) -> str:
    if value is None:
        return "–"
    if check.metric in _BYTES:
        return units.mib(value)
    return f"{value:.4g}" if check.metric == "accuracy" else units.ms(value)


def _change(check: Check) -> str:
    if check.change is None:
        return "unknown"
    if check.low is None or check.high is None or check.low == check.high:
        return _amount(check, check.change)
    low = _amount(check, check.low).removesuffix(" %")
    return f"{_amount(check, check.change)} ({low} to {_amount(check, check.high)})"


def _amount(check: Check, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if check.metric == "accuracy" else f"{100 * value:.1f} %"


def _said(verdict: Verdict) -> str:
    open_ = [check for check in verdict.checks if check.status == "inconclusive"]
    worse = [check for check in verdict.checks if check.status == "regress"]
    if worse:
        found = "; ".join(
            f"{check.candidate}: {FIGURES[check.metric].partition(',')[0]} is {_amount(check, check.change)} worse, "
            f"{_amount(check, check.limit)} is allowed"
            for check in worse
        )
        return f"regress: {found}"
    if open_:
        first = open_[0]
        others = f"; and {len(open_) - 1} more" if len(open_) > 1 else ""
        advice = f". Measure with bench.processes={verdict.needs}" if verdict.needs else ""
        return (
            f"inconclusive: {first.candidate}: {FIGURES[first.metric].partition(',')[0]}, {first.why}{others}{advice}"
        )
    how = "measured in turns" if verdict.mode == "paired" else "against the recorded baseline"
    return f"pass: {len(verdict.checks)} of {len(verdict.checks)} figures within their limits, {how}"
