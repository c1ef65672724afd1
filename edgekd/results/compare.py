"""Results → ratios with intervals: who is faster, smaller, better, and whether the samples can tell.

Inside one result candidates took turns in every process, so their blocks are paired. Across results they did not:
same-named candidates are compared unpaired, and only where every condition is equal. Intervals are over processes and
blocks; across results they also take in what the hours did to the machine, as far as a yardstick in both tells.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgekd.core.errors import InputError, NotComparable
from edgekd.core.numerics import FloatArray
from edgekd.results.energy import Energy
from edgekd.results.result import BenchmarkResult, Candidate
from edgekd.results.statistics import Center, Estimate, two_level

# A candidate and the result that it is of.
Side = tuple[BenchmarkResult, Candidate]

# 2/2^6 = 0.03: six pairs are the fewest whose signs alone can reach 5 %.
BLOCKS_MIN = 6


@dataclass(frozen=True, slots=True)
class Interval:
    """A ratio (pure number, 1 is "no change") with its 95 % interval.

    Attributes:
        value: The ratio.
        low, high: Of the two-level bootstrap, see ``core.statistics``.
        blocks: How many blocks of the shorter side it rests on.
        processes: And how many processes.
    """

    value: float
    low: float
    high: float
    blocks: int
    processes: int = 1

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 1 out, on enough blocks; where not, people are shown "~"."""
        return self.blocks >= BLOCKS_MIN and not self.low <= 1 <= self.high

    def __str__(self) -> str:
        return f"{self.value:.2f}x ({self.low:.2f}–{self.high:.2f}){'' if self.is_clear else ' ~'}"


@dataclass(frozen=True, slots=True)
class Row:
    """One candidate against another.

    Attributes:
        title, candidate: Whose row it is.
        against_title, against: What it is compared with.
        paired: Whether the two took turns in one process.
        speedup: Latency of the other over this one's: above 1 is faster. Not ``paired``, its interval reaches from the
            one as measured to the one held against the yardsticks.
        throughput: Inferences per second, this over the other.
        ratios: This over the other: ``onnx_bytes``, ``engine_bytes``, ``peak_memory_bytes`` and each counted cost,
            where both sides know it.
        differences: Metric → this minus the other.
        energy: Energy of an inference, idle power included, this over the other: below 1 is less; None where a side has
            none, or the two were read by different sensors.
        difference_intervals: Metric → (low, high), the difference's 95 % interval, of pictures that both were scored
            on; only where the figure is their mean, and there are enough of them.
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
        """Return the first row of ``candidate`` (in the result called ``title``). Raises NotComparable."""
        for row in self.rows:
            if row.candidate == candidate and title in (None, row.title):
                return row
        names = ", ".join(row.candidate for row in self.rows) or "none"
        raise NotComparable(f"no row for {candidate!r}; there are: {names}")


def compare(results: Sequence[BenchmarkResult], baseline: str | None = None) -> Comparison:
    """Compare the candidates inside each result, and same-named candidates of later results with the first's.

    Args:
        results: One or more.
        baseline: The candidate that others of its own result are compared with; default: the result's first.

    Raises:
        NotComparable: Two results were taken under unlike conditions or share no candidate, or there is no baseline.
        InputError: No result was given.
    """
    if not results:
        raise InputError("no result to compare; give one result.json or more")
    first, *others = results
    for other in others:
        require_alike(first, other)
    inside = itertools.chain.from_iterable(_within(result, baseline) for result in results)
    across = itertools.chain.from_iterable(_across(first, other) for other in others)
    return Comparison((*inside, *across))


def interval(processes: Sequence[FloatArray], center: Center = np.median) -> tuple[float, float]:
    """Return the 95 % interval (low, high) of one candidate's latency in ms.

    Args:
        processes: ``Candidate.block_medians_ms``, or ``block_means_ms``: one array a process, (blocks,) float64.
        center: ``np.median`` or ``np.mean`` of the logs of the blocks stands for a process.
    """
    low, high = _ends(two_level([np.log(blocks) for blocks in processes], center))
    return math.exp(low), math.exp(high)


def ratio(
    a: Sequence[FloatArray], b: Sequence[FloatArray], *, paired: bool, center: Center = np.median
) -> tuple[float, float, float]:
    """Return a over b with its 95 % interval.

    Args:
        a: Positive figures, one array a process, (blocks,) float64.
        b: The same of the other side; where ``paired``, of the same processes and rounds.
        paired: Whether block i of both ran in round i of one process.
        center: ``np.median`` or ``np.mean`` of the logs of the blocks stands for a process.

    Source: of the interval of two independent figures, G. Zou, A. Donner, Statistics in Medicine 27(10), 2008.
    """
    logs_a, logs_b = ([np.log(blocks) for blocks in side] for side in (a, b))
    if paired:
        found = two_level([one - other for one, other in zip(logs_a, logs_b, strict=True)], center)
        value, (low, high) = found.value, _ends(found)
    else:
        one, other = two_level(logs_a, center), two_level(logs_b, center)
        value, (low_a, high_a), (low_b, high_b) = one.value - other.value, _ends(one), _ends(other)
        low = value - math.hypot(one.value - low_a, high_b - other.value)
        high = value + math.hypot(high_a - one.value, other.value - low_b)
    return math.exp(value), math.exp(low), math.exp(high)


def yardsticks(this: Side, that: Side) -> tuple[Candidate, Candidate] | None:
    """Return the yardsticks that took turns with two candidates of different results, None without one in common."""
    if this[0].yardstick_sha256 != that[0].yardstick_sha256:
        return None
    found = []
    for result, candidate in (this, that):
        yard = replace(candidate, runs=result.yardstick, samples_per_query=1)
        if list(map(len, yard.kept_ns)) != list(map(len, candidate.kept_ns)):
            return None
        found.append(yard)
    return found[0], found[1]


def over(figures: Sequence[FloatArray], yard: Sequence[FloatArray]) -> list[FloatArray]:
    """Divide a candidate's figures by the yardstick's of the same blocks: one array a process, (blocks,) float64."""
    return [blocks / of_yard for blocks, of_yard in zip(figures, yard, strict=True)]


def _ends(found: Estimate) -> tuple[float, float]:
    """One block alone tells no interval: both ends are the figure, which ``Interval.is_clear`` knows."""
    return (found.low, found.high) if math.isfinite(found.high) else (found.value, found.value)


def _within(result: BenchmarkResult, baseline: str | None) -> Iterator[Row]:
    against = result.candidate(baseline) if baseline else result.candidates[0]
    for candidate in result.candidates:
        if candidate is not against:
            yield _row((result, candidate), (result, against))


def _across(first: BenchmarkResult, other: BenchmarkResult) -> Iterator[Row]:
    known = {candidate.name: candidate for candidate in first.candidates}
    for candidate in other.candidates:
        if against := known.get(candidate.name):
            yield _row((other, candidate), (first, against))


def _row(this: Side, that: Side) -> Row:
    (result, mine), (other_result, other) = this, that
    # Block i of both ran in round i only if one process measured both, for as many rounds.
    shapes = [tuple(map(len, candidate.kept_ns)) for candidate in (mine, other)]
    paired = result is other_result and shapes[0] == shapes[1]
    counts = (min(map(sum, shapes)), min(map(len, shapes)))
    yards = None if result is other_result else yardsticks(this, that)

    def of(figures: Callable[[Candidate], Sequence[FloatArray]], center: Center) -> Interval:
        value, low, high = ratio(figures(other), figures(mine), paired=paired, center=center)
        if yards:
            held = [over(figures(side), figures(yard)) for side, yard in zip((mine, other), yards, strict=True)]
            _, held_low, held_high = ratio(held[1], held[0], paired=False, center=center)
            low, high = min(low, held_low), max(high, held_high)
        return Interval(value, low, high, *counts)

    return Row(
        title=result.title,
        candidate=mine.name,
        against_title=other_result.title,
        against=other.name,
        paired=paired,
        speedup=of(lambda candidate: candidate.block_medians_ms, np.median),
        throughput=of(lambda candidate: candidate.block_means_ms, np.mean),
        ratios=_ratios(_sizes(mine), _sizes(other)),
        differences={key: mine.accuracy[key] - other.accuracy[key] for key in mine.accuracy if key in other.accuracy},
        # Only inside one result are the pictures known to be the same ones.
        difference_intervals=_per_picture(mine, other, result.set_metrics) if result is other_result else {},
        energy=_energy(mine.energy, other.energy, inside=result is other_result),
    )


def energy_ratio(mine: Energy, other: Energy, *, paired: bool) -> tuple[float, float, float]:
    """Return the energy of an inference, mine over the other's, with its 95 % interval.

    The interval is over windows, as ``ratio``'s is over processes; what the sensor alone may err by, in both, is added
    to it as independent errors add.
    """
    value, low, high = ratio(*([np.array([mj]) for mj in side.mj] for side in (mine, other)), paired=paired)
    sensor = math.hypot(mine.sensor_share, other.sensor_share)
    down, up = math.hypot(math.log(value / low), sensor), math.hypot(math.log(high / value), sensor)
    return value, value * math.exp(-down), value * math.exp(up)


def _energy(mine: Energy | None, other: Energy | None, *, inside: bool) -> Interval | None:
    if mine is None or other is None or (mine.reader, mine.total) != (other.reader, other.total):
        return None
    if min((*mine.mj, *other.mj)) <= 0:
        return None  # a sensor's offset can be larger than what it reads: no ratio can be made of that
    paired = inside and len(mine.windows) == len(other.windows)
    windows = min(len(mine.windows), len(other.windows))
    return Interval(*energy_ratio(mine, other, paired=paired), windows, windows)


def _per_picture(mine: Candidate, other: Candidate, of_set: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Resample pictures: the interval of the mean difference, for each metric that is a mean over them."""
    found = {}
    for metric, values in mine.accuracy_per_sample.items():
        others = other.accuracy_per_sample.get(metric, ())
        if metric in of_set or len(values) != len(others) or len(values) < BLOCKS_MIN:
            continue
        apart = np.subtract(values, others)
        found[metric] = _ends(two_level([apart], np.mean))
    return found


def _sizes(candidate: Candidate) -> dict[str, float | None]:
    names = ("onnx_bytes", "engine_bytes", "peak_memory_bytes")
    return {**{name: getattr(candidate, name) for name in names}, **candidate.cost}


def _ratios(mine: Mapping[str, float | None], others: Mapping[str, float | None]) -> dict[str, float]:
    """Return mine over others where both are known and the other is not nothing."""
    known = {name: (value, others.get(name)) for name, value in mine.items()}
    return {name: a / b for name, (a, b) in known.items() if a is not None and b}


def require_alike(first: BenchmarkResult, other: BenchmarkResult) -> None:
    """Raise NotComparable, naming every field that differs and both values."""
    said = [
        f"{name}: {_say(mine)} against {_say(theirs)}"
        for name, (mine, theirs) in first.conditions.differs_from(other.conditions).items()
    ]
    fed = {candidate.name: candidate.inputs for candidate in first.candidates}
    shared = [candidate for candidate in other.candidates if candidate.name in fed]
    said += [
        f"inputs of {candidate.name}: {_say(fed[candidate.name])} against {_say(candidate.inputs)}"
        for candidate in shared
        if fed[candidate.name] != candidate.inputs
    ]
    if said:
        raise NotComparable(
            f"{first.title} and {other.title} were measured under unlike conditions: {'; '.join(said)}; "
            "measure both again on one machine in one go"
        )
    if not shared:
        names = (", ".join(candidate.name for candidate in result.candidates) for result in (first, other))
        raise NotComparable(f"{first.title} ({next(names)}) and {other.title} ({next(names)}) share no candidate")


def _say(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_say(item)}" for key, item in value.items()) or "none"
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return "not told" if value is None else str(value)
