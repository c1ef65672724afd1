"""A result's figures, worked out once for every format: percentiles, intervals, speed-ups, end-to-end times."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgekd.core import units
from edgekd.core.numerics import FloatArray, Spread, spread
from edgekd.report.metrics import is_drawable, metric_style
from edgekd.results.compare import Interval, compare, interval, ratio
from edgekd.results.result import BenchmarkResult, CandidateResult

_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """One candidate's time from the input image to the postprocessed output.

    Attributes:
        name: The candidate.
        medians_ms: Stage, of ``results.result.END_TO_END`` → its median; only stages that were timed.
        speedup: End to end, relative to the first candidate that was timed; None for that one itself.
        outside_share: Share of the time that preprocessing and postprocessing take.
    """

    name: str
    medians_ms: dict[str, float]
    speedup: Interval | None
    outside_share: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One candidate's row in every table.

    Attributes:
        name, role, precision: The candidate.
        p50_ms, p90_ms, p95_ms, p99_ms: Latency percentiles over all samples.
        median_ms: (low, high), 95 % interval of the median, over processes and blocks.
        throughput_per_s: Samples per second, back to back.
        throughput_interval_per_s: (low, high), its 95 % interval.
        speedup: Relative to the result's first candidate; None for that one itself.
        score: The primary metric, None without one.
        score_shown: The same in the unit of the metric's table head; None where no chart can show it.
        onnx_mib: Size of the ONNX file, None where unknown.
        spread: Of all latencies, milliseconds.
        strip_ms: (low, high) of the axis of the chart of every latency; samples above are drawn at its edge.
        end_to_end: From the input image to the output, None where that was not timed.
    """

    name: str
    role: str
    precision: str
    p50_ms: float  # percentiles by trtexec's nearest rank
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
    end_to_end: EndToEnd | None = None


@dataclass(frozen=True, slots=True)
class StageShare:
    """One stage of the run and its part of the run's time."""

    name: str
    seconds: float
    share: float


def figures(result: BenchmarkResult) -> tuple[Figures, ...]:
    """Work out every candidate's figures, in the result's order."""
    speedups = {row.candidate: row.speedup for row in compare([result]).rows}
    times = {found.name: found for found in end_to_end(result)}
    rows = [_figures(candidate, speedups.get(candidate.name), result) for candidate in result.candidates]
    return tuple(replace(row, end_to_end=times.get(row.name)) for row in rows)


def end_to_end(result: BenchmarkResult) -> tuple[EndToEnd, ...]:
    """Work out every candidate's end-to-end times; empty where none were timed."""
    # Only some candidates may have been timed end to end, so the reference is the first of those.
    timed = [candidate for candidate in result.candidates if candidate.end_to_end_ns]
    return tuple(_end_to_end(candidate, timed[0]) for candidate in timed)


def stage_shares(result: BenchmarkResult) -> tuple[StageShare, ...]:
    """Return the run's stages with their share of its time; empty where the run's time is not recorded."""
    total = sum(stage.seconds for stage in result.stage_seconds)
    return tuple(
        StageShare(stage.name, stage.seconds, stage.seconds / total if total else 0.0) for stage in result.stage_seconds
    )


def mean_energy_mj(candidate: CandidateResult) -> float | None:
    """Return the mean energy of an inference in millijoules, None where it was not measured."""
    return float(np.mean(candidate.energy.mj)) if candidate.energy else None


def _end_to_end(candidate: CandidateResult, first: CandidateResult) -> EndToEnd:
    times_ms = {stage: _milliseconds(processes) for stage, processes in candidate.end_to_end_ns.items()}
    medians_ms = {stage: float(np.median(np.concatenate(processes))) for stage, processes in times_ms.items()}
    mine, reference = times_ms["end_to_end"], _milliseconds(first.end_to_end_ns["end_to_end"])
    # Unpaired: the images of two candidates were not timed interleaved in blocks.
    speedup = Interval(*ratio(reference, mine, paired=False), sum(map(len, mine)), len(mine))
    outside_share = (medians_ms["preprocess"] + medians_ms["postprocess"]) / medians_ms["end_to_end"]
    return EndToEnd(candidate.name, medians_ms, None if candidate is first else speedup, outside_share)


def _milliseconds(processes: tuple[tuple[int, ...], ...]) -> list[FloatArray]:
    return [np.array(times_ns, np.float64) / _NS_PER_MS for times_ns in processes]


def _figures(candidate: CandidateResult, speedup: Interval | None, result: BenchmarkResult) -> Figures:
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
        median_ms=interval(candidate.block_medians_ms),  # over processes: their levels differ more than blocks do
        throughput_per_s=candidate.throughput_per_s,
        # The slowest mean time gives the lowest throughput.
        throughput_interval_per_s=(1000 / most_ms, 1000 / least_ms),
        speedup=speedup,
        score=score,
        score_shown=score * metric_style(metric).scale if score is not None and is_drawable(score) else None,
        onnx_mib=candidate.onnx_bytes / units.MIB if candidate.onnx_bytes else None,
        spread=scatter,
        # A scale up to the slowest sample would press all others flat.
        strip_ms=(scatter.least, min(scatter.most, max(p99_ms, scatter.high_fence))),
    )
