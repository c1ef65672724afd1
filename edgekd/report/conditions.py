"""The conditions of a measurement in words: the machine and its settings, and what happened while it ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from edgekd.core import units
from edgekd.core.clock import CLOCK_NAME
from edgekd.core.conditions import Conditions
from edgekd.core.numerics import FloatArray
from edgekd.results.energy import Energy
from edgekd.results.result import BenchmarkResult, CandidateResult, Run

UNAVAILABLE = "unavailable"


def conditions_line(result: BenchmarkResult) -> str:
    """Return one line: the machine, the backend, the workload."""
    c = result.conditions
    libraries = ", ".join(f"{name} {version}" for name, version in c.libraries.items())
    governor = f", CPU governor {c.governor}" if c.governor else ""
    samples_per_query = max(candidate.samples_per_query for candidate in result.candidates)
    query = f", {samples_per_query} samples per query" if samples_per_query > c.batch else ""
    streams = f" in {c.streams} streams" if c.streams > 1 else ""
    clock = "" if c.clock == CLOCK_NAME else f" · timed by {c.clock}"
    return (
        f"{machine(c)} · {c.processor} · {cores(c)}{governor} · {c.backend} ({libraries}) · "
        f"batch {c.batch}, {c.scenario}{query}{streams}{clock} · edgekd {result.edgekd}"
    )


def machine(conditions: Conditions) -> str:
    """Return the target, and a board's Linux release and power mode."""
    parts = [conditions.target]
    if conditions.l4t:
        parts.append(f"L4T {conditions.l4t}")
    if conditions.power_mode:
        parts.append(f"mode {conditions.power_mode}")
    return ", ".join(parts)


def cores(conditions: Conditions) -> str:
    """Return how many CPU cores an inference used, of how many."""
    if conditions.cores is None:
        return f"CPU core count: {UNAVAILABLE}"
    return f"{conditions.threads} of {conditions.cores} cores"


def observations(result: BenchmarkResult) -> tuple[str, ...]:
    """Return what was observed during the measurement: rejected rounds, the machine's state, energy."""
    # A round is rejected for all candidates alike, so the first one's runs count for all.
    rejected = _rejected(result.candidates[0].runs)
    state = _machine_state([run for candidate in result.candidates for run in candidate.runs], result.conditions.cores)
    energies, sensors = [], []
    for candidate in result.candidates:
        if energy := candidate.energy:
            energies.append(_energy(candidate, energy))
            sensors.append(f"energy measured by {energy.sensor}, {energy.rate_hz:.0f} readings/s: {energy.description}")
    missing = [f"energy not measured: {result.energy_unavailable}"] if result.energy_unavailable else []
    return (*rejected, *state, *energies, *dict.fromkeys(sensors), *missing)


def _rejected(runs: Sequence[Run]) -> list[str]:
    """Return how many rounds were rejected, with the last violation of each kind."""
    violations = [violation for run in runs for violation in run.refused if violation]
    if not violations:
        return []
    # The first word of a violation is its kind ("background load 1.4 cores above 1.0").
    kinds = Counter(violation.split(" ")[0] for violation in violations)
    examples = [next(text for text in reversed(violations) if text.startswith(kind)) for kind in kinds]
    rounds = sum(len(run.blocks_ns) for run in runs)
    empty = sum(not run.kept_ns for run in runs)
    lost = f"; {empty} of {len(runs)} processes kept no round" if empty else ""
    return [f"{len(violations)} of {rounds} rounds rejected: {'; '.join(examples)}{lost}"]


def _machine_state(runs: Sequence[Run], core_count: int | None) -> list[str]:
    """Return the range of temperature, clocks and background load over all blocks; empty where nothing is known."""

    def column(name: str) -> FloatArray:
        return np.array([v for run in runs for v in run.block_conditions.columns[name] if v is not None], np.float64)

    parts = []
    if len(temperature_c := column("temperature_c")):
        parts.append(f"{_span(temperature_c, 1)} °C")
    if len(cpu_mhz := column("cpu_mhz")):
        parts.append(f"CPU {_span(cpu_mhz, 0)} MHz")
    if len(gpu_mhz := column("gpu_mhz")):
        parts.append(f"GPU {_span(gpu_mhz, 0)} MHz")
    if len(load_cores := column("background_cores")):
        total = f" of {core_count}" if core_count else ""
        parts.append(f"background load median {np.median(load_cores):.1f}, max {load_cores.max():.1f}{total} cores")
    return [f"during measurement: {', '.join(parts)}"] if parts else []


def _span(values: FloatArray, decimals: int) -> str:
    low, high = (f"{value:.{decimals}f}" for value in (values.min(), values.max()))
    return low if low == high else f"{low}–{high}"


def _energy(candidate: CandidateResult, energy: Energy) -> str:
    """Return one candidate's energy, with its standard error over windows and of the sensor."""
    total = _with_error(energy.mj, energy.error_mj)
    above = _with_error(energy.above_idle_mj, energy.above_idle_error_mj)
    return (
        f"{candidate.name}: {total} mJ per inference, {above} above idle; {energy.watts:.1f} W running, "
        f"{energy.idle_watts:.1f} W idle, {len(energy.windows)} windows"
    )


def _with_error(values: FloatArray, errors: FloatArray) -> str:
    # Windows average out their scatter; the sensor's own error stays, so it is added without the root of n.
    scatter = float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{units.ms(float(np.mean(values)))} ± {units.ms(float(np.hypot(scatter, np.mean(errors))))}"
