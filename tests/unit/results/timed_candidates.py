"""Candidates timed in several processes, with known latency, scatter and energy; and verdicts on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgekd.results.energy import Energy, EnergyWindow
from edgekd.results.gate import Check, Limits, Verdict, judge_paired, judge_recorded
from edgekd.results.result import BenchmarkResult, CandidateResult, NodeTime, Run
from tests.unit.report.example_result import candidate, example

LATENCY = Limits(latency=0.03)
REFERENCE_MS = 2.0
# Two profiles of one network: "body" takes three quarters more, "relu" changes less than it scatters.
OLD_NODES = (
    NodeTime("stem", "Conv", 1.0, 0.01),
    NodeTime("body", "Conv", 4.0, 0.05),
    NodeTime("relu", "Relu", 0.5, 0.2),
)
NEW_NODES = (
    NodeTime("stem", "Conv", 1.0, 0.01),
    NodeTime("body", "Conv", 7.0, 0.05),
    NodeTime("relu", "Relu", 0.6, 0.2),
)


def timed(
    name: str, ms: float, *, processes: int = 7, scatter: float = 0.005, seed: int = 0, **changes
) -> CandidateResult:
    """Make a candidate of ``ms`` latency: each process draws its own level, and blocks scatter around that."""
    rng = np.random.default_rng([seed, *name.encode()])
    runs = []
    for _ in range(processes):
        level = ms * 1e6 * np.exp(rng.normal(0, scatter))
        blocks = [tuple(map(int, level * np.exp(rng.normal(0, scatter, 5)))) for _ in range(6)]
        runs.append(Run(tuple(blocks), 9))
    return replace(candidate("student", "fp32", ms, 37.0), name=name, runs=tuple(runs), **changes)


def paired(new_ms: float, limits: Limits = LATENCY, **changes) -> Verdict:
    """Judge a new engine by an accepted one of 10 ms, timed interleaved."""
    result = example(candidates=(timed("old", 10.0), timed("new", new_ms, **changes)))
    return judge_paired(result, "new", "old", limits)


def beside(*candidates: CandidateResult, pace: float = 1.0, seed: int = 0, **changes) -> BenchmarkResult:
    """Make a result with a reference workload, on a machine that takes ``pace`` times as long as usual."""
    reference = timed("yard", REFERENCE_MS * pace, processes=len(candidates[0].runs), seed=seed)
    return example(candidates=candidates, reference_workload=reference.runs, **changes)


def recorded(new_ms: float, limits: Limits = LATENCY, pace: float = 1.0, **changes) -> Verdict:
    """Judge a new engine by an accepted one of 10 ms that was measured at another time."""
    old = beside(timed("net", 10.0, seed=1), seed=3)
    return judge_recorded(beside(timed("net", new_ms, seed=2, **changes), pace=pace, seed=4), old, limits)


def with_energy(
    name: str, mj: float, *, windows: int = 8, scatter: float = 0.003, sensor: str = "ina3221"
) -> CandidateResult:
    """Make a candidate whose windows of 100 inferences scatter around ``mj`` per inference."""
    noise = np.random.default_rng([windows, *name.encode()]).normal(1, scatter, windows)
    measured = tuple(EnergyWindow(100, 1.0, 0.5, {"VDD_IN": mj * n / 10}, {"VDD_IN": 1.0}, 99, 0.0, 0.0) for n in noise)
    return timed(name, 10.0, energy=Energy(sensor, "", ("VDD_IN",), measured))


def energy_check(old: CandidateResult, new: CandidateResult, **changes) -> Check:
    """Check the energy of ``new`` against ``old``, timed interleaved, with a limit of 3 %."""
    result = example(candidates=(old, new), **changes)
    (check,) = judge_paired(result, "new", "old", Limits(energy=0.03)).checks
    return check


def profiled(
    old: tuple[NodeTime, ...] = OLD_NODES, new: tuple[NodeTime, ...] = NEW_NODES, new_ms: float = 13.0
) -> tuple[CandidateResult, CandidateResult]:
    """Make (new, accepted) with these profiles."""
    return timed("new", new_ms, nodes=new), timed("old", 10.0, nodes=old)
