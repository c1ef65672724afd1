"""How often the gate is wrong, beside three others' rules on the very same series.

    python benchmarks/false_alarms.py [PAIR] [--trials 300] [--threads 1 2] [--noise idle noisy] [--slower 0 2 5]
        [-o runs/false_alarms] [--minutes M]
    python benchmarks/false_alarms.py -o runs/false_alarms --table

A trial is what ``edgekd gate NEW --against OLD`` measures, the student of PAIR against itself, in eight fresh
processes, and the reference workload beside both. ``--slower 5`` makes the new one's every inference 5 % slower by
spinning that much longer. ``noisy`` is a neighbour that loads a core for 0.05 to 0.5 s and rests as long, again and
again. Trials are appended to one file a setting, so that the command goes on where it was stopped, after ``--minutes``
of its own accord. ``--table`` judges them:

* paired, one analysis: the trial as measured.
* paired: the same, and as ``edgekd gate`` does while that is inconclusive, further interim analyses, for which the
  preceding trials stand in, as long as all together took no longer than a minute.
* recorded: the new engine's series against the accepted one's of the trial before, as a stored baseline would have it,
  each with the reference workload of its own time.
* the same two series by pytest-benchmark's ``--benchmark-compare-fail=mean:5%`` (means of one process each), by
  github-action-benchmark's ratio of medians at 105 % and at its default of 200 %, and by benchstat's test (two-sided
  Mann-Whitney, p < 0.05, a sample a process).
* agree: whether ``edgekd compare``'s 95 % interval of the accepted engine's two series, of the trial before and of this
  one, has 1 in it, as it should: it is one engine.

Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import multiprocessing
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from edgekd.bench import processes, reference_workload
from edgekd.bench.candidate import Candidate
from edgekd.core import worker
from edgekd.core.artifact import read_artifact
from edgekd.core.clock import CLOCK, stopwatch
from edgekd.core.config import BenchConfig
from edgekd.core.family import load
from edgekd.core.protocols import Feeds, Session
from edgekd.core.reporter import QuietReporter
from edgekd.machine import conditions
from edgekd.pipeline.job import job_from
from edgekd.pipeline.run import export
from edgekd.results import gate
from edgekd.results.compare import compare
from edgekd.results.result import BenchmarkResult, CandidateResult, Run
from edgekd.results.statistics import mann_whitney
from edgekd.runtime import build

NEW, OLD = "new", "accepted"
LIMIT = 0.01
# What `edgekd gate` takes where no limits are given: how often it cannot tell is shown for it, too.
DEFAULT_LIMIT = 0.03
_BACKEND = "onnxruntime"
# What a trial may take, all analyses together.
_BUDGET_S = 60
_RULES = (
    "paired, one analysis",
    "paired",
    "recorded",
    "pytest-benchmark 5 %",
    "action 105 %",
    "action 200 %",
    "benchstat",
)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a file of trials is of: CPU threads, a neighbour or none, and how much slower the new engine is."""

    threads: int
    noise: str
    slower: float

    @property
    def file_name(self) -> str:
        """Name its file."""
        return f"{self.threads}_threads_{self.noise}_{self.slower:g}.jsonl"


def main(argv: Sequence[str] | None = None) -> int:
    """Run trials that are not there yet, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair", nargs="?", default="mobilenetv3_from_swin")
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--noise", nargs="+", choices=["idle", "noisy"], default=["idle", "noisy"])
    parser.add_argument("--slower", type=float, nargs="+", default=[0, 2, 5], help="per cent")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/false_alarms"))
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args(argv)
    if not args.table:
        settings = [Setting(t, n, s) for t in args.threads for n in args.noise for s in args.slower]
        run(args.pair, settings, args.trials, args.output, args.minutes)
    print(table(args.output))
    return 0


def run(pair: str, settings: Sequence[Setting], trials: int, out: Path, minutes: float) -> None:
    """Measure the trials that are missing, a trial of each setting in turn."""
    elapsed_s = stopwatch()
    engines = _engines(pair, settings, out)
    call = worker.call

    def call_slowed(function: str, plan: Any, **options: Any) -> Any:
        # The child slows the sessions of engines whose file names say so.
        return call("benchmarks.false_alarms:measure_slowed", plan, **options)

    with mock.patch.object(worker, "call", call_slowed):
        _trials(settings, trials, out, engines, 60 * minutes - elapsed_s())


def _trials(settings: Sequence[Setting], trials: int, out: Path, engines: Mapping[str, Path], seconds: float) -> None:
    elapsed_s = stopwatch()
    feeds = {spec.name: np.zeros(spec.at("opt"), spec.dtype) for spec in read_artifact(engines[OLD]).inputs}
    reference = reference_workload.candidate(BenchConfig(_BACKEND, threads=1), out)
    for trial in range(trials):
        for setting in settings:
            path = out / setting.file_name
            if trial < len(_read(path)):
                continue
            if elapsed_s() > seconds:
                return
            with _neighbour(setting.noise):
                record = _trial(setting, engines, feeds, reference)
            with path.open("a") as file:
                file.write(json.dumps(record) + "\n")
            sys.stderr.write(f"{setting.file_name} {trial + 1}: {record['seconds']:.0f} s\n")


def table(out: Path) -> str:
    """Judge every file of trials by every rule; a Markdown table of how often each says regress."""
    unsure = [f"inconclusive at {limit:.0%}: one analysis → all" for limit in (LIMIT, DEFAULT_LIMIT)]
    heads = ["threads", "machine", "truly slower", "trials", *_RULES, *unsure, "agree", "s an analysis"]
    lines = [f"| {' | '.join(heads)} |", f"|--:|---|{'--:|' * (len(heads) - 2)}"]
    for path in sorted(out.glob("*.jsonl")):
        records = _read(path)
        setting = Setting(**records[0]["setting"])
        analyses = {
            limit: [_analyses(records, index, limit) for index in range(len(records))]
            for limit in (LIMIT, DEFAULT_LIMIT)
        }
        statuses: dict[str, list[str]] = {rule: [] for rule in _RULES}
        statuses["paired, one analysis"], statuses["paired"] = (
            [each[at] for each in analyses[LIMIT]] for at in (0, -1)
        )
        for before, now in itertools.pairwise(records):
            for rule, status in _verdicts(before, now).items():
                statuses[rule].append(status)
        shares = [f"{100 * np.mean([status == 'regress' for status in statuses[rule]]):.1f} %" for rule in _RULES]
        open_ = [
            " → ".join(f"{100 * np.mean([each[at] == 'inconclusive' for each in found]):.0f}" for at in (0, -1))
            for found in analyses.values()
        ]
        agreed = [_agree(before, now) for before, now in itertools.pairwise(records)]
        seconds = [record["seconds"] for record in records]
        cells = [setting.threads, setting.noise, f"{setting.slower:g} %", len(records), *shares]
        cells += [*(f"{share} %" for share in open_), f"{sum(agreed)}/{len(agreed)}"]
        cells += [f"{np.median(seconds):.0f}, at most {max(seconds):.0f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _analyses(records: Sequence[Mapping[str, Any]], index: int, limit: float) -> list[str]:
    """Return the paired verdict after one analysis, and after each further one that the gate would make."""
    used = [records[index]]
    verdicts = [_paired(used[0], limit)]
    while len(used) < gate.MAX_ANALYSES:
        if verdicts[-1].status != "inconclusive" or verdicts[-1].processes_needed is None:
            break
        used.append(records[index - len(used)])  # the last trial precedes the first
        if sum(record["seconds"] for record in used) > _BUDGET_S:
            break
        medians = {
            name: [run for record in used for run in record["medians_ns"][name]] for name in used[0]["medians_ns"]
        }
        verdicts.append(_paired({"setting": used[0]["setting"], "medians_ns": medians}, limit))
    return [verdict.status for verdict in verdicts]


def _verdicts(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Judge one trial by every rule for recorded figures, with the accepted series of the trial before."""
    old, new = (_candidate(record, name) for record, name in ((before, OLD), (now, NEW)))
    medians = [np.array([np.median(blocks) for blocks in side.block_medians_ms]) for side in (new, old)]
    ratio = np.median(medians[0]) / np.median(medians[1])
    mean = np.mean(new.block_means_ms[0]) / np.mean(old.block_means_ms[0])
    sided = min(mann_whitney(*medians), mann_whitney(*medians[::-1]))
    regressed = {
        "pytest-benchmark 5 %": mean > 1.05,
        "action 105 %": ratio > 1.05,
        "action 200 %": ratio > 2.0,
        "benchstat": 2 * sided < 0.05 and ratio > 1,
    }
    results = [_result(of, (replace(side, name="net"),)) for of, side in ((now, new), (before, old))]
    recorded = gate.judge_recorded(results[0], results[1], gate.Limits(latency=LIMIT)).status
    return {"recorded": recorded, **{rule: "regress" if found else "pass" for rule, found in regressed.items()}}


def _agree(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    results = [_result(of, (replace(_candidate(of, OLD), name="net"),)) for of in (before, now)]
    speedup = compare(results).rows[0].speedup
    return speedup.low <= 1 <= speedup.high


def _paired(record: Mapping[str, Any], limit: float) -> gate.Verdict:
    result = _result(record, tuple(_candidate(record, name) for name in (NEW, OLD)))
    return gate.judge_paired(result, NEW, OLD, gate.Limits(latency=limit))


def _result(record: Mapping[str, Any], candidates: tuple[CandidateResult, ...]) -> BenchmarkResult:
    threads = record["setting"]["threads"]
    observed = conditions.observe(BenchConfig(_BACKEND, threads=threads), ())
    return BenchmarkResult("trial", "", observed, candidates, reference_workload=_runs(record, reference_workload.KEY))


def _candidate(record: Mapping[str, Any], name: str) -> CandidateResult:
    return CandidateResult(name, "student", "fp32", "", "", {}, _runs(record, name))


def _runs(record: Mapping[str, Any], name: str) -> tuple[Run, ...]:
    """Make runs of the blocks' medians, which is what every rule takes."""
    return tuple(Run(tuple((ns,) for ns in blocks), 0) for blocks in record["medians_ns"][name])


def _trial(setting: Setting, engines: Mapping[str, Path], feeds: Feeds, reference: Candidate) -> dict[str, Any]:
    config = BenchConfig(_BACKEND, processes=gate.PROCESSES, threads=setting.threads, budget_s=40.0)
    elapsed_s = stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        candidates = [
            Candidate(key, engine).with_feeds((feeds,), Path(folder) / f"{key}.npz")
            for key, engine in ((NEW, engines[f"{setting.slower:g}"]), (OLD, engines[OLD]))
        ]
        measured = processes.measure([*candidates, reference], config, QuietReporter())
    medians = {
        name: [[int(np.median(block)) for block in run.blocks_ns] for run in runs]
        for name, runs in measured.runs.items()
    }
    return {"setting": asdict(setting), "seconds": elapsed_s(), "notes": measured.notes, "medians_ns": medians}


def _engines(pair: str, settings: Sequence[Setting], out: Path) -> dict[str, Path]:
    """Build the student once, and copy it under a name that says how much slower it is to be."""
    job = job_from(pair, out / "student", (), None)
    onnx = export(job, "student")
    engine = out / "accepted.engine"
    build.run(onnx, _BACKEND, engine)
    found = {OLD: engine}
    for slower in {setting.slower for setting in settings}:
        found[f"{slower:g}"] = out / f"slower_{slower:g}.engine"
        shutil.copyfile(engine, found[f"{slower:g}"])
    return found


@contextlib.contextmanager
def _neighbour(noise: str) -> Iterator[None]:
    if noise == "idle":
        yield
        return
    other = multiprocessing.Process(target=_load_a_core, daemon=True)
    other.start()
    try:
        yield
    finally:
        other.terminate()
        other.join()


def _load_a_core() -> None:
    rest = multiprocessing.Event()
    while True:
        until = CLOCK() + random.uniform(0.05, 0.5) * 1e9
        while CLOCK() < until:
            pass
        rest.wait(random.uniform(0.05, 0.5))


class _Slowed:
    """A session whose every inference spins for a share of its own time."""

    def __init__(self, session: Session, share: float) -> None:
        self._session, self._share = session, share
        self.inputs, self.outputs = session.inputs, session.outputs

    def run(self, feeds: Feeds) -> dict[str, Any]:
        start = CLOCK()
        found = self._session.run(feeds)
        until = start + (CLOCK() - start) * (1 + self._share)
        while CLOCK() < until:
            pass
        return found

    def close(self) -> None:
        self._session.close()


def measure_slowed(plan: Mapping[str, Any]) -> Any:
    """Measure as a child process does, with engines called slower_S spinning."""

    def opened(engine: Path, *, threads: int = 0) -> Session:
        session = load("backends", _BACKEND).BACKEND.open(engine, threads=threads)
        name, _, per_cent = engine.stem.partition("_")
        # The accepted one is wrapped too, so that the wrapper's own time is on both sides.
        return _Slowed(session, float(per_cent) / 100 if name == "slower" else 0.0)

    slowed = SimpleNamespace(BACKEND=SimpleNamespace(open=opened))
    with mock.patch.object(processes, "load", return_value=slowed):
        return processes.measure_here(plan)


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
