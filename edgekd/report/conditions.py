"""What was seen while it was measured, in lines: rounds refused, temperature, clocks, foreign load, energy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from edgekd.core import units
from edgekd.core.numerics import FloatArray
from edgekd.results.energy import Energy
from edgekd.results.result import BenchmarkResult, Candidate, Run


def lines(result: BenchmarkResult) -> tuple[str, ...]:
    """Return what people should see beside the figures: refusals first, then what the machine did, then energy."""
    # Rounds are refused of all candidates alike, so that one of them tells.
    refused = _refused(result.candidates[0].runs)
    seen = _seen([run for candidate in result.candidates for run in candidate.runs], result.conditions.cores)
    energies = [_energy(candidate, candidate.energy) for candidate in result.candidates if candidate.energy]
    sensors = dict.fromkeys(
        f"energy by {c.energy.reader} at {c.energy.rate_hz:.0f} readings/s: {c.energy.sees}"
        for c in result.candidates
        if c.energy
    )
    without = (f"energy not measured: {result.no_energy}",) if result.no_energy else ()
    return (*refused, *seen, *energies, *sensors, *without)


def _refused(runs: Iterable[Run]) -> tuple[str, ...]:
    runs = tuple(runs)
    rules = [rule for run in runs for rule in run.refused if rule]
    if not rules:
        return ()
    rounds = sum(len(run.blocks_ns) for run in runs)
    kinds = Counter(rule.split(" ")[0] for rule in rules)
    examples = [next(rule for rule in reversed(rules) if rule.startswith(kind)) for kind in kinds]
    few = [run for run in runs if not run.kept_ns]
    lost = f"; {len(few)} of {len(runs)} processes kept none" if few else ""
    return (f"{len(rules)} of {rounds} rounds refused: {'; '.join(examples)}{lost}",)


def _seen(runs: Iterable[Run], of: int | None) -> tuple[str, ...]:
    runs = tuple(runs)
    told = {
        name: np.array([v for run in runs for v in run.watched.columns[name] if v is not None], np.float64)
        for name in ("temperature_c", "cpu_mhz", "gpu_mhz", "foreign_cores")
    }
    said = [
        f"{_span(told['temperature_c'], 1)} °C" if len(told["temperature_c"]) else "",
        *(f"{unit.upper()} {_span(told[f'{unit}_mhz'], 0)} MHz" for unit in ("cpu", "gpu") if len(told[f"{unit}_mhz"])),
        _load(told["foreign_cores"], of) if len(told["foreign_cores"]) else "",
    ]
    return (f"around the blocks: {', '.join(filter(None, said))}",) if any(said) else ()


def _load(cores: FloatArray, of: int | None) -> str:
    whole = f" of {of}" if of else ""
    return f"foreign load {np.median(cores):.1f}{whole} cores in the median, {cores.max():.1f} at most"


def _span(values: FloatArray, decimals: int) -> str:
    low, high = (f"{value:.{decimals}f}" for value in (values.min(), values.max()))
    return low if low == high else f"{low}–{high}"


def _energy(candidate: Candidate, energy: Energy) -> str:
    """Say one candidate's energy with what it may be off by: scatter of the windows, and the sensor's own error."""
    total, above = _figure(energy.mj, energy.error_mj), _figure(energy.above_idle_mj, energy.above_idle_error_mj)
    return (
        f"{candidate.name}: {total} mJ an inference, {above} above idle; {energy.watts:.1f} W running, "
        f"{energy.idle_watts:.1f} W idle, {len(energy.windows)} windows"
    )


def _figure(values: FloatArray, errors: FloatArray) -> str:
    scatter = float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{units.ms(float(np.mean(values)))} ± {units.ms(float(np.hypot(scatter, np.mean(errors))))}"
