"""Several fresh processes: real ones, on the null backend."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from edgekd.bench import end_to_end, processes
from edgekd.bench.end_to_end import Edge
from edgekd.bench.processes import Entrant
from edgekd.core import worker
from edgekd.core.artifact import Artifact, save_manifest, sha256_of
from edgekd.core.config import BenchConfig
from edgekd.core.errors import InputError, MachineError
from edgekd.core.family import load
from edgekd.core.protocols import Session
from edgekd.core.tensor import TensorSpec

FEEDS = {"x": np.zeros((1, 4), np.float32)}
QUICK = BenchConfig("null", processes=2, blocks=2, width=9.0, block_ms=0.1, warmup_ms=0.1, threads=1)


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("null")
    onnx = folder / "net.onnx"
    onnx.write_text("a network")
    specs = (TensorSpec("x", (1, 4), "float32"),)
    save_manifest(Artifact("onnx", onnx, sha256_of(onnx), specs, (TensorSpec("y", (1, 4), "float32"),)))
    load("backends", "null").BACKEND.build(onnx, specs, folder / "net.engine")
    return folder / "net.engine"


def entrants(engine: Path, *names: str) -> list[Entrant]:
    return [Entrant(name, engine, (FEEDS,)) for name in names]


def test_every_process_times_every_candidate_in_as_many_rounds(engine):
    told = []
    found = processes.measure(entrants(engine, "a", "b"), QUICK, lambda *step: told.append(step))
    assert [len(found.runs[name]) for name in "ab"] == [2, 2]
    for mine, other in zip(found.runs["a"], found.runs["b"], strict=True):
        assert len(mine.blocks_ns) == len(other.blocks_ns) >= 2
    assert found.runs["a"][0] != found.runs["a"][1]
    assert told == [("process", 1, 2), ("process", 2, 2)]


def test_odd_processes_open_engines_in_the_reverse_order(engine, monkeypatch):
    plans = []

    def noted(module, plan, out):
        plans.append(json.loads(Path(plan).read_text()))
        return worker.fresh_python(module, plan, out)

    monkeypatch.setattr(processes, "fresh_python", noted)
    processes.measure(entrants(engine, "a", "b", "c"), QUICK)
    assert ["".join(entrant["name"] for entrant in plan["entrants"]) for plan in plans] == ["abc", "cba"]
    budgets = [plan["config"]["budget_s"] for plan in plans]
    assert budgets[0] <= 45 < budgets[1] <= 90  # each an equal share of what is left


def test_a_killed_process_is_lost_and_the_others_count(engine, monkeypatch):
    started = []

    def kills_the_second(*words):
        started.append(words)
        if len(started) == 2:
            return [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
        return worker.fresh_python(*words)

    monkeypatch.setattr(processes, "fresh_python", kills_the_second)
    found = processes.measure(entrants(engine, "a"), BenchConfig("null", processes=3, blocks=2, budget_s=0.0))
    assert len(found.runs["a"]) == 2
    assert found.notes[0].startswith(
        "1 of 3 processes were lost, the others count: a measuring process ended by SIGKILL"
    )


@pytest.mark.parametrize("count", [1, 3])
def test_processes_that_all_fail_are_an_error_with_their_words(engine, tmp_path, count):
    gone = [Entrant("a", tmp_path / "gone.engine", (FEEDS,))]
    with pytest.raises(MachineError, match=r"ended with \d and said: .*gone\.engine"):
        processes.measure(gone, BenchConfig("null", processes=count, blocks=2))


def test_what_did_not_settle_is_named(engine, monkeypatch):
    config = BenchConfig("null", processes=1, blocks=2, budget_s=0.0)
    real = processes._in_a_process

    def unsettled(*given):
        found = real(*given).items()
        return {name: replace(one, run=replace(one.run, is_steady=name != "b")) for name, one in found}

    monkeypatch.setattr(processes, "_in_a_process", unsettled)
    (note,) = processes.measure(entrants(engine, "a", "b"), config).notes
    assert "had not settled when a warm-up ended: b in 1 of 1 processes;" in note


def test_stages_are_timed_where_something_stands_before_and_after(tmp_path):
    onnx = tmp_path / "net.onnx"
    onnx.write_text("a network")
    specs = (TensorSpec("x", (1, 3, 8, 8), "float32"),)
    save_manifest(Artifact("onnx", onnx, sha256_of(onnx), specs, (TensorSpec("y", (1, 3, 16, 16), "float32"),)))
    engine = tmp_path / "net.engine"
    load("backends", "null").BACKEND.build(onnx, specs, engine)
    feeds = ({"x": np.zeros((1, 3, 8, 8), np.float32)},)
    edge = Edge("super_resolution", {"scale": 2}, False, np.zeros((8, 8, 3), np.uint8))
    pair = [Entrant("with", engine, feeds, edge), Entrant("without", engine, feeds)]
    found = processes.measure(pair, QUICK).stages_ns
    assert found["without"] == {}
    assert list(found["with"]) == ["preprocess", "inference", "postprocess", "end_to_end"]
    for before, inside, after, whole in zip(*found["with"].values(), strict=True):  # of each process
        assert len(before) >= QUICK.min_iterations
        assert [sum(parts) for parts in zip(before, inside, after, strict=True)] == list(whole)


def test_how_a_process_ended():
    def said(code, stderr):
        return worker.ended(subprocess.CompletedProcess([], code, "", stderr))

    assert said(3, "first\nno such library\n") == "ended with 3 and said: no such library"
    assert said(-11, "") == "ended by SIGSEGV and said: nothing"
    assert said(-200, "") == "ended with -200 and said: nothing"


def test_an_engine_of_several_inputs_has_no_stages_and_says_why():
    two = SimpleNamespace(inputs=(1, 2), outputs=(1,))
    edge = Edge("super_resolution", {"scale": 2}, False, np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(InputError, match="the engine has 2 inputs and 1 outputs; one of each was expected"):
        end_to_end.split(cast("Session", two), edge, 1)
