"""Is the new engine worse than the accepted one by more than is allowed: pass, regress, or inconclusive.

Worse means *different*, by an exact test on one figure a process, **and** *larger than the limit*. Passed means that
the 95 % interval ends below the limit; where neither holds nobody knows, and how many processes would tell is worked
out.

Paired, both engines took turns in the same processes, now, on this machine: noise and drift fall on both, and the test
flips signs. What is open is looked at again, up to three times. Recorded, each was measured in its own time: the test
deals ranks, the whole interval must be beyond the limit, and what the hours did to the machine is told by a yardstick
that was timed beside both: a verdict stands where it is the same with it and without it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np

from edgekd.core.errors import NotComparable, RecipeError
from edgekd.core.numerics import FloatArray, percentile
from edgekd.results.compare import energy_ratio, over, ratio, require_alike, yardsticks
from edgekd.results.layer_diff import Blame, blame
from edgekd.results.result import BenchmarkResult, Candidate
from edgekd.results.statistics import Center, mann_whitney, sign_flip, two_level

Status = Literal["pass", "regress", "inconclusive"]

# Seven processes that all point one way are 2^-7 = 0.8 %; eight, as many as the gate measures, leave room: 0.4 %.
ALPHA = 0.01
PROCESSES = 8
# What is open is looked at again with as many processes more. Each look is another chance of ALPHA to be wrong.
LOOKS = 3
_PROCESSES_MIN = 7
_PROCESSES_MOST = 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """``[limits]`` of limits.toml: how much worse the new engine may be; a figure that is left out is not asked about.

    Attributes:
        latency: Of the median, as a share (0.03 is 3 % slower).
        latency_p99: Of the 99th percentile, as a share.
        throughput: Of the mean time of an inference, as a share.
        peak_memory, engine_size, onnx_size: In bytes, as a share.
        accuracy: Of the primary metric, in its own unit: dB, or 0.01 for one picture (or pixel) in a hundred.
        energy: Of the energy of an inference, idle power included, as a share; inconclusive where there is no sensor.
    """

    latency: float | None = None
    latency_p99: float | None = None
    throughput: float | None = None
    peak_memory: float | None = None
    engine_size: float | None = None
    onnx_size: float | None = None
    accuracy: float | None = None
    energy: float | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise RecipeError(f"{name} = {value!r}; a number of 0 or more was expected")

    def asked(self) -> dict[str, float]:
        """Return the figures that have a limit."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Check:
    """One figure of one candidate against its limit.

    Attributes:
        candidate, metric: Whose, and a field of ``Limits``.
        old, new: The figures: ms, inferences per second, bytes, or the primary metric's unit.
        change: How much worse, as the limit is meant: a share, or the metric's unit; below 0 is better.
        low, high: Its 95 % interval; equal to ``change`` where the figure is exact, None where nothing is known.
        p: Of "the new one is not worse", one-sided; None where the figure is exact.
        limit: The largest ``change`` that is allowed.
        status: pass, regress or inconclusive.
        processes: How many the timed figures rest on (of energy: windows, one a process); 0 of others.
        needs: Inconclusive: how many processes would be enough, None where no number that is sane would.
        why: In words.
    """

    candidate: str
    metric: str
    old: float | None
    new: float | None
    change: float | None
    low: float | None
    high: float | None
    p: float | None
    limit: float
    status: Status
    processes: int = 0
    needs: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks, and what they come to.

    Attributes:
        title: The result's.
        mode: "paired" or "recorded".
        checks: In the order of candidates, then of ``Limits``.
        notes: The result's.
        blames: Where each candidate in ``slower`` lost the time, as far as profiles tell.
    """

    title: str
    mode: Literal["paired", "recorded"]
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    blames: tuple[Blame, ...] = ()

    @property
    def status(self) -> Status:
        """Return regress if any check does, else inconclusive if any is, else pass."""
        found = {check.status for check in self.checks}
        return "regress" if "regress" in found else "inconclusive" if "inconclusive" in found else "pass"

    @property
    def exit_code(self) -> int:
        """DESIGN's codes: 0 pass, 1 regress, 4 inconclusive."""
        return {"pass": 0, "regress": 1, "inconclusive": 4}[self.status]

    @property
    def needs(self) -> int | None:
        """Return how many processes would settle every check that they can settle; None where none is open."""
        return max((check.needs for check in self.checks if check.needs is not None), default=None)

    @property
    def slower(self) -> tuple[str, ...]:
        """Return the candidates of which a timed figure regressed."""
        found = (check.candidate for check in self.checks if check.status == "regress" and check.metric in _TIMED)
        return tuple(dict.fromkeys(found))

    def to_json(self) -> str:
        """Return the text of ``verdict.json``."""
        return json.dumps({"status": self.status, "needs": self.needs, **asdict(self)}, indent=1) + "\n"


def judge_paired(result: BenchmarkResult, new: str, old: str, limits: Limits) -> Verdict:
    """Judge two candidates of one result, which took turns.

    Raises:
        NotComparable: There is no such candidate, or the two did not take turns in the same processes.
    """
    mine, other = result.candidate(new), result.candidate(old)
    if list(map(len, mine.kept_ns)) != list(map(len, other.kept_ns)):
        raise NotComparable(f"{new} and {old} of {result.title} did not run the same rounds; measure them in one go")
    sides = _Sides(mine, other, result, True)
    verdict = Verdict(result.title, "paired", tuple(_checks(sides, limits)), result.notes)
    return replace(verdict, blames=tuple(blame(mine, other) for _ in verdict.slower))


def judge_recorded(
    result: BenchmarkResult, baseline: BenchmarkResult, limits: Limits, candidates: Sequence[str] = ()
) -> Verdict:
    """Judge a result by one that was recorded earlier.

    Args:
        result: The new one.
        baseline: The accepted one.
        limits: What is asked.
        candidates: Names to judge; those that both have where none is given.

    Raises:
        NotComparable: Conditions, inputs or pairs differ, or a candidate is missing.
    """
    if result.title != baseline.title:
        raise NotComparable(f"the result is of {result.title}, the baseline of {baseline.title}; give one of the same")
    require_alike(baseline, result)
    known = {candidate.name for candidate in baseline.candidates}
    names = candidates or [candidate.name for candidate in result.candidates if candidate.name in known]
    checks: list[Check] = []
    for name in names:
        new, old = result.candidate(name), baseline.candidate(name)
        checks += _checks(_Sides(new, old, result, False, yardsticks((result, new), (baseline, old))), limits)
    verdict = Verdict(result.title, "recorded", tuple(checks), result.notes)
    blames = (blame(result.candidate(name), baseline.candidate(name)) for name in verdict.slower)
    return replace(verdict, blames=tuple(blames))


@dataclass(frozen=True, slots=True)
class _Sides:
    """Who is judged by whom; ``yards`` are the yardsticks of both, of two results that have one."""

    new: Candidate
    old: Candidate
    result: BenchmarkResult
    paired: bool
    yards: tuple[Candidate, Candidate] | None = None


# Figure → one array a process, larger is worse; what stands for a process; how the figure is shown.
_Timed = tuple[Callable[[Candidate], tuple[FloatArray, ...]], Center, Callable[[Candidate], float]]
_TIMED: Mapping[str, _Timed] = {
    "latency": (lambda c: c.block_medians_ms, np.median, lambda c: c.percentile_ms(50)),
    "latency_p99": (lambda c: _tails_ms(c), np.median, lambda c: c.percentile_ms(99)),
    "throughput": (lambda c: c.block_means_ms, np.mean, lambda c: c.throughput_per_s),
}
_SIZES: Mapping[str, Callable[[Candidate], int | None]] = {
    "peak_memory": lambda c: c.peak_memory_bytes,
    "engine_size": lambda c: c.engine_bytes,
    "onnx_size": lambda c: c.onnx_bytes,
}


def _checks(sides: _Sides, limits: Limits) -> list[Check]:
    makers: dict[str, Callable[[_Sides, str, float], Check]] = {
        **dict.fromkeys(_TIMED, _timed),
        **dict.fromkeys(_SIZES, _sized),
        "accuracy": _accuracy,
        "energy": _energy,
    }
    return [makers[metric](sides, metric, limit) for metric, limit in limits.asked().items()]


@dataclass(frozen=True, slots=True)
class _Change:
    """How much worse, as a share, with its 95 % interval and the p of "not worse"."""

    value: float
    low: float
    high: float
    p: float

    @classmethod
    def of(cls, new: Sequence[FloatArray], old: Sequence[FloatArray], center: Center, *, paired: bool) -> _Change:
        """Work it out from one array of positive figures a process and side."""
        value, low, high = (end - 1 for end in ratio(new, old, paired=paired, center=center))
        if paired:
            p = sign_flip([float(center(np.log(a) - np.log(b))) for a, b in zip(new, old, strict=True)])
        else:
            p = mann_whitney(*([float(center(np.log(blocks))) for blocks in side] for side in (new, old)))
        return cls(value, low, high, p)

    def status(self, limit: float, *, paired: bool) -> Status:
        return decide(self.value, self.low, self.high, self.p, limit, recorded=not paired)


def _timed(sides: _Sides, metric: str, limit: float) -> Check:
    figures, center, shown = _TIMED[metric]
    new, old = figures(sides.new), figures(sides.old)
    change = _Change.of(new, old, center, paired=sides.paired)
    processes, needs, why = min(len(new), len(old)), None, ""
    # One process says nothing of how the next would be.
    status = change.status(limit, paired=sides.paired) if processes > 1 else "inconclusive"
    if status == "inconclusive":
        needs = processes_needed(change.value, change.low, change.high, limit, processes)
        why = _open(processes, needs)
    elif not sides.paired:
        status, why = _held_against_the_machine(sides, metric, limit, status)
    return Check(
        *(sides.new.name, metric, shown(sides.old), shown(sides.new), change.value, change.low, change.high, change.p),
        *(limit, status, processes, needs, why),
    )


def _held_against_the_machine(sides: _Sides, metric: str, limit: float, status: Status) -> tuple[Status, str]:
    """Return the verdict on two results of different times: the yardsticks must bear it out, or nobody knows."""
    if sides.yards is None:
        return "inconclusive", (
            "nobody knows what the machine did between the two: they have no yardstick in common; record both again, "
            "or measure now with --against"
        )
    figures, center, _ = _TIMED[metric]
    new, old = (figures(yard) for yard in sides.yards)
    machine = _Change.of(new, old, center, paired=False)
    change = _Change.of(over(figures(sides.new), new), over(figures(sides.old), old), center, paired=False)
    if change.status(limit, paired=False) == status:
        return status, ""
    return "inconclusive", (
        f"the machine's own pace changed by {machine.value:+.1%} between the two; held against it, the change is "
        f"{change.value:+.1%} ({change.low:+.1%} to {change.high:+.1%}): measure now with --against"
    )


def decide(change: float, low: float, high: float, p: float, limit: float, *, recorded: bool = False) -> Status:
    """Return the verdict on a figure that scatters.

    Args:
        change: How much worse, in the limit's unit.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Of "not worse", one-sided.
        limit: The largest change that is allowed.
        recorded: The two sides were measured at different times: the whole interval must lie beyond the limit.
    """
    if p <= ALPHA and (low if recorded else change) > limit:
        return "regress"
    return "pass" if high <= limit else "inconclusive"


def processes_needed(change: float, low: float, high: float, limit: float, processes: int) -> int | None:
    """Return how many processes would settle it, were they like these; None where it would take over a thousand.

    An interval narrows with the root of their number; it must end before the limit, or begin beyond it, and the exact
    test needs seven to tell anything.
    """
    distance, reach = abs(limit - change), (high - change if change <= limit else change - low)
    if distance * math.sqrt(_PROCESSES_MOST / processes) < reach:
        return None
    narrow = math.ceil(round(processes * (reach / distance) ** 2, 6)) if reach else 0
    return max(narrow, processes + 1, _PROCESSES_MIN)


def _open(processes: int, needs: int | None) -> str:
    few = f"{processes} process{'es' if processes > 1 else ''} cannot tell"
    if needs is None:
        return f"{few}, nor could a thousand: the change is too near to the limit"
    return f"{few}; {needs} could"


def _tails_ms(candidate: Candidate) -> tuple[FloatArray, ...]:
    """Return the 99th percentile of each process, one array of one figure each."""
    return tuple(
        np.array([percentile([ns for block in blocks for ns in block], 99)]) / 1e6 for blocks in candidate.kept_ns
    )


def _energy(sides: _Sides, metric: str, limit: float) -> Check:
    new, old = sides.new.energy, sides.old.energy
    old_mj, new_mj = (float(np.mean(side.mj)) if side else None for side in (old, new))
    if new is None or old is None:
        check = _unknown(sides, metric, limit, old_mj, new_mj)
        why = sides.result.no_energy
        return replace(check, why=f"{check.why}: {why}") if why else check
    if (new.reader, new.total) != (old.reader, old.total) or min((*new.mj, *old.mj)) <= 0:
        check = _unknown(sides, metric, limit, old_mj, new_mj)
        return replace(check, why="the two were read by different sensors, or a sensor read less than nothing")
    paired = sides.paired and len(new.windows) == len(old.windows)
    value, low, high = (end - 1 for end in energy_ratio(new, old, paired=paired))
    p = sign_flip(np.log(new.mj) - np.log(old.mj)) if paired else mann_whitney(np.log(new.mj), np.log(old.mj))
    windows = min(len(new.windows), len(old.windows))
    status = decide(value, low, high, p, limit, recorded=not paired) if windows > 1 else "inconclusive"
    needs = processes_needed(value, low, high, limit, windows) if status == "inconclusive" else None
    why = _open(windows, needs) if status == "inconclusive" else ""
    return Check(
        *(sides.new.name, metric, old_mj, new_mj, value, low, high, p, limit, status, windows, needs, why),
    )


def _sized(sides: _Sides, metric: str, limit: float) -> Check:
    new, old = (_SIZES[metric](side) or None for side in (sides.new, sides.old))
    if new is None or old is None:
        return _unknown(sides, metric, limit, old, new)
    return _exact(sides, metric, limit, float(old), float(new), new / old - 1)


def _accuracy(sides: _Sides, metric: str, limit: float) -> Check:
    primary = sides.result.primary_metric
    given = (side.accuracy.get(primary) for side in (sides.new, sides.old))
    new, old = (value if value is not None and math.isfinite(value) else None for value in given)
    if new is None or old is None:
        return _unknown(sides, metric, limit, old, new)
    mine, other = (side.accuracy_per_sample.get(primary, ()) for side in (sides.new, sides.old))
    if primary in sides.result.set_metrics or len(mine) != len(other) or len(mine) < 2:
        # A figure of the whole set has no picture to resample: on this set it is what it is.
        return _exact(sides, metric, limit, old, new, old - new)
    worse = np.subtract(other, mine)
    found = two_level([worse], np.mean)
    change, low, high, p = found.value, found.low, found.high, sign_flip(worse)
    status = decide(change, low, high, p, limit)
    why = "" if status != "inconclusive" else f"{len(worse)} pictures cannot tell; score more of them"
    return Check(
        *(sides.new.name, metric, old, new, change, low, high, p, limit, status),
        why=why,
    )


def _exact(sides: _Sides, metric: str, limit: float, old: float, new: float, change: float) -> Check:
    # 1.02 / 1.00 - 1 is a little more than 0.02.
    status: Status = "regress" if round(change, 12) > limit else "pass"
    return Check(sides.new.name, metric, old, new, change, change, change, None, limit, status)


def _unknown(sides: _Sides, metric: str, limit: float, old: float | None, new: float | None) -> Check:
    missing = " and ".join(name for name, value in (("the new", new), ("the accepted", old)) if value is None)
    why = f"{missing} engine's figure was not measured"
    return Check(sides.new.name, metric, old, new, None, None, None, None, limit, "inconclusive", why=why)
