"""Time per node in a fresh process: a real one, on onnxruntime."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekd.backends.onnxruntime import BACKEND
from edgekd.bench import profile, suite
from edgekd.bench.processes import Entrant
from edgekd.core.artifact import Artifact, read_artifact
from edgekd.core.config import BenchConfig
from edgekd.core.protocols import NodeRuns
from edgekd.results.result import read_result
from tests.unit.backends import tiny
from tests.unit.report.example_result import candidate

LATENCIES_MS = {"a": 100.0, "b": 100.0}


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "net.engine"
    BACKEND.build(tiny.write_conv(path.with_suffix(".onnx")), (tiny.INPUT,), path)
    return path


def entrants(engine: Path, names: str = "ab") -> list[Entrant]:
    return [Entrant(name, engine, (tiny.feed(),)) for name in names]


def test_every_entrants_nodes(engine):
    found = profile.profile("onnxruntime", entrants(engine), LATENCIES_MS, 1)
    assert list(found) == ["a", "b"]
    for of in found.values():
        assert of.reason == ""
        assert any("Conv" in node.op for node in of.nodes)
        assert sum(node.median_ms for node in of.nodes) > 0
        assert all(node.mad_ms is not None and node.mad_ms >= 0 for node in of.nodes)


def test_a_library_that_times_no_nodes_says_so(engine):
    assert profile.profile("null", entrants(engine), LATENCIES_MS)["a"] == profile.Profile((), "null times no nodes")


def test_a_child_that_fails_gives_its_last_words(tmp_path):
    (tmp_path / "broken.engine").write_text("nothing")
    found = profile.profile("onnxruntime", entrants(tmp_path / "broken.engine"), LATENCIES_MS)
    assert [of.nodes for of in found.values()] == [(), ()]
    assert "the profiling process ended with 2 and said:" in found["b"].reason
    assert "broken.engine is not an engine" in found["b"].reason


class Recorded:
    """A profiled session that keeps whose turn it was."""

    def __init__(self, name: str, turns: list[str]) -> None:
        self.name, self.turns = name, turns

    def run(self, feeds) -> None:
        self.turns.append(self.name)

    def nodes(self) -> tuple[NodeRuns, ...]:
        count = self.turns.count(self.name)
        return (NodeRuns("n", "Conv", tuple(float(i) for i in range(count))),)


def test_turns_are_balanced_and_warm_ups_left_out():
    turns: list[str] = []
    sessions: list[Any] = [(name, Recorded(name, turns), {}, 2) for name in "ab"]
    found = profile._take_turns(sessions)
    assert "".join(turns) == "aabb" + "aabb" + "bbaa" + "aabb" + "bbaa"
    (node,) = found["a"]
    assert (node.median_ms, node.mad_ms) == (5.5, 2.0)  # of 2 to 9: the two before are warm-up


def test_the_plan_fits_half_a_second(engine, tmp_path):
    blocks = [profile._planned(entrants(engine)[0], ms, tmp_path / "feeds.npz")[3] for ms in (0.01, 10.0, 5000.0)]
    assert blocks == [50, 13, 2]


def test_the_childs_side_writes_nodes(engine, tmp_path):
    plan = {"backend": "onnxruntime", "threads": 1}
    plan["entrants"] = [profile._planned(entrants(engine)[0], 200.0, tmp_path / "feeds.npz")]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert profile.main([str(tmp_path / "plan.json"), str(tmp_path / "out.json")]) == 0
    assert {"name", "op", "median_ms", "mad_ms"} == set(json.loads((tmp_path / "out.json").read_text())["a"][0])


def test_a_result_has_nodes_or_a_note(engine, tmp_path):
    config = BenchConfig("onnxruntime", threads=1)
    (with_nodes,) = suite._with_nodes(
        [replace(candidate("a", "fp32", 1.0, 37.0), name="a")], entrants(engine, "a"), config
    )
    assert with_nodes.nodes
    assert with_nodes.notes == ()
    config = replace(config, backend="null")
    (without,) = suite._with_nodes([replace(with_nodes, nodes=())], entrants(engine, "a"), config)
    assert (without.nodes, without.notes) == ((), ("time per node not measured: null times no nodes",))


def test_bench_profiles_each_engine_unless_told_not_to(engine, tmp_path):
    quick = BenchConfig("onnxruntime", processes=1, blocks=2, block_ms=0.1, warmup_ms=0.1, width=9.0, threads=1)
    subjects = [suite.Subject("a/fp32", "a", "fp32", Artifact("engine", engine, "ab" * 32))]
    for profiled in (True, False):
        setting, out = suite.Setting("net", quick, profiled=profiled), tmp_path / f"{profiled}.json"
        suite.run(subjects, setting, suite.provenance(subjects, setting, {}), out, suite.Told(lambda line: None))
        (found,) = read_result(out).candidates
        assert bool(found.nodes) == profiled
        assert not any("per node" in note for note in found.notes)
    again = suite.profiled(subjects, setting, read_result(out))
    assert again.candidates[0].nodes
    assert replace(again.candidates[0], nodes=()) == read_result(out).candidates[0]
    assert read_artifact(out).kind == "result"
