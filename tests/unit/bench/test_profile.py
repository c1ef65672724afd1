"""Time per node in a fresh process: a real one, on onnxruntime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgekd.backends.onnxruntime import BACKEND
from edgekd.bench import profile, suite
from edgekd.bench.candidate import Candidate
from edgekd.bench.plan import BenchPlan
from edgekd.core.artifact import read_artifact
from edgekd.core.protocols import NodeRuns
from edgekd.core.reporter import QuietReporter
from edgekd.results.result import read_result
from tests.unit.backends import tiny
from tests.unit.bench.engines import QUICK, candidate

LATENCIES_MS = {"a": 100.0, "b": 100.0}


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "net.engine"
    BACKEND.build(tiny.write_conv(path.with_suffix(".onnx")), (tiny.INPUT,), path)
    return path


def pair(engine: Path, folder: Path, keys: str = "ab") -> list[Candidate]:
    return [candidate(key, engine, tiny.feed(), folder) for key in keys]


def test_every_candidates_nodes(engine, tmp_path):
    found = profile.profile(pair(engine, tmp_path), LATENCIES_MS, "onnxruntime", 1)
    assert list(found) == ["a", "b"]
    for one in found.values():
        assert one.reason == ""
        assert any("Conv" in node.op for node in one.nodes)
        assert sum(node.median_ms for node in one.nodes) > 0
        assert all(node.mad_ms is not None and node.mad_ms >= 0 for node in one.nodes)


def test_a_library_that_times_no_nodes_gives_the_reason(engine, tmp_path):
    found = profile.profile(pair(engine, tmp_path), LATENCIES_MS, "null")
    assert found["a"] == profile.Profile((), "null times no nodes")


def test_a_child_that_fails_gives_its_reason(tmp_path):
    (tmp_path / "broken.engine").write_text("nothing")
    found = profile.profile(pair(tmp_path / "broken.engine", tmp_path), LATENCIES_MS, "onnxruntime")
    assert [one.nodes for one in found.values()] == [(), ()]
    assert "broken.engine is not an engine" in found["b"].reason


class Recorded:
    """A profiled session that records the order of the inferences."""

    def __init__(self, name: str, order: list[str]) -> None:
        self.name, self.order = name, order

    def run(self, feeds) -> None:
        self.order.append(self.name)

    def nodes(self) -> tuple[NodeRuns, ...]:
        count = self.order.count(self.name)
        return (NodeRuns("n", "Conv", tuple(float(i) for i in range(count))),)


def test_blocks_are_balanced_and_warm_ups_left_out():
    order: list[str] = []
    opened = [profile._Opened(key, Recorded(key, order), {}, 2) for key in "ab"]
    found = profile._run_interleaved(opened)
    assert "".join(order) == "aabb" + "aabb" + "bbaa" + "aabb" + "bbaa"
    (node,) = found["a"]
    assert (node["median_ms"], node["mad_ms"]) == (5.5, 2.0)  # of 2 to 9: the two before are warm-up


def test_the_plan_fits_half_a_second():
    assert [profile._block_length(ms) for ms in (0.01, 10.0, 5000.0)] == [50, 13, 1]


def test_a_row_has_nodes_or_a_note(engine, tmp_path):
    quick = replace(QUICK, backend="onnxruntime", processes=1)
    candidates = [Candidate("a/fp32", engine, "ab" * 32)]
    for times_nodes in (True, False):
        plan, out = BenchPlan("net", quick, times_nodes=times_nodes), tmp_path / f"{times_nodes}.json"
        suite.run(candidates, plan, out, QuietReporter())
        (row,) = read_result(out).candidates
        assert bool(row.nodes) == times_nodes
        assert not any("per node" in note for note in row.notes)
    again = suite.with_nodes(candidates, plan, read_result(out))
    assert again.candidates[0].nodes
    assert replace(again.candidates[0], nodes=()) == read_result(out).candidates[0]
    assert read_artifact(out).kind == "result"
