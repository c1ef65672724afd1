"""Checks: one figure of a new engine against an accepted one and a limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgekd.core.numerics import FloatArray, percentile
from edgekd.results.compare import energy_ratio, ratio, relative_to_reference
from edgekd.results.limits import Limits
from edgekd.results.result import BenchmarkResult, CandidateResult
from edgekd.results.statistics import Center, hierarchical_bootstrap, mann_whitney, sign_flip
from edgekd.results.verdict import TIMED, Check, Status

# Seven processes that all point one way reach p = 2^-7 = 0.8 %; the eight that the gate measures reach 0.4 %.
ALPHA = 0.01
# Fewest processes whose sign-flip test can reach ALPHA.
_PROCESSES_MIN = 7
# Beyond this many processes more measuring is no advice.
_PROCESSES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Pair:
    """The new and the accepted candidate.

    Attributes:
        new, old: The two sides.
        result: The new candidate's result.
        paired: Whether both were timed interleaved in the same processes.
        references: For results of different times: the reference workload timed beside each side; None if there is no
            common one.
    """

    new: CandidateResult
    old: CandidateResult
    result: BenchmarkResult
    paired: bool
    references: tuple[CandidateResult, CandidateResult] | None = None


def check_pair(pair: Pair, limits: Limits) -> list[Check]:
    """Check every figure that has a limit."""
    return [_CHECKS[metric](pair, metric, limit) for metric, limit in limits.enabled().items()]


def decide(change: float, low: float, high: float, p: float, limit: float, *, recorded: bool = False) -> Status:
    """Decide about a figure that scatters.

    Args:
        change: How much worse, in the limit's unit.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: One-sided p-value of "not worse".
        limit: The largest change that is allowed.
        recorded: The two sides were measured at different times: the whole interval must exceed the limit to regress.
    """
    if p <= ALPHA and (low if recorded else change) > limit:
        return "regress"
    return "pass" if high <= limit else "inconclusive"


def processes_needed(change: float, low: float, high: float, limit: float, processes: int) -> int | None:
    """Return how many processes like the measured ones would decide; None if more than a thousand.

    An interval narrows with the square root of their number. It must end below the limit, or begin above it, and the
    exact test needs seven processes to reach ``ALPHA``.
    """
    distance, reach = abs(limit - change), (high - change if change <= limit else change - low)
    if distance * math.sqrt(_PROCESSES_MAX / processes) < reach:
        return None
    # Rounded first: 40.000000000000001 processes are 40.
    narrow = math.ceil(round(processes * (reach / distance) ** 2, 6)) if reach else 0
    return max(narrow, processes + 1, _PROCESSES_MIN)


@dataclass(frozen=True, slots=True)
class _Change:
    """How much worse, as a share, with its 95 % interval and the p-value of "not worse"."""

    value: float
    low: float
    high: float
    p: float

    @classmethod
    def of(cls, new: Sequence[FloatArray], old: Sequence[FloatArray], center: Center, *, paired: bool) -> _Change:
        """Compute it from positive figures, larger is worse: one (blocks,) array per process and side."""
        value, low, high = (end - 1 for end in ratio(new, old, paired=paired, center=center))
        if paired:
            p = sign_flip([float(center(np.log(a) - np.log(b))) for a, b in zip(new, old, strict=True)])
        else:
            new_centers, old_centers = ([float(center(np.log(blocks))) for blocks in side] for side in (new, old))
            p = mann_whitney(new_centers, old_centers)
        return cls(value, low, high, p)

    def status(self, limit: float, *, paired: bool) -> Status:
        """See ``decide``."""
        return decide(self.value, self.low, self.high, self.p, limit, recorded=not paired)


@dataclass(frozen=True, slots=True)
class _TimedFigure:
    """How a timed figure is read from a candidate.

    Attributes:
        per_process: One (blocks,) array per process; larger is worse.
        center: What represents a process.
        shown: The figure as tables show it.
    """

    per_process: Callable[[CandidateResult], tuple[FloatArray, ...]]
    center: Center
    shown: Callable[[CandidateResult], float]


_TIMED_FIGURES: Mapping[str, _TimedFigure] = {
    "latency": _TimedFigure(lambda c: c.block_medians_ms, np.median, lambda c: c.percentile_ms(50)),
    "latency_p99": _TimedFigure(lambda c: _tails_ms(c), np.median, lambda c: c.percentile_ms(99)),
    "throughput": _TimedFigure(lambda c: c.block_means_ms, np.mean, lambda c: c.throughput_per_s),
}


def _tails_ms(candidate: CandidateResult) -> tuple[FloatArray, ...]:
    """Return the 99th percentile of each process: one (1,) array each."""
    tails = []
    for blocks in candidate.kept_ns:
        latencies_ns = [ns for block in blocks for ns in block]
        tails.append(np.array([percentile(latencies_ns, 99)]) / 1e6)
    return tuple(tails)


def _check_timed(pair: Pair, metric: str, limit: float) -> Check:
    figure = _TIMED_FIGURES[metric]
    new, old = figure.per_process(pair.new), figure.per_process(pair.old)
    change = _Change.of(new, old, figure.center, paired=pair.paired)
    processes = min(len(new), len(old))
    # One process does not show how the next one would differ.
    status = change.status(limit, paired=pair.paired) if processes > 1 else "inconclusive"
    needed, reason = None, ""
    if status == "inconclusive":
        needed = processes_needed(change.value, change.low, change.high, limit, processes)
        reason = _too_few(processes, needed)
    elif not pair.paired:
        status, reason = _confirmed_by_reference(pair, figure, limit, status)
    return Check(
        candidate=pair.new.name,
        metric=metric,
        old=figure.shown(pair.old),
        new=figure.shown(pair.new),
        change=change.value,
        low=change.low,
        high=change.high,
        p=change.p,
        limit=limit,
        status=status,
        processes=processes,
        processes_needed=needed,
        reason=reason,
    )


def _confirmed_by_reference(pair: Pair, figure: _TimedFigure, limit: float, status: Status) -> tuple[Status, str]:
    """Return the status if the figures relative to the reference workloads agree with it, else inconclusive and why."""
    if pair.references is None:
        return "inconclusive", (
            "the machine may have changed between the two: they have no reference workload in common; record both "
            "again, or measure now with --against"
        )
    new, old = (figure.per_process(reference) for reference in pair.references)
    machine = _Change.of(new, old, figure.center, paired=False)
    new_share = relative_to_reference(figure.per_process(pair.new), new)
    old_share = relative_to_reference(figure.per_process(pair.old), old)
    change = _Change.of(new_share, old_share, figure.center, paired=False)
    if change.status(limit, paired=False) == status:
        return status, ""
    return "inconclusive", (
        f"the reference workload's own time changed by {machine.value:+.1%} between the two; relative to it, the "
        f"change is {change.value:+.1%} ({change.low:+.1%} to {change.high:+.1%}): measure now with --against"
    )


def _too_few(processes: int, needed: int | None) -> str:
    counted = f"{processes} process{'es are' if processes > 1 else ' is'}"
    if needed is None:
        return f"{counted} too few to decide, and so are a thousand: the change is too close to the limit"
    return f"{counted} too few to decide; {needed} would be enough"


def _check_energy(pair: Pair, metric: str, limit: float) -> Check:
    new, old = pair.new.energy, pair.old.energy
    old_mj, new_mj = (float(np.mean(side.mj)) if side else None for side in (old, new))
    if new is None or old is None:
        check = _not_measured(pair, metric, limit, old_mj, new_mj)
        why = pair.result.energy_unavailable
        return replace(check, reason=f"{check.reason}: {why}") if why else check
    if (new.sensor, new.total) != (old.sensor, old.total) or min((*new.mj, *old.mj)) <= 0:
        check = _not_measured(pair, metric, limit, old_mj, new_mj)
        return replace(check, reason="the two were read from different sensors, or a sensor read 0 or less")
    paired = pair.paired and len(new.windows) == len(old.windows)
    value, low, high = (end - 1 for end in energy_ratio(new, old, paired=paired))
    p = sign_flip(np.log(new.mj) - np.log(old.mj)) if paired else mann_whitney(np.log(new.mj), np.log(old.mj))
    windows = min(len(new.windows), len(old.windows))
    status = decide(value, low, high, p, limit, recorded=not paired) if windows > 1 else "inconclusive"
    is_open = status == "inconclusive"
    needed = processes_needed(value, low, high, limit, windows) if is_open else None
    return Check(
        candidate=pair.new.name,
        metric=metric,
        old=old_mj,
        new=new_mj,
        change=value,
        low=low,
        high=high,
        p=p,
        limit=limit,
        status=status,
        processes=windows,
        processes_needed=needed,
        reason=_too_few(windows, needed) if is_open else "",
    )


_SIZES: Mapping[str, Callable[[CandidateResult], int | None]] = {
    "peak_memory": lambda c: c.peak_memory_bytes,
    "engine_size": lambda c: c.engine_bytes,
    "onnx_size": lambda c: c.onnx_bytes,
}


def _check_size(pair: Pair, metric: str, limit: float) -> Check:
    # A size of 0 was not measured.
    new, old = (_SIZES[metric](side) or None for side in (pair.new, pair.old))
    if new is None or old is None:
        return _not_measured(pair, metric, limit, old, new)
    return _exact(pair, metric, limit, (float(old), float(new)), new / old - 1)


def _check_accuracy(pair: Pair, metric: str, limit: float) -> Check:
    primary = pair.result.primary_metric
    scores = (side.accuracy.get(primary) for side in (pair.new, pair.old))
    new, old = (score if score is not None and math.isfinite(score) else None for score in scores)
    if new is None or old is None:
        return _not_measured(pair, metric, limit, old, new)
    mine, other = (side.accuracy_per_sample.get(primary, ()) for side in (pair.new, pair.old))
    if primary in pair.result.set_metrics or len(mine) != len(other) or len(mine) < 2:
        # A metric of the whole set cannot be resampled by image: on this set it is exact.
        return _exact(pair, metric, limit, (old, new), old - new)
    worse = np.subtract(other, mine)  # (images,)
    found = hierarchical_bootstrap([worse], np.mean)
    p = sign_flip(worse)
    status = decide(found.value, found.low, found.high, p, limit)
    return Check(
        candidate=pair.new.name,
        metric=metric,
        old=old,
        new=new,
        change=found.value,
        low=found.low,
        high=found.high,
        p=p,
        limit=limit,
        status=status,
        reason=f"{len(worse)} images are too few to decide; score more" if status == "inconclusive" else "",
    )


def _exact(pair: Pair, metric: str, limit: float, old_new: tuple[float, float], change: float) -> Check:
    # Rounded: 1.02 / 1.00 - 1 is slightly more than 0.02.
    status: Status = "regress" if round(change, 12) > limit else "pass"
    return Check(pair.new.name, metric, *old_new, change, change, change, None, limit, status)


def _not_measured(pair: Pair, metric: str, limit: float, old: float | None, new: float | None) -> Check:
    missing = " and ".join(name for name, value in (("the new", new), ("the accepted", old)) if value is None)
    reason = f"{missing} engine's figure was not measured"
    return Check(pair.new.name, metric, old, new, None, None, None, None, limit, "inconclusive", reason=reason)


_CHECKS: Mapping[str, Callable[[Pair, str, float], Check]] = {
    **dict.fromkeys(TIMED, _check_timed),
    **dict.fromkeys(_SIZES, _check_size),
    "accuracy": _check_accuracy,
    "energy": _check_energy,
}
