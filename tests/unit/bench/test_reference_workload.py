"""The fixed network beside every measurement: the file is the script's, and every backend that is here takes it."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from benchmarks.reference_workload import model
from edgekd.bench import reference_workload, suite
from edgekd.bench.candidate import Candidate
from edgekd.bench.plan import BenchPlan
from edgekd.core.artifact import sha256_of
from edgekd.core.family import load
from edgekd.core.reporter import QuietReporter
from edgekd.core.tensor import TensorSpec
from edgekd.results.result import read_result
from tests.unit.bench.engines import QUICK, null_engine


def test_the_file_is_what_the_script_writes():
    shipped = (resources.files("edgekd.bench") / "reference_workload.onnx").read_bytes()
    assert shipped == model().SerializeToString()


def test_it_computes_something(tmp_path):
    config = replace(QUICK, backend="onnxruntime", scenario="offline", streams=2)
    made = reference_workload.candidate(config, tmp_path)
    assert len(made.query()) == 2  # one for each stream
    assert not made.decides
    session = load("backends", "onnxruntime").BACKEND.open(made.engine, threads=1)
    output = session.run({"x": np.ones((1, 3, 96, 96), np.float32)})["y"]
    session.close()
    assert output.shape == reference_workload.OUTPUT.shape
    assert np.isfinite(output).all()
    assert output.std() > 0


@pytest.mark.parametrize("wanted", [True, False])
def test_a_result_has_its_runs_beside_every_candidates(tmp_path, wanted):
    engine = null_engine(tmp_path, (TensorSpec("x", (1, 4), "float32"),))
    plan = BenchPlan("net", replace(QUICK, reference_workload=wanted))
    suite.run([Candidate("net/fp32", engine, "ab" * 32)], plan, tmp_path / "result.json", QuietReporter())
    result = read_result(tmp_path / "result.json")
    assert [row.name for row in result.candidates] == ["net/fp32"]
    rounds = [len(run.blocks_ns) for run in result.candidates[0].runs]
    assert [len(run.blocks_ns) for run in result.reference_workload] == (rounds if wanted else [])
    digest = sha256_of(Path(reference_workload.__file__).with_suffix(".onnx"))
    assert digest == reference_workload.sha256()
    assert result.reference_workload_sha256 == (digest if wanted else "")
