"""The fixed network beside every measurement: the file is the script's, and every backend that is here takes it."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np

from benchmarks.reference_workload import model
from edgekd.bench import reference_workload, suite
from edgekd.convert import import_onnx
from edgekd.core.artifact import read_artifact, sha256_of
from edgekd.core.config import BenchConfig
from edgekd.core.family import load
from edgekd.results.result import read_result
from edgekd.runtime import build
from tests.pipeline.tiny import tiny_onnx

QUICK = BenchConfig(processes=2, blocks=2, width=9.0, block_ms=0.1, warmup_ms=0.1, threads=1)


def test_the_file_is_what_the_script_writes():
    shipped = (resources.files("edgekd.bench") / "reference_workload.onnx").read_bytes()
    assert shipped == model().SerializeToString()


def test_it_answers_and_not_with_nothing(tmp_path):
    entrant = reference_workload.entrant(replace(QUICK, scenario="offline", streams=2), tmp_path)
    assert len(entrant.feeds) == 2  # one for each stream
    session = load("backends", "onnxruntime").BACKEND.open(entrant.engine, threads=1)
    answer = session.run({"x": np.ones((1, 3, 96, 96), np.float32)})["y"]
    session.close()
    assert answer.shape == reference_workload.OUTPUT.shape
    assert np.isfinite(answer).all()
    assert answer.std() > 0


def test_a_result_has_its_runs_beside_every_candidate_s(tmp_path):
    engine = tmp_path / "net.engine"
    onnx = tiny_onnx(tmp_path / "net.onnx")
    build.run(import_onnx.run(onnx, {}, None, tmp_path / "adopted.onnx"), "null", engine)
    subjects = suite.subjects([read_artifact(engine)])
    for wanted in (True, False):
        setting = suite.Setting("net", replace(QUICK, backend="null", yardstick=wanted))
        out = tmp_path / "result.json"
        suite.run(subjects, setting, suite.provenance(subjects, setting, {}), out, suite.Told(lambda line: None))
        result = read_result(out)
        assert [candidate.name for candidate in result.candidates] == [subjects[0].name]
        rounds = [len(run.blocks_ns) for run in result.candidates[0].runs]
        assert [len(run.blocks_ns) for run in result.yardstick] == (rounds if wanted else [])
        digest = sha256_of(Path(reference_workload.__file__).with_suffix(".onnx"))
        assert (
            result.yardstick_sha256 == reference_workload.sha256() == digest
            if wanted
            else result.yardstick_sha256 == ""
        )
