"""Several fresh processes: real ones, on the null backend."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from edgekd.bench import end_to_end, processes
from edgekd.bench.candidate import Candidate
from edgekd.core import worker
from edgekd.core.errors import InputError, IntegrityError, MachineError, WorkerError
from edgekd.core.network_info import NetworkInfo
from edgekd.core.protocols import Session
from edgekd.core.reporter import QuietReporter
from edgekd.core.tensor import TensorSpec
from edgekd.results.result import Run
from tests.unit.bench.engines import QUICK, candidate, null_engine

FEEDS = {"x": np.zeros((1, 4), np.float32)}
ENLARGING = NetworkInfo("student", task="super_resolution", task_options={"scale": 2})


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Path:
    return null_engine(tmp_path_factory.mktemp("null"), (TensorSpec("x", (1, 4), "float32"),))


@pytest.fixture
def candidates(engine, tmp_path) -> list[Candidate]:
    return [candidate(key, engine, FEEDS, tmp_path) for key in "abc"]


class Steps(QuietReporter):
    """Keeps the steps."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []

    def step(self, name: str, done: int, total: int) -> None:
        self.steps.append((name, done, total))


def test_every_process_times_every_candidate_in_as_many_rounds(candidates):
    reporter = Steps()
    found = processes.measure(candidates[:2], QUICK, reporter)
    assert [len(found.runs[key]) for key in "ab"] == [2, 2]
    for mine, other in zip(found.runs["a"], found.runs["b"], strict=True):
        assert len(mine.blocks_ns) == len(other.blocks_ns) >= 2
    assert found.runs["a"][0] != found.runs["a"][1]
    assert reporter.steps == [("process", 1, 2), ("process", 2, 2)]
    assert found.end_to_end_ns["a"] == {}


def test_odd_processes_open_engines_in_the_reverse_order(candidates, monkeypatch):
    plans, call = [], worker.call

    def recorded(function, plan, **options):
        plans.append(plan)
        return call(function, plan, **options)

    monkeypatch.setattr(worker, "call", recorded)
    processes.measure(candidates, QUICK, QuietReporter())
    assert ["".join(one["key"] for one in plan["candidates"]) for plan in plans] == ["abc", "cba"]
    budgets = [plan["config"]["budget_s"] for plan in plans]
    assert budgets[0] <= 30 < budgets[1] <= 60  # each an equal share of what is left


def killed(plan):
    """Die as a process does that runs out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_lost_and_the_others_count(candidates, monkeypatch):
    started, call = [], worker.call

    def kills_the_second(function, plan, **options):
        started.append(function)
        return call(f"{__name__}:killed" if len(started) == 2 else function, plan, **options)

    monkeypatch.setattr(worker, "call", kills_the_second)
    found = processes.measure(candidates[:1], replace(QUICK, processes=3, budget_s=0.0), QuietReporter())
    assert len(found.runs["a"]) == 2
    assert found.notes[0].startswith("1 of 3 processes were lost")
    assert "SIGKILL" in found.notes[0]


def test_two_processes_that_crash_end_the_measurement(candidates, monkeypatch):
    call = worker.call
    monkeypatch.setattr(worker, "call", lambda function, plan, **options: call(f"{__name__}:killed", plan, **options))
    with pytest.raises(WorkerError, match="SIGKILL"):
        processes.measure(candidates[:1], replace(QUICK, processes=3), QuietReporter())


def test_an_engine_that_cannot_be_opened_raises_its_own_error(engine, tmp_path):
    gone = candidate("a", tmp_path / "gone.engine", FEEDS, tmp_path)
    with pytest.raises(IntegrityError, match=r"gone\.engine"):
        processes.measure([gone], QUICK, QuietReporter())


def test_warm_ups_that_did_not_settle_are_named(candidates, monkeypatch):
    real = processes._measure_in_process

    def unsettled(*given):
        found = real(*given).items()
        return {key: replace(one, run=replace(one.run, is_steady=key != "b")) for key, one in found}

    monkeypatch.setattr(processes, "_measure_in_process", unsettled)
    (note,) = processes.measure(candidates[:2], replace(QUICK, processes=1), QuietReporter()).notes
    assert "had not settled" in note
    assert "b in 1 of 1 processes" in note


def test_all_rounds_refused_is_an_error():
    refused = Run(((1,),), 0, refused=("background load 2.0 cores above 1.0",))
    with pytest.raises(MachineError, match="all 1 rounds were refused"):
        processes._ensure_kept([refused])
    processes._ensure_kept([refused, Run(((1,),), 0)])


def test_end_to_end_is_timed_where_an_image_is_given(tmp_path):
    specs = (TensorSpec("x", (1, 3, 8, 8), "float32"),)
    engine = null_engine(tmp_path, specs, (TensorSpec("y", (1, 3, 16, 16), "float32"),))
    feeds, image = {"x": np.zeros((1, 3, 8, 8), np.float32)}, np.zeros((8, 8, 3), np.uint8)
    pair = [
        candidate("with", engine, feeds, tmp_path, ENLARGING, image),
        candidate("without", engine, feeds, tmp_path, ENLARGING),
    ]
    found = processes.measure(pair, QUICK, QuietReporter()).end_to_end_ns
    assert found["without"] == {}
    assert list(found["with"]) == ["preprocess", "inference", "postprocess", "end_to_end"]
    for before, inside, after, whole in zip(*found["with"].values(), strict=True):  # of each process
        assert len(before) >= QUICK.min_iterations
        assert [sum(parts) for parts in zip(before, inside, after, strict=True)] == list(whole)


def test_an_engine_of_several_inputs_cannot_be_timed_end_to_end():
    two = SimpleNamespace(inputs=(1, 2), outputs=(1,))
    with pytest.raises(InputError, match="2 inputs and 1 outputs"):
        end_to_end.split(cast("Session", two), ENLARGING, np.zeros((8, 8, 3), np.uint8), 1)
