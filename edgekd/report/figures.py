"""The figures every format shows, worked out once from a result, and the words for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from edgekd.core import units
from edgekd.core.clock import CLOCK_NAME
from edgekd.core.conditions import Conditions
from edgekd.core.numerics import Spread, spread
from edgekd.results.compare import Comparison, Interval, Row, compare, interval, ratio
from edgekd.results.result import AGREEMENT, STAGES, BenchmarkResult, Candidate, EngineRow


@dataclass(frozen=True, slots=True)
class _Metric:
    """How a metric is shown: its name in a head, in running text, and how its figure is written."""

    head: str
    words: str
    unit: str = ""
    decimals: int = 4
    scale: float = 1.0


def _share(head: str, words: str) -> _Metric:
    return _Metric(head, words, " %", 2, 100.0)


# Others are shown by their key.
_METRICS = {
    "psnr_y_db": _Metric("PSNR Y", "PSNR on Y", " dB", 2),
    "psnr_rgb_db": _Metric("PSNR RGB", "PSNR on RGB", " dB", 2),
    "psnr_db": _Metric("PSNR", "PSNR", " dB", 2),
    "ssim_y": _Metric("SSIM Y", "SSIM on Y"),
    "ssim": _Metric("SSIM", "SSIM"),
    "top1": _share("top-1", "top-1 accuracy"),
    "macro_f1": _share("macro F1", "macro F1"),
    "miou": _share("mIoU", "mean IoU"),
    "pixel_accuracy": _share("pixel acc.", "pixel accuracy"),
}

# Ratio of a comparison → its head.
_RATIOS = {
    "parameters": "params",
    "macs": "MACs",
    "onnx_bytes": "ONNX",
    "engine_bytes": "engine",
    "peak_memory_bytes": "memory",
}


@dataclass(frozen=True, slots=True)
class Stages:
    """One candidate's way from the picture to the answer.

    Attributes:
        name: The candidate.
        medians_ms: Stage, of ``core.result.STAGES`` → its median; those that were timed.
        speedup: End to end, against the first that was timed; None for that one itself.
        around: Share of the time that preprocessing and postprocessing take.
    """

    name: str
    medians_ms: dict[str, float]
    speedup: Interval | None
    around: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One candidate's line in every table.

    Attributes:
        name, role, precision: The candidate.
        p50_ms, p90_ms, p95_ms, p99_ms: Latency percentiles over all samples.
        median_ms: (low, high), 95 % interval of the median, over processes and blocks.
        throughput_per_s: Samples per second, back to back.
        throughput_interval_per_s: (low, high), its 95 % interval.
        speedup: Against the result's first candidate; None for that one itself.
        score: The primary metric, where there is one.
        score_shown: The same in the unit of the metric's head; None where no chart can show it.
        onnx_mib: The ONNX file's size, None where not known.
        spread: Of all latencies, milliseconds.
        strip_ms: (low, high) of the axis on which every latency is drawn; what lies above stands at its edge.
        stages: From the picture to the answer, where that was timed.
    """

    name: str
    role: str
    precision: str
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    median_ms: tuple[float, float]
    throughput_per_s: float
    throughput_interval_per_s: tuple[float, float]
    speedup: Interval | None
    score: float | None
    score_shown: float | None
    onnx_mib: float | None
    spread: Spread
    strip_ms: tuple[float, float]
    stages: Stages | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Text cells; the first column is left-aligned, the others right."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def figures(result: BenchmarkResult) -> tuple[Figures, ...]:
    """Work out every candidate's figures, in the result's order."""
    speedups = {row.candidate: row.speedup for row in compare([result]).rows}
    split = {line.name: line for line in stages(result)}
    lines = (_figures(candidate, speedups.get(candidate.name), result) for candidate in result.candidates)
    return tuple(replace(line, stages=split.get(line.name)) for line in lines)


def candidate_table(result: BenchmarkResult) -> Table:
    """Make the main table: what each candidate costs and what it reaches."""
    heads = (
        *("candidate", "precision", "params", "MACs", "ONNX MiB", "p50 ms", "p90 ms", "p95 ms", "p99 ms", "per s"),
        *("vs first (95 %)", "peak MiB"),
        *(("mJ",) if _has_energy(result) else ()),
        *map(metric_head, _shown_metrics(result)),
    )
    lines = zip(figures(result), result.candidates, strict=True)
    return Table(heads, tuple(_cells(line, candidate, result) for line, candidate in lines))


def stages(result: BenchmarkResult) -> tuple[Stages, ...]:
    """Work out every candidate's stages; empty where none were timed."""
    split = [candidate for candidate in result.candidates if candidate.stages_ns]
    return tuple(_stages(candidate, split[0]) for candidate in split)


def stage_table(result: BenchmarkResult) -> Table | None:
    """Make the table from picture to answer, median of each stage; None where no stage was timed."""
    lines = stages(result)
    names = [stage for stage in STAGES if any(stage in line.medians_ms for line in lines)]
    rows = (
        (line.name, *(units.ms(line.medians_ms.get(stage)) for stage in names), interval_text(line.speedup))
        for line in lines
    )
    heads = (f"{stage.replace('_', ' ')} ms" for stage in names)
    return Table(("candidate", *heads, "vs first (95 %)"), tuple(rows)) if lines else None


def _stages(candidate: Candidate, first: Candidate) -> Stages:
    blocks = {name: [np.array(p, np.float64) / 1e6 for p in found] for name, found in candidate.stages_ns.items()}
    medians = {name: float(np.median(np.concatenate(processes))) for name, processes in blocks.items()}
    whole, others = blocks["end_to_end"], [np.array(p, np.float64) / 1e6 for p in first.stages_ns["end_to_end"]]
    speedup = Interval(*ratio(others, whole, paired=False), sum(map(len, whole)), len(whole))
    around = (medians["preprocess"] + medians["postprocess"]) / medians["end_to_end"]
    return Stages(candidate.name, medians, None if candidate is first else speedup, around)


def _has_energy(result: BenchmarkResult) -> bool:
    return any(candidate.energy for candidate in result.candidates)


def _mean_mj(candidate: Candidate) -> float | None:
    return float(np.mean(candidate.energy.mj)) if candidate.energy else None


def spread_table(result: BenchmarkResult) -> Table:
    """Make the table of how each candidate's latencies scatter; none is dropped."""
    heads = (
        *("candidate", "samples", "mean ms", "median ms", "MAD ms", "CV %", "min ms", "max ms"),
        *("fences ms", "outside", "below", "above"),
    )
    return Table(heads, tuple((c.name, *_scatter(spread(c.latencies_ms))) for c in result.candidates))


def _scatter(found: Spread) -> tuple[str, ...]:
    return (
        str(found.count),
        *(units.ms(value) for value in (found.mean, found.median, found.mad)),
        "–" if found.cv is None else f"{100 * found.cv:.1f}",
        *(units.ms(value) for value in (found.least, found.most)),
        f"{units.ms(found.low_fence)} to {units.ms(found.high_fence)}",
        *(str(count) for count in (found.outside, found.below, found.above)),
    )


def _shown_metrics(result: BenchmarkResult) -> tuple[str, ...]:
    """The primary metric, and the next that the task names: a table has room for two."""
    names = dict.fromkeys((result.primary_metric, *(name for c in result.candidates for name in c.accuracy)))
    return tuple(name for name in names if name)[:2] if result.primary_metric else ()


def engine_table(engines: Iterable[EngineRow]) -> Table:
    """Make the table of engines: what each backend accepted, refused, and ran in INT8."""
    heads = ("engine", "backend", "built", "INT8 convs", "what the library said")
    rows = ((e.candidate, e.backend, "yes" if e.ok else "refused", int8_convolutions(e), e.summary) for e in engines)
    return Table(heads, tuple(rows))


def comparison_tables(comparison: Comparison) -> tuple[Table, Table]:
    """Make a comparison's two tables: how fast, then how large and how good."""
    several = len({row.title for row in comparison.rows}) > 1
    names = [_row_names(row, several=several) for row in comparison.rows]
    pairs = list(zip(names, comparison.rows, strict=True))
    energies = any(row.energy for row in comparison.rows)
    speed = tuple(
        (
            *(*n, interval_text(r.speedup), interval_text(r.throughput)),
            *((interval_text(r.energy) if r.energy else "–",) if energies else ()),
        )
        for n, r in pairs
    )
    # A task names its metrics by importance, and a terminal has room for one.
    metrics = list(dict.fromkeys(metric for row in comparison.rows for metric in row.differences))[:1]
    rest = tuple(
        (*n, *(units.ratio(r.ratios.get(key)) for key in _RATIOS), *(_change(m, r) for m in metrics)) for n, r in pairs
    )
    heads = ("candidate", "against")
    return (
        Table((*heads, "speed-up (95 %)", "throughput (95 %)", *(("energy (95 %)",) if energies else ())), speed),
        Table((*heads, *_RATIOS.values(), *map(metric_head, metrics)), rest),
    )


def notices(engines: Iterable[EngineRow]) -> tuple[str, ...]:
    """Return what must be said beside the engines, once for each backend."""
    return tuple(dict.fromkeys(f"{row.backend}: {row.notice}" for row in engines if row.notice))


def int8_convolutions(engine: EngineRow) -> str:
    """Say how many convolutions run in INT8, "n of m", or "–" where the library does not tell."""
    # The library fuses and drops some: what counts is how many of those that are left run in INT8.
    of = engine.facts.get("engine_convolutions", engine.facts.get("convolutions"))
    found = engine.facts.get("int8_convolutions")
    if found is None or not engine.ok:
        return "–"
    return f"{found} of {of}" if of is not None else str(found)


def conditions_line(result: BenchmarkResult) -> str:
    """Say on what, and how, it was measured."""
    c = result.conditions
    libraries = ", ".join(f"{name} {version}" for name, version in c.libraries.items())
    governor = f", governor {c.governor}" if c.governor else ""
    query = max(candidate.samples_per_query for candidate in result.candidates)
    asked = f", {query} samples a query" if query > c.batch else ""
    streams = f" in {c.streams} streams" if c.streams > 1 else ""
    clock = "" if c.clock == CLOCK_NAME else f" · timed by {c.clock}"
    return (
        f"{machine(c)} · {c.processor} · {cores(c)}{governor} · {c.backend} ({libraries}) · "
        f"batch {c.batch}, {c.scenario}{asked}{streams}{clock} · edgekd {result.edgekd}"
    )


def machine(c: Conditions) -> str:
    """Name the target, and what a board says of itself."""
    said = (c.target, c.l4t and f"L4T {c.l4t}", c.power_mode and f"mode {c.power_mode}")
    return ", ".join(filter(None, said))


def cores(c: Conditions) -> str:
    """Say how many cores an inference used, of how many."""
    return "cores not told" if c.cores is None else f"{c.threads} of {c.cores} cores"


def metric_head(metric: str) -> str:
    """Return the metric's name as a table's head shows it; "" for none."""
    known = _metric(metric)
    return f"{'agreement, ' if metric.startswith(AGREEMENT) else ''}{known.head}{known.unit}"


def metric_words(metric: str, reference: str = "") -> str:
    """Return the metric's name as running text says it.

    Args:
        metric: Its key.
        reference: Whose answers stood in for the truth, ``BenchmarkResult.reference``; only agreement needs it.
    """
    known = _metric(metric)
    if not metric.startswith(AGREEMENT):
        return known.words
    return f"{known.head} agreement with {reference or 'the first candidate'}"


def metric_value(metric: str, value: float | None, *, unit: bool = False) -> str:
    """Format one figure of a metric, with its unit where asked."""
    if value is None:
        return "–"
    known = _metric(metric)
    return f"{value * known.scale:.{known.decimals}f}{known.unit if unit else ''}"


def metric_amount(metric: str, change: float) -> str:
    """Format how far two figures of a metric are apart, with its unit: of shares, points."""
    text = metric_value(metric, change, unit=True)
    return text.replace(" %", " points")


def is_drawable(score: float) -> bool:
    """Whether an axis can hold it: NaN and infinity (1e308 in a result's JSON) it cannot."""
    return abs(score) < 1e300


def metric_decimals(metric: str) -> int:
    """Return with how many decimals a figure is written."""
    return _metric(metric).decimals


def metric_scale(metric: str) -> float:
    """Return what a figure is multiplied with to be in the unit of its head."""
    return _metric(metric).scale


def _metric(metric: str) -> _Metric:
    name = metric.removeprefix(AGREEMENT)
    return _METRICS.get(name) or _Metric(name, name.replace("_", " "))


def interval_text(interval: Interval | None) -> str:
    """Format a speed-up: ``5.12x (4.90–5.31)``, with "~" where 1 lies inside or the blocks are too few to tell."""
    if interval is None:
        return "1"
    text = f"{units.ratio(interval.value)} ({short(interval.low)}–{short(interval.high)})"
    return text if interval.is_clear else f"~ {text}"


def short(value: float) -> str:
    """Format a ratio's end with three significant digits."""
    return units.ratio(value).removesuffix("x")


def _row_names(row: Row, *, several: bool) -> tuple[str, str]:
    if not several:
        return row.candidate, row.against
    return f"{row.candidate} of {row.title}", f"{row.against} of {row.against_title}"


def _change(metric: str, row: Row) -> str:
    """Format a difference, with its interval over pictures where there is one."""
    difference = row.differences.get(metric)
    if difference is None:
        return "–"
    text = _signed(metric, difference)
    if metric not in row.difference_intervals:
        return text
    low, high = row.difference_intervals[metric]
    return f"{text} ({_signed(metric, low)} to {_signed(metric, high)})"


def _signed(metric: str, value: float) -> str:
    text = metric_value(metric, value)
    return text if text.startswith("-") else f"+{text}"


def _figures(candidate: Candidate, speedup: Interval | None, result: BenchmarkResult) -> Figures:
    least_ms, most_ms = interval(candidate.block_means_ms, np.mean)
    metric, scatter, p99_ms = result.primary_metric, spread(candidate.latencies_ms), candidate.percentile_ms(99)
    score = candidate.accuracy.get(metric)
    return Figures(
        name=candidate.name,
        role=candidate.role,
        precision=candidate.precision,
        p50_ms=candidate.percentile_ms(50),
        p90_ms=candidate.percentile_ms(90),
        p95_ms=candidate.percentile_ms(95),
        p99_ms=p99_ms,
        median_ms=interval(candidate.block_medians_ms),
        throughput_per_s=candidate.throughput_per_s,
        throughput_interval_per_s=(1000 / most_ms, 1000 / least_ms),
        speedup=speedup,
        score=score,
        score_shown=score * metric_scale(metric) if score is not None and is_drawable(score) else None,
        onnx_mib=candidate.onnx_bytes / units.MIB if candidate.onnx_bytes else None,
        spread=scatter,
        # One sample far out would press all others flat.
        strip_ms=(scatter.least, min(scatter.most, max(p99_ms, scatter.high_fence))),
    )


def _cells(line: Figures, candidate: Candidate, result: BenchmarkResult) -> tuple[str, ...]:
    return (
        line.name,
        line.precision,
        units.count(candidate.cost.get("parameters")),
        units.count(candidate.cost.get("macs")),
        units.mib(candidate.onnx_bytes or None),
        *(units.ms(value) for value in (line.p50_ms, line.p90_ms, line.p95_ms, line.p99_ms)),
        units.ms(line.throughput_per_s),
        interval_text(line.speedup),
        units.mib(candidate.peak_memory_bytes),
        *((units.ms(_mean_mj(candidate)),) if _has_energy(result) else ()),
        *(metric_value(metric, candidate.accuracy.get(metric)) for metric in _shown_metrics(result)),
    )
