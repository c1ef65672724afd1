"""Energy of one inference, in a window of its own: a fresh process rests with the engine open, then runs it.

Not inside the blocks that are timed for latency: candidates take turns there every 50 ms, which no sensor of a board
keeps apart, and reading one costs time that is not the engine's. Here one engine runs alone, back to back, while the
parent process reads the sensor; both use the same clock, which a machine's processes share. What reading it costs in
energy is spent at rest as well, and falls out of what is above idle.

``python -m edgekd.bench.energy`` is the process that rests and runs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.bench import timing
from edgekd.bench.processes import Entrant
from edgekd.core import family
from edgekd.core.clock import CLOCK, stopwatch
from edgekd.core.config import BenchConfig
from edgekd.core.errors import MachineError
from edgekd.core.numerics import FloatArray
from edgekd.core.protocols import PowerSource
from edgekd.core.samples import Samples
from edgekd.core.worker import ended, fresh_python, save_feeds
from edgekd.machine.power import open_sensor
from edgekd.results.energy import Energy, EnergyWindow

# Of energy_s: how long it rests, and how long it warms up before that.
_IDLE_SHARE = _WARM_SHARE = 0.5
_READINGS_MIN = 3
_LIMIT_S = 600


@dataclass(frozen=True, slots=True)
class Energies:
    """What was found.

    Attributes:
        by_name: Candidate → its energy; those without are left out.
        reason: Why any is; "" where none is.
    """

    by_name: Mapping[str, Energy] = field(default_factory=dict)
    reason: str = ""


def measure(
    entrants: Sequence[Entrant], config: BenchConfig, root: Path = Path("/"), say: Callable[[str], None] | None = None
) -> Energies:
    """Measure every candidate in ``config.processes`` windows, in turns and in balanced order.

    Args:
        entrants: At least one; names are unique. The first inference of each one's query is run again and again.
        config: ``energy_s``, ``processes``, ``backend`` and ``threads`` are used.
        root: Where the sensor's files lie.
        say: Is told of a sensor that was found.
    """
    if not config.energy_s:
        return Energies(reason="bench.energy_s is 0")
    try:
        reader, source = open_sensor(family.load("backends", config.backend).BACKEND.device, root)
    except MachineError as err:
        return Energies(reason=f"no sensor can be read: {err}")
    with contextlib.closing(source):
        if say:
            say(f"      measuring energy by {reader}, in {config.processes} windows of {config.energy_s:g} s each")
        return _measured(entrants, config, reader, source)


def _measured(entrants: Sequence[Entrant], config: BenchConfig, reader: str, source: PowerSource) -> Energies:
    windows: dict[str, list[EnergyWindow]] = {entrant.name: [] for entrant in entrants}
    try:
        for turn in range(config.processes):
            for entrant in entrants[:: -1 if turn % 2 else 1]:
                windows[entrant.name].append(_window(entrant, config, source))
    except MachineError as err:
        # Windows that one candidate has and another lacks could not be paired.
        turns = min(map(len, windows.values()))
        if not turns:
            return Energies(reason=str(err))
        reason = f"{turns} of {config.processes} windows were measured: {err}"
        return Energies(_energies({name: of[:turns] for name, of in windows.items()}, reader, source), reason)
    return Energies(_energies(windows, reader, source))


def _energies(windows: Mapping[str, Sequence[EnergyWindow]], reader: str, source: PowerSource) -> dict[str, Energy]:
    return {name: Energy(reader, source.sees, source.total, tuple(of)) for name, of in windows.items()}


def _window(entrant: Entrant, config: BenchConfig, source: PowerSource) -> EnergyWindow:
    """Let a fresh process rest and run, and read the sensor meanwhile."""
    with tempfile.TemporaryDirectory(prefix="edgekd-energy-") as folder:
        feeds, said = Path(folder) / "feeds.npz", Path(folder) / "said.txt"
        save_feeds(feeds, entrant.feeds[:1])
        words = (f"--backend={config.backend}", f"--engine={entrant.engine}", f"--feeds={feeds}")
        more = (f"--threads={config.threads}", f"--seconds={config.energy_s}")
        # Files, not pipes: nobody reads while the sensor is read, and a library may say more than a pipe holds.
        with said.open("w+") as out, (Path(folder) / "errors.txt").open("w+") as errors:
            command = fresh_python("edgekd.bench.energy", *words, *more)
            with subprocess.Popen(command, stdout=out, stderr=errors, text=True) as child:
                try:
                    series = _sampled(source, child)
                finally:
                    child.kill()
            out.seek(0)
            errors.seek(0)
            done = subprocess.CompletedProcess(command, child.returncode, out.read(), errors.read())
    if done.returncode:
        raise MachineError(f"the process that runs {entrant.name} for its energy {ended(done)}")
    return window_of(series, json.loads(done.stdout.strip().splitlines()[-1]), source)


@dataclass(frozen=True, slots=True)
class Series:
    """Readings in the order they were taken.

    Attributes:
        at_ns: (readings,) int64, of ``measure.CLOCK``.
        values: (readings, rails) float64: watts, or joules of a counter that never wraps around.
    """

    at_ns: Any
    values: FloatArray


def _sampled(source: PowerSource, child: subprocess.Popen[str]) -> Series:
    """Read the sensor as fast as it renews itself, until the process ends."""
    pause, elapsed_s = threading.Event(), stopwatch()
    at_ns, values = [], []
    while child.poll() is None:
        if elapsed_s() > _LIMIT_S:
            raise MachineError(f"the process that runs the engine for its energy did not end within {_LIMIT_S} s")
        before = CLOCK()
        try:
            values.append(source.read())
        except (OSError, ValueError) as err:
            raise MachineError(f"the sensor has gone while the engine ran: {err}") from err
        at_ns.append((before + CLOCK()) // 2)
        pause.wait(source.refresh_s)
    return Series(np.array(at_ns, np.int64), unwrapped(np.array(values, np.float64), source))


def unwrapped(values: FloatArray, source: PowerSource) -> FloatArray:
    """Let counters go on where they began again at 0.

    Args:
        values: (readings, rails) float64, as they were read.
        source: Which says whether they are counters, and where they wrap around.
    """
    if not source.counts or len(values) < 2:
        return values
    fell = np.diff(values, axis=0) < 0
    laps = np.vstack([np.zeros((1, values.shape[1])), np.cumsum(fell, axis=0)])
    lap_j = np.array([whole + step for whole, step in zip(source.range_j, source.steps, strict=True)], np.float64)
    return np.asarray(values + laps * lap_j, np.float64)


def window_of(series: Series, told: Mapping[str, Any], source: PowerSource) -> EnergyWindow:
    """Integrate what was read over the window and over the rest.

    Args:
        series: Readings from before the rest to after the window.
        told: What the process said: "idle_ns" and "busy_ns", (begin, end) each, and "inferences".
        source: The sensor.

    Raises:
        MachineError: Too few readings fell into one of the two.
    """
    busy, idle = (_integral(series, told[name], source) for name in ("busy_ns", "idle_ns"))
    chosen = [source.rails.index(rail) for rail in source.total]
    return EnergyWindow(
        inferences=int(told["inferences"]),
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
    if source.counts:
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
    if source.counts:
        late_j = abs(float(found.joules[chosen].sum())) / found.seconds * source.refresh_s / math.sqrt(6)
        return math.hypot(steps * math.sqrt(2), late_j)
    return found.seconds * math.hypot(steps, float(np.std(power, ddof=1)) / math.sqrt(len(power)))


def main(argv: Sequence[str] | None = None) -> int:
    """Warm up, rest, run, and say when: the child's side of ``measure``."""
    parser = argparse.ArgumentParser(prog="python -m edgekd.bench.energy", description=__doc__)
    parser.add_argument("--backend", required=True)
    parser.add_argument("--engine", type=Path, required=True)
    parser.add_argument("--feeds", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seconds", type=float, required=True)
    args = parser.parse_args(argv)
    session = family.load("backends", args.backend).BACKEND.open(args.engine, threads=args.threads)
    with contextlib.closing(session):
        bout = timing.Bout(session, Samples.load(args.feeds).feeds(0))
        timing.run_for(bout, args.seconds * _WARM_SHARE)
        begin = CLOCK()
        threading.Event().wait(args.seconds * _IDLE_SHARE)
        idle_ns = (begin, CLOCK())
        *busy_ns, inferences = timing.run_for(bout, args.seconds)
    sys.stdout.write(json.dumps({"idle_ns": idle_ns, "busy_ns": busy_ns, "inferences": inferences}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
