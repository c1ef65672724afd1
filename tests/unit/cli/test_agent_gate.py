"""``python -m edgekd.agent gate``: the same two files as the workstation's gate writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgekd import agent
from edgekd.bench import paired
from edgekd.core.artifact import Artifact, publish, read_artifact, sha256_of
from edgekd.core.tensor import TensorSpec
from edgekd.results.result import read_result


def test_the_verdict_and_its_result_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A measurement as short as can be.
    config = replace(paired.CONFIG, processes=2, min_rounds=2, ci_half_width=9.0, block_ms=0.1, warmup_ms=0.1)
    monkeypatch.setattr(paired, "CONFIG", config)
    specs, engine = (TensorSpec("x", (1, 4), "float32"),), tmp_path / "net.engine"
    onnx = publish(Artifact("onnx", tmp_path / "net.onnx", inputs=specs, outputs=specs), "a network")
    assert agent.main(["build", str(onnx.path), "--backend", "null", "-o", str(engine)]) == 0
    capsys.readouterr()
    out = tmp_path / "verdict.json"
    assert agent.main(["gate", str(engine), str(engine), "--latency", "1000", "-o", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    raw_result = tmp_path / "verdict.result.json"
    assert answer == {"status": "pass", "exit_code": 0, "verdict": str(out), "result": str(raw_result)}
    assert json.loads(out.read_text())["status"] == "pass"
    assert read_artifact(out).made_by.parents_sha256 == (sha256_of(raw_result),)
    assert [len(candidate.runs) for candidate in read_result(raw_result).candidates] == [2, 2]
