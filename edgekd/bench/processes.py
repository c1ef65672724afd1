"""The same measurement in several fresh processes: load address, memory layout and thread placement vary between them.

``measure`` starts the processes one after another; in each, ``measure_here`` opens every engine, times all of them
interleaved, then each one's end-to-end time. Source for repeating at the level that scatters: T. Kalibera, R. Jones,
"Rigorous Benchmarking in Reasonable Time", ISMM 2013.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from edgekd.bench import end_to_end, scenarios, timing
from edgekd.bench.candidate import Candidate
from edgekd.core import worker
from edgekd.core.clock import stopwatch
from edgekd.core.config import BenchConfig
from edgekd.core.errors import MachineError
from edgekd.core.family import load
from edgekd.core.protocols import GpuBackend, Session
from edgekd.core.reporter import Reporter
from edgekd.core.schema import parse, to_plain
from edgekd.machine.nvml import card_here
from edgekd.machine.watch import MachineWatch
from edgekd.results.result import Run

# Beyond its share of the budget a process opens engines, warms up and runs two rounds.
_OVERTIME_S = 600
_REPEATS_MAX = 20


@dataclass(frozen=True, slots=True)
class Measured:
    """What the processes found.

    Attributes:
        runs: Key → one Run a process, in the order they ran; run i of every candidate is of the same process.
        notes: What people should know: lost processes, warm-ups that did not settle, throttled blocks.
        end_to_end_ns: Key → ``CandidateResult.end_to_end_ns``.
        took_s: From the first process's start to the last one's end; counts towards ``budget_s``.
    """

    runs: dict[str, tuple[Run, ...]]
    notes: tuple[str, ...]
    end_to_end_ns: dict[str, dict[str, tuple[tuple[int, ...], ...]]]
    took_s: float


@dataclass(frozen=True, slots=True)
class _Found:
    """What one process found of one candidate."""

    run: Run
    end_to_end_ns: Mapping[str, tuple[int, ...]]


def measure(candidates: Sequence[Candidate], config: BenchConfig, reporter: Reporter) -> Measured:
    """Time every candidate in ``config.processes`` fresh processes.

    Even processes open the engines in one order, odd ones in the reverse.

    Args:
        candidates: At least one, each with its feeds; keys are unique.
        config: ``budget_s`` is for all processes together, each gets an equal share of what is left.
        reporter: Receives a step for every process that has ended.

    Raises:
        EdgeKDError: The first two processes, or all, failed; the last one's error. Or every round was refused.
    """
    elapsed_s = stopwatch()
    found: list[dict[str, _Found]] = []
    lost: list[str] = []
    for index in range(config.processes):
        left_s = max(0.0, config.budget_s - elapsed_s())
        share = dataclasses.replace(config, budget_s=left_s / (config.processes - index))
        order = candidates[::-1] if index % 2 else candidates
        try:
            found.append(_measure_in_process(order, share))
        except MachineError as err:
            lost.append(str(err))
            if not found and len(lost) == min(2, config.processes):
                raise
        reporter.step("process", index + 1, config.processes)
    took_s = elapsed_s()
    runs, end_to_end_ns = {}, {}
    for candidate in candidates:
        of_processes = [process[candidate.key] for process in found]
        runs[candidate.key] = tuple(one.run for one in of_processes)
        stages = of_processes[0].end_to_end_ns
        end_to_end_ns[candidate.key] = {
            stage: tuple(one.end_to_end_ns[stage] for one in of_processes) for stage in stages
        }
    _ensure_kept(next(iter(runs.values())))
    notes = (*_lost(lost, config.processes), *_unsteady(runs), *_throttled(runs, config))
    return Measured(runs, notes, end_to_end_ns, took_s)


def measure_here(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Time the plan's candidates in this process: the child's side of ``measure``."""
    config = parse(BenchConfig, plan["config"], "config")
    candidates = [Candidate.from_json(plain) for plain in plan["candidates"]]
    backend = load("backends", config.backend).BACKEND
    with contextlib.ExitStack() as stack:
        inferences: dict[str, timing.Inference] = {}
        sessions: dict[str, Session] = {}
        for candidate in candidates:
            open_session = partial(backend.open, candidate.engine, threads=config.threads)
            inferences[candidate.key], sessions[candidate.key] = stack.enter_context(
                scenarios.open_query(open_session, candidate.query(), config)
            )
        card = stack.enter_context(card_here()) if isinstance(backend, GpuBackend) else None
        watch = MachineWatch(config, card=card)
        deciding = [candidate.key for candidate in candidates if candidate.decides]
        runs = timing.measure(inferences, config, deciding=deciding, watch=watch.read)
        found = {}
        for candidate in candidates:
            run = runs[candidate.key]
            run = dataclasses.replace(run, block_conditions=watch.with_limits(run.block_conditions))
            stages = {}
            if candidate.times_end_to_end:
                session, image = sessions[candidate.key], candidate.image()
                stages = end_to_end.split(session, candidate.network, image, _repeats(run, config))
            found[candidate.key] = to_plain(_Found(run, stages))
        return found


def _repeats(run: Run, config: BenchConfig) -> int:
    """Return how many answers make up one block's time, judged by the blocks there were."""
    settled_ms = float(np.median([ns for block in run.blocks_ns for ns in block])) / 1e6
    return min(_REPEATS_MAX, max(config.min_iterations, 1, math.ceil(config.block_ms / settled_ms)))


def _measure_in_process(candidates: Sequence[Candidate], config: BenchConfig) -> dict[str, _Found]:
    plan = {"config": to_plain(config), "candidates": [candidate.to_json() for candidate in candidates]}
    found = worker.call(
        "edgekd.bench.processes:measure_here",
        plan,
        timeout_s=config.budget_s + _OVERTIME_S,
        name="a measuring process",
    )
    return {key: parse(_Found, plain, key) for key, plain in found.items()}


def _ensure_kept(runs: Sequence[Run]) -> None:
    """Raise where every round was refused. Rounds are refused for all candidates alike, so one candidate is enough."""
    rules = [rule for run in runs for rule in run.refused if rule]
    if any(run.kept_ns for run in runs):
        return
    loads = [cores for run in runs for cores in run.block_conditions.background_cores if cores is not None]
    calmest = f"; the quietest block had {min(loads):.1f} cores of background load" if loads else ""
    raise MachineError(
        f"all {len(rules)} rounds were refused, the last for {rules[-1]}{calmest}; stop other programs, or leave "
        "out bench.max_background_load and bench.refuse_throttled"
    )


def _lost(reasons: Sequence[str], processes: int) -> list[str]:
    if not reasons:
        return []
    return [f"{len(reasons)} of {processes} processes were lost, the others count: {reasons[-1]}"]


def _throttled(runs: Mapping[str, Sequence[Run]], config: BenchConfig) -> list[str]:
    """Count the throttled blocks, unless they were refused."""
    if config.refuse_throttled:
        return []
    throttled, blocks = [], 0
    for candidate_runs in runs.values():
        for run in candidate_runs:
            blocks += len(run.blocks_ns)
            throttled += [how for i in range(len(run.blocks_ns)) if (how := run.block_conditions.throttled(i))]
    if not throttled:
        return []
    return [
        f"{len(throttled)} of {blocks} blocks were throttled ({throttled[-1]}) and are included; "
        "bench.refuse_throttled=true leaves them out"
    ]


def _unsteady(runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """Name the candidates whose latency was still changing when a warm-up ended."""
    parts = []
    for key, candidate_runs in runs.items():
        count = sum(not run.is_steady for run in candidate_runs)
        if count:
            parts.append(f"{key} in {count} of {len(candidate_runs)} processes")
    if not parts:
        return []
    return [f"latency had not settled when a warm-up ended: {', '.join(parts)}; raise bench.warmup_ms"]
