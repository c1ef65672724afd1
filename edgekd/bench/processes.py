"""The same measurement in several fresh processes: what is drawn once a process is drawn as often as there are.

``python -m edgekd.bench.processes`` is one of them: it opens every engine, times them in turns and leaves its raw
samples in a file. ``measure`` starts them one after another. Source for repeating at the level that scatters: T.
Kalibera, R. Jones, "Rigorous Benchmarking in Reasonable Time", ISMM 2013.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.bench import end_to_end, scenarios, timing
from edgekd.bench.end_to_end import Edge
from edgekd.bench.scenarios import Query
from edgekd.core.artifact import read_json, write_atomic
from edgekd.core.clock import stopwatch
from edgekd.core.config import BenchConfig
from edgekd.core.errors import EdgeKDError, MachineError
from edgekd.core.family import load
from edgekd.core.samples import Samples
from edgekd.core.schema import parse
from edgekd.core.worker import ended, fresh_python, save_feeds
from edgekd.machine.nvml import card_here
from edgekd.machine.watch import MachineWatch
from edgekd.results.result import Run

Progress = Callable[[str, int, int], None]

# Beyond its share of the budget a process opens engines, warms up and runs two rounds.
_PATIENCE_S = 600
_TURNS_MOST = 20


@dataclass(frozen=True, slots=True)
class Entrant:
    """One candidate: its engine, the query that it answers each time, and what stands before and after it.

    ``waits``: whether rounds go on until its ratio is narrow, too.
    """

    name: str
    engine: Path
    feeds: Query
    edge: Edge | None = None
    waits: bool = True


@dataclass(frozen=True, slots=True)
class Measured:
    """What the processes found.

    Attributes:
        runs: Name → one Run a process, in the order they ran; run i of every candidate is of the same process.
        notes: What people should know: processes that were lost, warm-ups that did not settle.
        stages_ns: Name → ``Candidate.stages_ns``.
        took_s: Of ``budget_s``: from the first process's start to the last one's end.
    """

    runs: dict[str, tuple[Run, ...]]
    notes: tuple[str, ...]
    stages_ns: dict[str, dict[str, tuple[tuple[int, ...], ...]]]
    took_s: float


@dataclass(frozen=True, slots=True)
class _Found:
    """What one process found of one candidate."""

    run: Run
    stages_ns: Mapping[str, tuple[int, ...]]


def measure(entrants: Sequence[Entrant], config: BenchConfig, progress: Progress | None = None) -> Measured:
    """Time every entrant in ``config.processes`` fresh processes.

    Engines are opened in one order by even processes and in the reverse by odd ones.

    Args:
        entrants: At least one; names are unique.
        config: ``budget_s`` is for all processes together, each gets an equal share of what is left.
        progress: Called with ("process", processes done, processes in all).

    Raises:
        MachineError: The first two processes, or all, ended badly; the last one's words. Or every round was refused.
    """
    elapsed_s = stopwatch()
    found: list[dict[str, _Found]] = []
    lost: list[str] = []
    with tempfile.TemporaryDirectory(prefix="edgekd-bench-") as folder:
        fed = _fed(entrants, Path(folder))
        for index in range(config.processes):
            left_s = max(0.0, config.budget_s - elapsed_s())
            share = dataclasses.replace(config, budget_s=left_s / (config.processes - index))
            try:
                found.append(_in_a_process(fed[:: -1 if index % 2 else 1], share, Path(folder)))
            except MachineError as err:
                lost.append(str(err))
                if not found and len(lost) == min(2, config.processes):
                    raise
            if progress:
                progress("process", index + 1, config.processes)
        took_s = elapsed_s()
    names = [entrant.name for entrant in entrants]
    runs = {name: tuple(process[name].run for process in found) for name in names}
    _ensure_kept(next(iter(runs.values())))
    stages_ns = {
        name: {stage: tuple(process[name].stages_ns[stage] for process in found) for stage in found[0][name].stages_ns}
        for name in names
    }
    notes = (*_lost(lost, config.processes), *_unsteady(runs), *_throttled(runs, config))
    return Measured(runs, notes, stages_ns, took_s)


def main(argv: Sequence[str] | None = None) -> int:
    """Time the plan's engines in this process and write the raw samples: the child's side of ``measure``."""
    parser = argparse.ArgumentParser(prog="python -m edgekd.bench.processes", description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args(argv)
    plan = json.loads(args.plan.read_text())
    config = parse(BenchConfig, plan["config"], "config")
    try:
        found = _timed(plan["entrants"], config)
    except EdgeKDError as err:
        sys.stderr.write(" ".join(str(err).split()) + "\n")
        return err.exit_code
    write_atomic(args.out, json.dumps({name: dataclasses.asdict(one) for name, one in found.items()}))
    return 0


def _timed(entrants: Sequence[Mapping[str, Any]], config: BenchConfig) -> dict[str, _Found]:
    """Open everyone, time all in turns, then the stages of each."""
    backend = load("backends", config.backend).BACKEND
    with contextlib.ExitStack() as stack:
        bouts, sessions, edges = {}, {}, {}
        for entrant in entrants:
            name, samples = entrant["name"], Samples.load(Path(entrant["feeds"]))
            open_session = partial(backend.open, Path(entrant["engine"]), threads=config.threads)
            runner, sessions[name] = stack.enter_context(scenarios.runner(open_session, config))
            fed = tuple(samples.feeds(index) for index in range(len(samples)))
            bouts[name] = timing.Bout(runner, fed, entrant["waits"])
            if entrant["edge"] and samples.seen is not None:
                edges[name] = Edge(**entrant["edge"], picture=samples.seen[0])
        on_gpu = bool(getattr(backend, "gpu_timing", None))
        watch = MachineWatch(config, card=stack.enter_context(card_here()) if on_gpu else None)
        measured = timing.measure(bouts, config, watch=watch)
        runs = {
            name: dataclasses.replace(run, watched=watch.with_limits(run.watched)) for name, run in measured.items()
        }
        return {
            name: _Found(
                run, end_to_end.split(sessions[name], edges[name], _turns(run, config)) if name in edges else {}
            )
            for name, run in runs.items()
        }


def _turns(run: Run, config: BenchConfig) -> int:
    """Return how many answers make up a block, from the blocks that there were; one process need not do many."""
    settled_ms = float(np.median([ns for block in run.blocks_ns for ns in block])) / 1e6
    return min(_TURNS_MOST, max(config.min_iterations, 1, math.ceil(config.block_ms / settled_ms)))


def _fed(entrants: Sequence[Entrant], folder: Path) -> list[dict[str, Any]]:
    """Write what every entrant is fed; return the entrants as a plan has them."""
    plans = []
    for index, entrant in enumerate(entrants):
        edge, plain, picture = entrant.edge, None, None
        if edge is not None:
            plain, picture = {"task": edge.task, "options": dict(edge.options), "embedded": edge.embedded}, edge.picture
        path = save_feeds(folder / f"feeds{index}.npz", entrant.feeds, picture)
        engine = str(entrant.engine.resolve())
        plans.append(
            {"name": entrant.name, "engine": engine, "feeds": str(path), "edge": plain, "waits": entrant.waits}
        )
    return plans


def _in_a_process(entrants: Sequence[Mapping[str, Any]], config: BenchConfig, folder: Path) -> dict[str, _Found]:
    plan, out = folder / "plan.json", folder / "out.json"
    out.unlink(missing_ok=True)
    write_atomic(plan, json.dumps({"config": dataclasses.asdict(config), "entrants": entrants}))
    words = fresh_python("edgekd.bench.processes", str(plan), str(out))
    limit_s = config.budget_s + _PATIENCE_S
    try:
        child = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=limit_s, check=False)
    except subprocess.TimeoutExpired as err:
        raise MachineError(f"a measuring process did not end within {limit_s:.0f} s") from err
    if child.returncode:
        raise MachineError(f"a measuring process {ended(child)}")
    data: dict[str, Any] = read_json(out)
    return {name: parse(_Found, one, name) for name, one in data.items()}


def _lost(reasons: Sequence[str], processes: int) -> list[str]:
    if not reasons:
        return []
    return [f"{len(reasons)} of {processes} processes were lost, the others count: {reasons[-1]}"]


def _ensure_kept(runs: Sequence[Run]) -> None:
    """Raise where nothing is left to make a figure of; rounds are refused of all candidates alike, so one tells."""
    rules = [rule for run in runs for rule in run.refused if rule]
    if not any(run.kept_ns for run in runs):
        foreign = [cores for run in runs for cores in run.watched.foreign_cores if cores is not None]
        calmest = f"; the calmest block saw {min(foreign):.1f} cores of foreign load" if foreign else ""
        raise MachineError(
            f"all {len(rules)} rounds were refused, the last for {rules[-1]}{calmest}; calm the machine, or leave "
            "out bench.max_foreign_load and bench.refuse_throttled"
        )


def _throttled(runs: Mapping[str, Sequence[Run]], config: BenchConfig) -> list[str]:
    """Say how many blocks were throttled where nobody asked to refuse them."""
    if config.refuse_throttled:
        return []
    said = [
        how
        for of in runs.values()
        for run in of
        for i in range(len(run.blocks_ns))
        if (how := run.watched.throttled(i))
    ]
    blocks = sum(len(run.blocks_ns) for of in runs.values() for run in of)
    if not said:
        return []
    return [
        f"{len(said)} of {blocks} blocks were throttled ({said[-1]}) and count all the same; "
        "bench.refuse_throttled=true leaves them out"
    ]


def _unsteady(runs: dict[str, tuple[Run, ...]]) -> list[str]:
    counts = {name: sum(not run.is_steady for run in of) for name, of in runs.items()}
    said = [f"{name} in {count} of {len(runs[name])} processes" for name, count in counts.items() if count]
    if not said:
        return []
    return [
        f"latency had not settled when a warm-up ended: {', '.join(said)}; raise bench.warmup_ms, or calm the machine"
    ]


if __name__ == "__main__":
    sys.exit(main())
