"""Results → ratios with intervals: which candidate is faster, smaller or better, and whether the samples show it.

Inside one result all candidates were timed interleaved in every process, so their blocks are paired. Across results
they were not: candidates of the same name are compared unpaired, and only if every condition is equal. Intervals are
over processes and blocks. Across results an interval also covers what the machine did between the two measurements, as
far as a reference workload in both results shows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgekd.core.errors import InputError, NotComparable
from edgekd.core.numerics import FloatArray
from edgekd.results.energy import Energy
from edgekd.results.result import BenchmarkResult, CandidateResult
from edgekd.results.statistics import Center, Estimate, hierarchical_bootstrap

# Six pairs are the fewest whose signs alone can reach 5 %, two-sided: 2 / 2^6 = 0.03.
BLOCKS_MIN = 6


@dataclass(frozen=True, slots=True)
class Side:
    """A candidate and the result that it belongs to."""

    result: BenchmarkResult
    candidate: CandidateResult


@dataclass(frozen=True, slots=True)
class Interval:
    """A ratio (pure number, 1 is "no change") with its 95 % interval.

    Attributes:
        value: The ratio.
        low, high: From the hierarchical bootstrap, see ``results.statistics``.
        blocks: Number of blocks it is based on; the smaller of both sides.
        processes: Number of processes, likewise.
    """

    value: float
    low: float
    high: float
    blocks: int
    processes: int = 1

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 1 and is based on enough blocks. Ratios that are not clear are marked "~"."""
        return self.blocks >= BLOCKS_MIN and not self.low <= 1 <= self.high

    def __str__(self) -> str:
        return f"{self.value:.2f}x ({self.low:.2f}–{self.high:.2f}){'' if self.is_clear else ' ~'}"


@dataclass(frozen=True, slots=True)
class Row:
    """One candidate compared with another.

    Attributes:
        title, candidate: The candidate of this row, and its result.
        against_title, against: The candidate it is compared with, and its result.
        paired: Whether both were timed interleaved in the same processes.
        speedup: Latency of the other over this one's: above 1 is faster. If not ``paired``, its interval covers both
            the ratio as measured and the ratio relative to the reference workloads.
        throughput: Inferences per second, this over the other.
        ratios: This over the other: ``onnx_bytes``, ``engine_bytes``, ``peak_memory_bytes`` and each counted cost, if
            both sides have it.
        differences: Metric → this minus the other.
        energy: Energy per inference including idle power, this over the other: below 1 is less. None if a side has no
            energy, or the two were read from different sensors.
        difference_intervals: Metric → 95 % interval (low, high) of the difference, over images that both were scored
            on; only for metrics that are means, and with enough images.
    """

    title: str
    candidate: str
    against_title: str
    against: str
    paired: bool
    speedup: Interval
    throughput: Interval
    ratios: Mapping[str, float]
    differences: Mapping[str, float]
    difference_intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    energy: Interval | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows: first those inside each result, then those across results."""

    rows: tuple[Row, ...]

    def row(self, candidate: str, title: str | None = None) -> Row:
        """Return the first row of ``candidate``, in the result called ``title`` if one is given.

        Raises:
            NotComparable: There is none.
        """
        for row in self.rows:
            if row.candidate == candidate and title in (None, row.title):
                return row
        names = ", ".join(row.candidate for row in self.rows) or "none"
        raise NotComparable(f"no row for {candidate!r}; there are: {names}")


def compare(results: Sequence[BenchmarkResult], relative_to: str | None = None) -> Comparison:
    """Compare the candidates inside each result, and same-named candidates of later results with those of the first.

    Args:
        results: One or more.
        relative_to: The candidate that others of its own result are compared with; default: the result's first.

    Raises:
        NotComparable: Two results have unlike conditions or no candidate in common, or ``relative_to`` is missing.
        InputError: No result was given.
    """
    if not results:
        raise InputError("no result to compare; give one result.json or more")
    first, *others = results
    for other in others:
        require_alike(first, other)
    rows: list[Row] = []
    for result in results:
        rows += _rows_within(result, relative_to)
    for other in others:
        rows += _rows_across(first, other)
    return Comparison(tuple(rows))


def interval(processes: Sequence[FloatArray], center: Center = np.median) -> tuple[float, float]:
    """Return the 95 % interval (low, high) of one candidate's latency in ms.

    Args:
        processes: ``CandidateResult.block_medians_ms`` or ``block_means_ms``: one (blocks,) float64 array per process.
        center: ``np.median`` or ``np.mean``: what represents a process, applied to the logs of its blocks.
    """
    low, high = _ends(hierarchical_bootstrap(_logs(processes), center))
    return math.exp(low), math.exp(high)


def ratio(
    a: Sequence[FloatArray], b: Sequence[FloatArray], *, paired: bool, center: Center = np.median
) -> tuple[float, float, float]:
    """Return a over b with its 95 % interval: (value, low, high).

    Args:
        a: Positive figures, one (blocks,) float64 array per process.
        b: The same of the other side; if ``paired``, of the same processes and rounds.
        paired: Whether block i of both ran in round i of the same process.
        center: ``np.median`` or ``np.mean``: what represents a process, applied to the logs of its blocks.

    Source: G. Zou, A. Donner, Statistics in Medicine 27(10), 2008, for the interval of two independent figures.
    """
    logs_a, logs_b = _logs(a), _logs(b)
    if paired:
        differences = [one - other for one, other in zip(logs_a, logs_b, strict=True)]
        found = hierarchical_bootstrap(differences, center)
        value, (low, high) = found.value, _ends(found)
    else:
        one, other = hierarchical_bootstrap(logs_a, center), hierarchical_bootstrap(logs_b, center)
        (low_a, high_a), (low_b, high_b) = _ends(one), _ends(other)
        value = one.value - other.value
        low = value - math.hypot(one.value - low_a, high_b - other.value)
        high = value + math.hypot(high_a - one.value, other.value - low_b)
    return math.exp(value), math.exp(low), math.exp(high)


def reference_workloads(this: Side, that: Side) -> tuple[CandidateResult, CandidateResult] | None:
    """Return the reference workloads timed beside two candidates of different results; None if they cannot be used.

    Both results must have timed the same network, in the same blocks as the candidates.
    """
    if this.result.reference_workload_sha256 != that.result.reference_workload_sha256:
        return None
    found = []
    for side in (this, that):
        reference = replace(side.candidate, runs=side.result.reference_workload, samples_per_query=1)
        if _blocks_per_process(reference) != _blocks_per_process(side.candidate):
            return None
        found.append(reference)
    return found[0], found[1]


def relative_to_reference(figures: Sequence[FloatArray], reference: Sequence[FloatArray]) -> list[FloatArray]:
    """Divide a candidate's figures by the reference workload's of the same blocks: (blocks,) float64 per process."""
    return [blocks / reference_blocks for blocks, reference_blocks in zip(figures, reference, strict=True)]


def energy_ratio(mine: Energy, other: Energy, *, paired: bool) -> tuple[float, float, float]:
    """Return the energy per inference, mine over the other's, with its 95 % interval: (value, low, high).

    The interval is over windows, as that of ``ratio`` is over processes. The error of both sensors is added to it as
    independent errors are: in squares.
    """
    # A window is a process with a single figure.
    my_windows, other_windows = ([np.array([mj]) for mj in side.mj] for side in (mine, other))
    value, low, high = ratio(my_windows, other_windows, paired=paired)
    sensor = math.hypot(mine.sensor_share, other.sensor_share)
    down = math.hypot(math.log(value / low), sensor)
    up = math.hypot(math.log(high / value), sensor)
    return value, value * math.exp(-down), value * math.exp(up)


def require_alike(first: BenchmarkResult, other: BenchmarkResult) -> None:
    """Check that two results can be compared.

    Raises:
        NotComparable: Conditions or inputs differ (all of them are named, with both values), or no candidate is shared.
    """
    differences = first.conditions.differs_from(other.conditions)
    unlike = [f"{name}: {_text(mine)} against {_text(theirs)}" for name, (mine, theirs) in differences.items()]
    inputs = {candidate.name: candidate.inputs for candidate in first.candidates}
    shared = [candidate for candidate in other.candidates if candidate.name in inputs]
    for candidate in shared:
        mine = inputs[candidate.name]
        if mine != candidate.inputs:
            unlike.append(f"inputs of {candidate.name}: {_text(mine)} against {_text(candidate.inputs)}")
    if unlike:
        raise NotComparable(
            f"{first.title} and {other.title} were measured under unlike conditions: {'; '.join(unlike)}; "
            "measure both again on one machine in one go"
        )
    if not shared:
        names, other_names = (", ".join(candidate.name for candidate in side.candidates) for side in (first, other))
        raise NotComparable(f"{first.title} ({names}) and {other.title} ({other_names}) share no candidate")


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items()) or "none"
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return "unknown" if value is None else str(value)


def _logs(processes: Sequence[FloatArray]) -> list[FloatArray]:
    return [np.log(blocks) for blocks in processes]


def _ends(found: Estimate) -> tuple[float, float]:
    """Return the interval; of a single block, which has none, the value twice (``Interval.is_clear`` is False then)."""
    return (found.low, found.high) if math.isfinite(found.high) else (found.value, found.value)


def _blocks_per_process(candidate: CandidateResult) -> list[int]:
    return [len(blocks) for blocks in candidate.kept_ns]


def _rows_within(result: BenchmarkResult, relative_to: str | None) -> Iterator[Row]:
    against = result.candidate(relative_to) if relative_to else result.candidates[0]
    for candidate in result.candidates:
        if candidate is not against:
            yield _row(Side(result, candidate), Side(result, against))


def _rows_across(first: BenchmarkResult, other: BenchmarkResult) -> Iterator[Row]:
    known = {candidate.name: candidate for candidate in first.candidates}
    for candidate in other.candidates:
        if against := known.get(candidate.name):
            yield _row(Side(other, candidate), Side(first, against))


def _row(this: Side, that: Side) -> Row:
    mine, other = this.candidate, that.candidate
    same_result = this.result is that.result
    # Only inside one result are the images known to be the same ones.
    intervals = _image_intervals(mine, other, this.result.set_metrics) if same_result else {}
    return Row(
        title=this.result.title,
        candidate=mine.name,
        against_title=that.result.title,
        against=other.name,
        paired=_is_paired(this, that),
        speedup=_speedup(this, that, lambda candidate: candidate.block_medians_ms, np.median),
        throughput=_speedup(this, that, lambda candidate: candidate.block_means_ms, np.mean),
        ratios=_ratios(_sizes(mine), _sizes(other)),
        differences={key: mine.accuracy[key] - other.accuracy[key] for key in mine.accuracy if key in other.accuracy},
        difference_intervals=intervals,
        energy=_energy(mine.energy, other.energy, same_result=same_result),
    )


def _is_paired(this: Side, that: Side) -> bool:
    """Whether block i of both ran in round i: one result, and as many rounds in every process."""
    same_rounds = _blocks_per_process(this.candidate) == _blocks_per_process(that.candidate)
    return this.result is that.result and same_rounds


def _speedup(
    this: Side, that: Side, figures: Callable[[CandidateResult], Sequence[FloatArray]], center: Center
) -> Interval:
    """Return the time of ``that`` over the time of ``this``."""
    mine, other = figures(this.candidate), figures(that.candidate)
    value, low, high = ratio(other, mine, paired=_is_paired(this, that), center=center)
    references = None if this.result is that.result else reference_workloads(this, that)
    if references:
        # Which of the two readings is right is unknown, so the interval covers both.
        my_share, other_share = (
            relative_to_reference(side, figures(reference))
            for side, reference in zip((mine, other), references, strict=True)
        )
        _, relative_low, relative_high = ratio(other_share, my_share, paired=False, center=center)
        low, high = min(low, relative_low), max(high, relative_high)
    counts = [_blocks_per_process(side.candidate) for side in (this, that)]
    return Interval(value, low, high, blocks=min(map(sum, counts)), processes=min(map(len, counts)))


def _energy(mine: Energy | None, other: Energy | None, *, same_result: bool) -> Interval | None:
    if mine is None or other is None or (mine.sensor, mine.total) != (other.sensor, other.total):
        return None
    if min((*mine.mj, *other.mj)) <= 0:
        return None  # the sensor's offset exceeds its reading: there is no ratio
    paired = same_result and len(mine.windows) == len(other.windows)
    windows = min(len(mine.windows), len(other.windows))
    return Interval(*energy_ratio(mine, other, paired=paired), blocks=windows, processes=windows)


def _image_intervals(
    mine: CandidateResult, other: CandidateResult, set_metrics: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Return the interval of the mean difference over images, for each metric that is a mean over images."""
    found = {}
    for metric, scores in mine.accuracy_per_sample.items():
        others = other.accuracy_per_sample.get(metric, ())
        if metric in set_metrics or len(scores) != len(others) or len(scores) < BLOCKS_MIN:
            continue
        differences = np.subtract(scores, others)  # (images,)
        found[metric] = _ends(hierarchical_bootstrap([differences], np.mean))
    return found


def _sizes(candidate: CandidateResult) -> dict[str, float | None]:
    return {
        "onnx_bytes": candidate.onnx_bytes,
        "engine_bytes": candidate.engine_bytes,
        "peak_memory_bytes": candidate.peak_memory_bytes,
        **candidate.cost,
    }


def _ratios(mine: Mapping[str, float | None], others: Mapping[str, float | None]) -> dict[str, float]:
    """Return mine over others for every size that both know and that is not 0 in the other."""
    found = {}
    for name, value in mine.items():
        other = others.get(name)
        if value is not None and other:
            found[name] = value / other
    return found
