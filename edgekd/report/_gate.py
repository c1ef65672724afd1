"""A gate's verdict in words and as a table, the same for every format."""

from __future__ import annotations

from edgekd.core import units
from edgekd.gate import Check, Verdict
from edgekd.report._figures import Table

_NAMES = {
    "latency": "latency, median ms",
    "latency_p99": "latency, p99 ms",
    "throughput": "throughput, per s",
    "peak_memory": "peak memory, MiB",
    "engine_size": "engine, MiB",
    "onnx_size": "ONNX, MiB",
    "accuracy": "accuracy",
}
_BYTES = ("peak_memory", "engine_size", "onnx_size")


def verdict_table(verdict: Verdict) -> Table:
    """Make the table: one check a line."""
    heads = ("verdict", "candidate", "figure", "accepted", "new", "worse by (95 %)", "limit", "p")
    rows = (
        (
            *(check.status, check.candidate, _NAMES[check.metric]),
            *(_figure(check, value) for value in (check.old, check.new)),
            *(_change(check), _amount(check, check.limit), "–" if check.p is None else f"{check.p:.2g}"),
        )
        for check in verdict.checks
    )
    return Table(heads, tuple(rows))


def verdict_line(verdict: Verdict) -> str:
    """Say in a line what it comes to, and why."""
    open_ = [check for check in verdict.checks if check.status == "inconclusive"]
    worse = [check for check in verdict.checks if check.status == "regress"]
    if worse:
        found = "; ".join(
            f"{check.candidate}: {_NAMES[check.metric].partition(',')[0]} is {_amount(check, check.change)} worse, "
            f"{_amount(check, check.limit)} is allowed"
            for check in worse
        )
        return f"regress: {found}"
    if open_:
        first = open_[0]
        others = f"; and {len(open_) - 1} more" if len(open_) > 1 else ""
        advice = f". Measure with bench.processes={verdict.needs}" if verdict.needs else ""
        return f"inconclusive: {first.candidate}: {_NAMES[first.metric].partition(',')[0]}, {first.why}{others}{advice}"
    how = "measured in turns" if verdict.mode == "paired" else "against the recorded baseline"
    return f"pass: {len(verdict.checks)} of {len(verdict.checks)} figures within their limits, {how}"


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
    return f"{_amount(check, check.change)} ({_amount(check, check.low)} to {_amount(check, check.high)})"


def _amount(check: Check, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if check.metric == "accuracy" else f"{100 * value:.1f} %"
