"""A new engine beside the accepted one: real processes on the null backend."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekd.bench import paired
from edgekd.core.artifact import Artifact, publish, read_artifact
from edgekd.core.config import BenchConfig
from edgekd.core.errors import NotComparable
from edgekd.core.reporter import QuietReporter
from edgekd.core.tensor import TensorSpec
from edgekd.results.gate import MAX_ANALYSES, PROCESSES, Limits
from edgekd.results.result import read_result
from edgekd.runtime import build
from tests.unit.bench.engines import QUICK

CONFIG = replace(QUICK, reference_workload=False, end_to_end=False, budget_s=30.0)


class Messages(QuietReporter):
    """Keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture
def engine(tmp_path):
    inputs = (TensorSpec("x", (1, 4), "float32"),)
    onnx = publish(Artifact("onnx", tmp_path / "net.onnx", inputs=inputs), "a network")
    return build.run(onnx, "null", tmp_path / "net.engine")


def test_its_own_defaults_are_the_gates():
    assert paired.CONFIG.processes == PROCESSES
    assert not paired.CONFIG.reference_workload
    assert isinstance(paired.CONFIG, BenchConfig)


def test_an_engine_against_itself_passes_generous_limits(engine, tmp_path):
    out = tmp_path / "result.json"
    verdict = paired.run((engine, engine), Limits(latency=1e6, engine_size=0.0), CONFIG, out, QuietReporter())
    assert (verdict.status, verdict.mode) == ("pass", "paired")
    assert [row.name for row in read_result(out).candidates] == [paired.ACCEPTED, paired.NEW]
    assert read_artifact(out).kind == "result"


def test_an_inconclusive_verdict_is_analysed_again_until_it_may_not(engine, tmp_path):
    reporter, out = Messages(), tmp_path / "result.json"
    # Two processes at a time never reach the seven that an exact test at 1 % needs.
    verdict = paired.run((engine, engine), Limits(latency=0.0), CONFIG, out, reporter)
    analyses = 1 + sum("more processes" in message for message in reporter.messages)
    assert 1 <= analyses <= MAX_ANALYSES
    assert [len(row.runs) for row in read_result(out).candidates] == [2 * analyses] * 2
    if verdict.status == "inconclusive" and verdict.processes_needed is not None:
        assert analyses == MAX_ANALYSES


def test_without_budget_the_first_verdict_stands(engine, tmp_path):
    reporter = Messages()
    config = replace(CONFIG, budget_s=0.0)
    paired.run((engine, engine), Limits(latency=0.0), config, tmp_path / "result.json", reporter)
    assert not any("more processes" in message for message in reporter.messages)


def test_engines_of_two_backends_are_refused(engine, tmp_path):
    other = replace(engine, facts={**engine.facts, "backend": "onnxruntime"})
    with pytest.raises(NotComparable, match="null, onnxruntime"):
        paired.run((engine, other), Limits(latency=0.1), CONFIG, tmp_path / "result.json", QuietReporter())
