"""The tables of a result, as text cells that every format lays out in its own way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgekd.core import units
from edgekd.core.numerics import Spread, spread
from edgekd.report.figures import Figures, end_to_end, figures, mean_energy_mj, stage_shares
from edgekd.report.metrics import metric_head, metric_signed, metric_value
from edgekd.results.compare import Comparison, Interval, Row
from edgekd.results.result import END_TO_END, BenchmarkResult, CandidateResult, EngineRow

# Ratio of a comparison → its head.
_RATIOS = {
    "parameters": "params",
    "macs": "MACs",
    "onnx_bytes": "ONNX",
    "engine_bytes": "engine",
    "peak_memory_bytes": "memory",
}
SPEEDUP_HEAD = "speed-up (95 % CI)"
_MAX_METRICS = 2  # columns of accuracy that the main table has room for


@dataclass(frozen=True, slots=True)
class Table:
    """Text cells; the first column is left-aligned, the others right.

    Attributes:
        heads: One a column.
        rows: One cell a column each.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def candidate_table(result: BenchmarkResult) -> Table:
    """Make the main table: each candidate's cost, speed and accuracy."""
    has_energy = any(candidate.energy for candidate in result.candidates)
    metrics = _shown_metrics(result)
    heads = ["candidate", "precision", "params", "MACs", "ONNX MiB", "p50 ms", "p90 ms", "p95 ms", "p99 ms"]
    heads += ["samples/s", SPEEDUP_HEAD, "peak MiB"]
    heads += ["mJ"] if has_energy else []
    heads += [metric_head(metric) for metric in metrics]
    rows = []
    for line, candidate in zip(figures(result), result.candidates, strict=True):
        cells = _cells(line, candidate)
        if has_energy:
            cells.append(units.ms(mean_energy_mj(candidate)))
        cells += [metric_value(metric, candidate.accuracy.get(metric)) for metric in metrics]
        rows.append(tuple(cells))
    return Table(tuple(heads), tuple(rows))


def end_to_end_table(result: BenchmarkResult) -> Table | None:
    """Make the table of end-to-end times, the median of each stage; None where none were timed."""
    times = end_to_end(result)
    if not times:
        return None
    # STAGES has the order of the work; a library that cannot time the device lacks its stages.
    stages = [stage for stage in END_TO_END if any(stage in found.medians_ms for found in times)]
    heads = ("candidate", *(f"{stage.replace('_', ' ')} ms" for stage in stages), SPEEDUP_HEAD)
    rows = []
    for found in times:
        medians = [units.ms(found.medians_ms.get(stage)) for stage in stages]
        rows.append((found.name, *medians, interval_text(found.speedup)))
    return Table(heads, tuple(rows))


def stage_time_table(result: BenchmarkResult) -> Table | None:
    """Make the table of the run's time, stage by stage; None where the run's time is not recorded."""
    shares = stage_shares(result)
    if not shares:
        return None
    rows = [(stage.name, f"{stage.seconds:.1f}", f"{100 * stage.share:.0f} %") for stage in shares]
    total = sum(stage.seconds for stage in shares)
    # The total has no share: it is 100 % by definition.
    return Table(("stage", "seconds", "share"), (*rows, ("total", f"{total:.1f}", "")))


def spread_table(result: BenchmarkResult) -> Table:
    """Make the table of how each candidate's latencies scatter; no sample is dropped."""
    heads = ["candidate", "samples", "mean ms", "median ms", "MAD ms", "CV %", "min ms", "max ms"]
    heads += ["fences ms", "outside", "below", "above"]
    return Table(tuple(heads), tuple((c.name, *_scatter(spread(c.latencies_ms))) for c in result.candidates))


def engine_table(engines: Iterable[EngineRow]) -> Table:
    """Make the table of engines: which backend built which, and how much runs in INT8."""
    heads = ("engine", "backend", "built", "INT8 convs", "build log")
    rows = ((e.candidate, e.backend, "yes" if e.ok else "refused", int8_convolutions(e), e.summary) for e in engines)
    return Table(heads, tuple(rows))


def comparison_tables(comparison: Comparison) -> tuple[Table, Table]:
    """Make a comparison's two tables: speed, then size and accuracy."""
    # Rows of one result need no title; across results the same candidate occurs on both sides.
    several = len({row.title for row in comparison.rows}) > 1
    has_energy = any(row.energy for row in comparison.rows)
    # A task names its metrics by importance; a terminal has room for one.
    metrics = list(dict.fromkeys(metric for row in comparison.rows for metric in row.differences))[:1]
    speed, rest = [], []
    for row in comparison.rows:
        names = _row_names(row, several=several)
        energy = [interval_text(row.energy) if row.energy else "–"] if has_energy else []
        speed.append((*names, interval_text(row.speedup), interval_text(row.throughput), *energy))
        ratios = [units.ratio(row.ratios.get(key)) for key in _RATIOS]
        rest.append((*names, *ratios, *(_difference(metric, row) for metric in metrics)))
    heads = ("candidate", "relative to")
    energy_head = ("energy (95 % CI)",) if has_energy else ()
    return (
        Table((*heads, SPEEDUP_HEAD, "throughput (95 % CI)", *energy_head), tuple(speed)),
        Table((*heads, *_RATIOS.values(), *map(metric_head, metrics)), tuple(rest)),
    )


def caveats(engines: Iterable[EngineRow]) -> tuple[str, ...]:
    """Return the caveats of the engines' backends, each once."""
    return tuple(dict.fromkeys(f"{row.backend}: {row.caveat}" for row in engines if row.caveat))


def int8_convolutions(engine: EngineRow) -> str:
    """Format how many convolutions run in INT8, "n of m"; "–" where the library does not report it."""
    # Fusion changes the number of convolutions: those of the engine count, not those of the graph.
    total = engine.facts.get("engine_convolutions", engine.facts.get("convolutions"))
    found = engine.facts.get("int8_convolutions")
    if found is None or not engine.ok:
        return "–"
    return f"{found} of {total}" if total is not None else str(found)


def interval_text(interval: Interval | None) -> str:
    """Format a ratio and its interval, ``5.12x (4.90–5.31)``.

    "~" before it: the interval contains 1, or there are too few blocks. None, the reference itself, is "1".
    """
    if interval is None:
        return "1"
    text = f"{units.ratio(interval.value)} ({bare_ratio(interval.low)}–{bare_ratio(interval.high)})"
    return text if interval.is_clear else f"~ {text}"


def bare_ratio(value: float) -> str:
    """Format a ratio without its "x"."""
    return units.ratio(value).removesuffix("x")


def notes(result: BenchmarkResult) -> list[str]:
    """Return the notes of the result, then each candidate's with its name."""
    return [*result.notes, *(f"{c.name}: {note}" for c in result.candidates for note in c.notes)]


def _cells(line: Figures, candidate: CandidateResult) -> list[str]:
    return [
        line.name,
        line.precision,
        units.count(candidate.cost.get("parameters")),
        units.count(candidate.cost.get("macs")),
        units.mib(candidate.onnx_bytes or None),  # 0 means unknown
        *(units.ms(value) for value in (line.p50_ms, line.p90_ms, line.p95_ms, line.p99_ms)),
        units.ms(line.throughput_per_s),
        interval_text(line.speedup),
        units.mib(candidate.peak_memory_bytes),
    ]


def _shown_metrics(result: BenchmarkResult) -> list[str]:
    """Return the primary metric and the next that the task names."""
    if not result.primary_metric:
        return []
    names = [name for candidate in result.candidates for name in candidate.accuracy]
    return list(dict.fromkeys((result.primary_metric, *names)))[:_MAX_METRICS]


def _scatter(found: Spread) -> tuple[str, ...]:
    return (
        str(found.count),
        *(units.ms(value) for value in (found.mean, found.median, found.mad)),
        "–" if found.cv is None else f"{100 * found.cv:.1f}",
        *(units.ms(value) for value in (found.least, found.most)),
        f"{units.ms(found.low_fence)} to {units.ms(found.high_fence)}",
        *(str(count) for count in (found.outside, found.below, found.above)),
    )


def _row_names(row: Row, *, several: bool) -> tuple[str, str]:
    if not several:
        return row.candidate, row.against
    return f"{row.candidate} of {row.title}", f"{row.against} of {row.against_title}"


def _difference(metric: str, row: Row) -> str:
    """Format a difference of accuracy, with its interval over images where there is one."""
    difference = row.differences.get(metric)
    if difference is None:
        return "–"
    text = metric_signed(metric, difference)
    if metric not in row.difference_intervals:
        return text
    low, high = row.difference_intervals[metric]
    return f"{text} ({metric_signed(metric, low)} to {metric_signed(metric, high)})"
