"""A gate's verdict as a table and in sentences, the same for every format."""

from __future__ import annotations

from edgekd.core import units
from edgekd.report.tables import Table
from edgekd.results.verdict import Check, Verdict

# A field of ``gate.Limits`` → its name and unit in a table. The part before the comma is its name in a sentence.
METRIC_NAMES = {
    "latency": "latency, median ms",
    "latency_p99": "latency, p99 ms",
    "throughput": "throughput, samples/s",
    "peak_memory": "peak memory, MiB",
    "engine_size": "engine size, MiB",
    "onnx_size": "ONNX size, MiB",
    "accuracy": "accuracy",
    "energy": "energy, mJ",
}
_BYTES = ("peak_memory", "engine_size", "onnx_size")


def verdict_table(verdict: Verdict) -> Table:
    """Make the table, one check a row."""
    heads = ("verdict", "candidate", "metric", "accepted", "new", "worse by (95 % CI)", "limit", "p")
    rows = []
    for check in verdict.checks:
        p = "–" if check.p is None else f"{check.p:.2g}"
        figures = (_figure(check, check.old), _figure(check, check.new), _change(check), _amount(check, check.limit), p)
        rows.append((check.status, plain_text(check.candidate), METRIC_NAMES[check.metric], *figures))
    return Table(heads, tuple(rows))


def verdict_line(verdict: Verdict) -> str:
    """Return the verdict in one line, with its reason and what to do next."""
    regressed = [check for check in verdict.checks if check.status == "regress"]
    undecided = [check for check in verdict.checks if check.status == "inconclusive"]
    if regressed:
        return plain_text(f"regress: {'; '.join(map(_regression, regressed))}")
    if undecided:
        return plain_text(f"inconclusive: {_undecided(undecided, verdict.processes_needed)}")
    how = "timed interleaved" if verdict.mode == "paired" else "relative to the recorded baseline"
    return f"pass: {len(verdict.checks)} of {len(verdict.checks)} metrics within their limits, {how}"


def check_line(check: Check) -> str:
    """Return one check in one line: the change, the limit, and both figures."""
    if check.status == "inconclusive":
        return plain_text(f"{_subject(check)} is inconclusive: {check.reason}")
    return plain_text(
        f"{_subject(check)} is worse by {_change(check)}, limit {_amount(check, check.limit)} "
        f"(accepted {_figure(check, check.old)}, new {_figure(check, check.new)})"
    )


def plain_text(text: str) -> str:
    """Flatten to one line, without the control characters that XML and workflow commands cannot hold."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _regression(check: Check) -> str:
    return f"{_subject(check)} is {_amount(check, check.change)} worse, limit {_amount(check, check.limit)}"


def _undecided(checks: list[Check], processes: int | None) -> str:
    first, *others = checks
    more = f"; and {len(others)} more" if others else ""
    advice = f". Measure with bench.processes={processes}" if processes else ""
    return f"{_subject(first)}, {first.reason}{more}{advice}"


def _subject(check: Check) -> str:
    return f"{check.candidate}: {METRIC_NAMES[check.metric].partition(',')[0]}"


def _figure(check: Check, value: float | None) -> str:
    if value is None:
        return "–"
    if check.metric in _BYTES:
        return units.mib(value)
    return f"{value:.4g}" if check.metric == "accuracy" else units.ms(value)


def _change(check: Check) -> str:
    """Format the change and its interval; an exact figure has none."""
    if check.change is None:
        return "unknown"
    if check.low is None or check.high is None or check.low == check.high:
        return _amount(check, check.change)
    low = _amount(check, check.low).removesuffix(" %")  # one unit for both ends
    return f"{_amount(check, check.change)} ({low} to {_amount(check, check.high)})"


def _amount(check: Check, value: float | None) -> str:
    """Format a change or a limit: accuracy in the metric's unit, everything else as a percentage."""
    if value is None:
        return "–"
    return f"{value:.3g}" if check.metric == "accuracy" else f"{100 * value:.1f} %"
