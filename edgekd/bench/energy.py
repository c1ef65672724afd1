"""Energy of one inference, in a window of its own: a fresh process rests with the engine open, then runs it.

Not inside the blocks that are timed for latency: candidates alternate there every 50 ms, which no sensor of a board can
separate, and reading a sensor costs time. Here one engine runs alone, back to back, while the parent process reads the
sensor; both use the same clock, which all processes of a machine share. The energy of reading the sensor is spent at
rest too, so it cancels out of what is above idle.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.bench import timing
from edgekd.bench.candidate import Candidate
from edgekd.core import family, worker
from edgekd.core.clock import CLOCK, stopwatch
from edgekd.core.config import BenchConfig
from edgekd.core.errors import EdgeKDError, MachineError
from edgekd.core.numerics import FloatArray
from edgekd.core.protocols import PowerSource
from edgekd.core.reporter import Reporter
from edgekd.machine.power import open_sensor
from edgekd.results.energy import Energy, EnergyWindow

# Of energy_s: how long it rests, and how long it warms up before that.
_IDLE_SHARE = _WARM_SHARE = 0.5
_READINGS_MIN = 3
_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class Energies:
    """What was found.

    Attributes:
        by_key: Candidate → its energy; those without are left out.
        reason: Why any is missing; "" where none is.
    """

    by_key: Mapping[str, Energy] = field(default_factory=dict)
    reason: str = ""


def measure(
    candidates: Sequence[Candidate], config: BenchConfig, reporter: Reporter, root: Path = Path("/")
) -> Energies:
    """Measure every candidate in ``config.processes`` windows, alternating and in balanced order.

    Args:
        candidates: At least one, each with its feeds. The first inference of a query is run again and again.
        config: ``energy_s``, ``processes``, ``backend`` and ``threads`` are used.
        reporter: Receives a message with the sensor that was found.
        root: Where the sensor's files lie.
    """
    if not config.energy_s:
        return Energies(reason="bench.energy_s is 0")
    try:
        sensor, source = open_sensor(family.load("backends", config.backend).BACKEND.device, root)
    except MachineError as err:
        return Energies(reason=f"no sensor can be read: {err}")
    with contextlib.closing(source):
        reporter.message(f"measuring energy by {sensor}, in {config.processes} windows of {config.energy_s:g} s each")
        return _measured(candidates, config, sensor, source)


def _measured(candidates: Sequence[Candidate], config: BenchConfig, sensor: str, source: PowerSource) -> Energies:
    windows: dict[str, list[EnergyWindow]] = {candidate.key: [] for candidate in candidates}
    try:
        for turn in range(config.processes):
            for candidate in candidates[:: -1 if turn % 2 else 1]:
                windows[candidate.key].append(_window(candidate, config, source))
    except EdgeKDError as err:
        # Windows that one candidate has and another lacks could not be paired.
        complete = min(map(len, windows.values()))
        if not complete:
            return Energies(reason=str(err))
        reason = f"{complete} of {config.processes} windows were measured: {err}"
        paired = {key: candidate_windows[:complete] for key, candidate_windows in windows.items()}
        return Energies(_energies(paired, sensor, source), reason)
    return Energies(_energies(windows, sensor, source))


def _energies(windows: Mapping[str, Sequence[EnergyWindow]], sensor: str, source: PowerSource) -> dict[str, Energy]:
    return {key: Energy(sensor, source.description, source.total, tuple(found)) for key, found in windows.items()}


def _window(candidate: Candidate, config: BenchConfig, source: PowerSource) -> EnergyWindow:
    """Let a fresh process rest and run, and read the sensor meanwhile."""
    series: list[Series] = []
    plan = {
        "candidate": candidate.to_json(),
        "backend": config.backend,
        "threads": config.threads,
        "seconds": config.energy_s,
    }
    spans = worker.call(
        "edgekd.bench.energy:run_here",
        plan,
        timeout_s=_TIMEOUT_S,
        name=f"the process that runs {candidate.key} for its energy",
        while_running=lambda child: series.append(_read_sensor(source, child)),
    )
    return window_of(series[0], spans, source)


def run_here(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Warm up, rest, run, and return when: the child's side of a window."""
    candidate, seconds = Candidate.from_json(plan["candidate"]), plan["seconds"]
    backend = family.load("backends", plan["backend"]).BACKEND
    with contextlib.closing(backend.open(candidate.engine, threads=plan["threads"])) as session:
        inference = partial(session.run, candidate.query()[0])
        timing.run_for(inference, seconds * _WARM_SHARE)
        begin = CLOCK()
        threading.Event().wait(seconds * _IDLE_SHARE)
        idle_ns = (begin, CLOCK())
        *busy_ns, inferences = timing.run_for(inference, seconds)
    return {"idle_ns": idle_ns, "busy_ns": busy_ns, "inferences": inferences}


@dataclass(frozen=True, slots=True)
class Series:
    """Readings in the order they were taken.

    Attributes:
        at_ns: (readings,) int64, of ``core.clock.CLOCK``.
        values: (readings, rails) float64: watts, or joules of a counter that never wraps around.
    """

    at_ns: Any
    values: FloatArray


def _read_sensor(source: PowerSource, child: subprocess.Popen[bytes]) -> Series:
    """Read the sensor as fast as it renews itself, until the process ends."""
    pause, elapsed_s = threading.Event(), stopwatch()
    at_ns, values = [], []
    while child.poll() is None:
        if elapsed_s() > _TIMEOUT_S:
            raise MachineError(f"the process that runs the engine for its energy did not end within {_TIMEOUT_S} s")
        before = CLOCK()
        try:
            values.append(source.read())
        except (OSError, ValueError) as err:
            raise MachineError(f"the sensor could not be read while the engine ran: {err}") from err
        at_ns.append((before + CLOCK()) // 2)
        pause.wait(source.refresh_s)
    return Series(np.array(at_ns, np.int64), unwrapped(np.array(values, np.float64), source))


def unwrapped(values: FloatArray, source: PowerSource) -> FloatArray:
    """Continue counters that wrapped around to 0.

    Args:
        values: (readings, rails) float64, as read.
        source: Whether they are counters, and where they wrap around.
    """
    if not source.is_counter or len(values) < 2:
        return values
    fell = np.diff(values, axis=0) < 0
    laps = np.vstack([np.zeros((1, values.shape[1])), np.cumsum(fell, axis=0)])
    lap_j = np.array([whole + step for whole, step in zip(source.range_j, source.steps, strict=True)], np.float64)
    return np.asarray(values + laps * lap_j, np.float64)


def window_of(series: Series, spans: Mapping[str, Any], source: PowerSource) -> EnergyWindow:
    """Integrate what was read over the window and over the rest.

    Args:
        series: Readings from before the rest to after the window.
        spans: What the process returned: "idle_ns" and "busy_ns", (begin, end) each, and "inferences".
        source: The sensor.

    Raises:
        MachineError: Too few readings fell into one of the two.
    """
    busy, idle = (_integral(series, spans[name], source) for name in ("busy_ns", "idle_ns"))
    chosen = [source.rails.index(rail) for rail in source.total]
    return EnergyWindow(
        inferences=int(spans["inferences"]),
        busy_s=busy.seconds,
        idle_s=idle.seconds,
        joules=dict(zip(source.rails, busy.joules.tolist(), strict=True)),
        idle_w=dict(zip(source.rails, (idle.joules / idle.seconds).tolist(), strict=True)),
        samples=busy.readings,
        busy_error_j=_error_j(busy, chosen, source),
        idle_error_w=_error_j(idle, chosen, source) / idle.seconds,
    )


@dataclass(frozen=True, slots=True)
class _Integral:
    """One stretch of time: its length, joules of each rail (rails,), and the power of each reading in it."""

    seconds: float
    joules: FloatArray
    watts: FloatArray
    readings: int


def _integral(series: Series, span_ns: Sequence[int], source: PowerSource) -> _Integral:
    begin, end = span_ns
    inside = (series.at_ns > begin) & (series.at_ns < end)
    readings, seconds = int(np.count_nonzero(inside)), (end - begin) / 1e9
    if readings < _READINGS_MIN:
        raise MachineError(
            f"the sensor gave {readings} readings in {seconds:.2f} s, {_READINGS_MIN} are needed; raise bench.energy_s"
        )
    times_s = np.concatenate([[0.0], (series.at_ns[inside] - begin) / 1e9, [seconds]])
    at_s = (series.at_ns - begin) / 1e9
    columns = np.stack([np.interp(times_s, at_s, column) for column in series.values.T], axis=1)
    gaps = np.diff(times_s)[:, None]
    if source.is_counter:
        return _Integral(seconds, columns[-1] - columns[0], np.diff(columns, axis=0) / np.maximum(gaps, 1e-9), readings)
    # The trapezoidal rule.
    return _Integral(seconds, np.sum((columns[1:] + columns[:-1]) / 2 * gaps, axis=0), columns[1:-1], readings)


def _error_j(found: _Integral, chosen: Sequence[int], source: PowerSource) -> float:
    """Return the standard error of the total's integral, joules.

    A step is a uniform error, and of a power that stands still the same one in every reading: it does not average out.
    Power that moves between two readings errs by the readings' scatter over the root of their number; a counter misses
    nothing, but each end may be as late as it renews itself.
    """
    steps = math.sqrt(sum(source.steps[rail] ** 2 for rail in chosen) / 12)
    power = found.watts[:, chosen].sum(axis=1)
    if source.is_counter:
        late_j = abs(float(found.joules[chosen].sum())) / found.seconds * source.refresh_s / math.sqrt(6)
        return math.hypot(steps * math.sqrt(2), late_j)
    return found.seconds * math.hypot(steps, float(np.std(power, ddof=1)) / math.sqrt(len(power)))
