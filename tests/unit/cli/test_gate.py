"""``edgekd gate`` as people type it: every exit code, and when the accepted file changes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgekd.bench import suite
from edgekd.cli import _run as edgekd
from edgekd.core.artifact import read_artifact, sha256_of
from edgekd.core.errors import MachineError
from edgekd.results.result import read_result
from tests.pipeline.tiny import tiny_onnx
from tests.unit.report.example_result import CONDITIONS, candidate, example
from tests.unit.results.timed_candidates import beside, timed

QUICK = ["--set", "bench.min_rounds=2", "--set", "bench.block_ms=0.5", "--set", "bench.warmup_ms=0.5"]
QUICK += ["--set", "bench.ci_half_width=9", "-q"]
REFERENCE = "bench.reference_workload=true"


def limits(folder: Path, text: str) -> Path:
    path = folder / "limits.toml"
    path.write_text(text if "[" in text else f"[limits]\n{text}\n")
    return path


def result(path: Path, ms: float, **changes) -> Path:
    path.write_text(beside(timed("net/fp32", ms, scatter=0.001), **changes).to_json())
    return path


@pytest.mark.parametrize(
    ("ms", "changes", "code", "says"),
    [
        (10.0, {}, 0, "pass"),
        (11.0, {}, 1, "regress"),
        (10.3, {}, 4, "inconclusive"),
        (10.0, {"conditions": replace(CONDITIONS, threads=1)}, 5, "threads"),
        (10.0, {"title": "other"}, 5, "other"),
    ],
)
def test_recorded(tmp_path, capsys, ms, changes, code, says):
    old, new = result(tmp_path / "old.json", 10.0), result(tmp_path / "new.json", ms, **changes)
    limits_path = limits(tmp_path, "latency = 0.03")
    assert edgekd(["gate", str(new), "--baseline", str(old), "--limits", str(limits_path)]) == code
    captured = capsys.readouterr()
    assert says in " ".join((captured.out + captured.err).split())


def test_paired_measures_both_now(tmp_path, capsys):
    engines = []
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        engines.append(tmp_path / name / "net.engine")
        assert edgekd(["build", str(tiny_onnx(tmp_path / name / "net.onnx")), "-o", str(engines[-1])]) == 0
    limits_path, out = limits(tmp_path, "latency = 1000.0\nengine_size = 0.0"), tmp_path / "verdict.json"
    capsys.readouterr()
    words = ["gate", str(engines[0]), "--against", str(engines[1]), "--limits", str(limits_path), *QUICK]
    assert edgekd([*words, "--set", "bench.processes=2", "-o", str(out), "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict == json.loads(out.read_text())
    assert (verdict["status"], verdict["mode"]) == ("pass", "paired")
    assert [check["processes"] for check in verdict["checks"]] == [2, 0]
    artifact = read_artifact(out)
    assert (artifact.kind, artifact.made_by.stage) == ("verdict", "gate")
    assert artifact.made_by.parents_sha256 == (sha256_of(tmp_path / "verdict.result.json"),)
    assert edgekd(["report", str(out)]) == 0
    assert "pass" in capsys.readouterr().out
    measured = read_result(tmp_path / "verdict.result.json")
    assert [c.name for c in measured.candidates] == ["accepted", "new"]
    assert [len(c.runs) for c in measured.candidates] == [2, 2]


def old_and_slower(folder: Path) -> list[Path]:
    """A network, and one that takes many times as long."""
    paths = [folder / "old.onnx", folder / "new.onnx"]
    for path, width in zip(paths, (2, 96), strict=True):
        nodes = [
            helper.make_node("Conv", [a, w], [b], b, pads=[1] * 4) for a, w, b in (("x", "v", "y"), ("y", "w", "z"))
        ]
        shapes = {"v": (width, 3, 3, 3), "w": (3, width, 3, 3)}
        weights = [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in shapes.items()]
        ends = [helper.make_tensor_value_info(name, 1, (1, 3, 48, 48)) for name in "xz"]
        graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], weights)
        onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return paths


def test_a_slower_engine_is_profiled_beside_the_accepted_one(tmp_path, capsys):
    old, new = old_and_slower(tmp_path)
    limits_path, out = limits(tmp_path, "latency = 0.03"), tmp_path / "verdict.json"
    words = ["gate", str(new), "--against", str(old), "--limits", str(limits_path), *QUICK[:-1]]
    assert edgekd([*words, "--set", "bench.threads=1", "-o", str(out)]) == 1
    captured = capsys.readouterr()
    assert "timing both engines' nodes" in captured.err
    assert "more processes" not in captured.err
    (layer_diff,) = json.loads(out.read_text())["layer_diffs"]
    assert (layer_diff["candidate"], layer_diff["reason"]) == ("new", "")
    assert 0 < layer_diff["old_sum_ms"] < layer_diff["new_sum_ms"]
    assert max(layer_diff["changes"], key=lambda node: node["change_ms"])["share"] > 0.2
    assert "profiling" in captured.out
    assert not read_result(tmp_path / "verdict.result.json").candidates[0].nodes


@pytest.mark.parametrize(
    ("sets", "code", "processes", "message"),
    [
        # Six processes cannot decide, whatever they show; seven can.
        (["bench.processes=4"], 1, 8, "analysis 2 of at most 3, with 4 more processes"),
        (
            ["bench.processes=2", "bench.reference_workload=true"],
            4,
            6,
            "analysis 3 of at most 3, with 2 more processes",
        ),
        (["bench.processes=4", "bench.budget_s=0"], 4, 4, "too few to measure more"),
    ],
)
def test_an_inconclusive_verdict_is_analysed_again(tmp_path, capsys, sets, code, processes, message):
    old, new = old_and_slower(tmp_path)
    limits_path, out = limits(tmp_path, "latency = 0.03"), tmp_path / "verdict.json"
    words = ["gate", str(new), "--against", str(old), "--limits", str(limits_path), "-o", str(out), *QUICK[:-1]]
    given = [word for text in ("bench.threads=1", *sets) for word in ("--set", text)]
    assert edgekd([*words, *given]) == code
    progress = capsys.readouterr().err
    assert message in progress
    assert progress.count("more processes") == processes // int(sets[0][-1]) - 1
    assert json.loads(out.read_text())["checks"][0]["processes"] == processes
    kept = tmp_path / "verdict.result.json"
    assert [len(row.runs) for row in read_result(kept).candidates] == [processes] * 2
    assert len(read_result(kept).reference_workload) == (processes if REFERENCE in sets else 0)
    assert read_artifact(kept).sha256 == sha256_of(kept)


def test_a_lost_analysis_leaves_the_first(tmp_path, capsys, monkeypatch):
    old, new = old_and_slower(tmp_path)
    monkeypatch.setattr(suite, "extend", lost)
    words = ["gate", str(new), "--against", str(old), "--limits", str(limits(tmp_path, "latency = 0.03"))]
    assert edgekd([*words, *QUICK[:-1], "--set", "bench.processes=2"]) == 4
    captured = capsys.readouterr()
    assert "were lost: killed" in captured.err
    assert "inconclusive" in captured.out


def test_no_further_analysis_where_no_number_of_processes_would_decide(tmp_path, capsys):
    onnx = tiny_onnx(tmp_path / "net.onnx")
    words = ["gate", str(onnx), "--against", str(onnx), "--limits", str(limits(tmp_path, "energy = 0.03"))]
    assert edgekd([*words, *QUICK[:-1], "--set", "bench.processes=1", "--set", "bench.energy_s=0"]) == 4
    assert "analysis 2" not in capsys.readouterr().err


def lost(*_) -> None:
    raise MachineError("killed")


def test_onnx_files_are_built_here_and_now(tmp_path, capsys):
    onnx, limits_path = tiny_onnx(tmp_path / "net.onnx"), limits(tmp_path, "engine_size = 0.0")
    words = [
        "gate",
        str(onnx),
        "--against",
        str(onnx),
        "--limits",
        str(limits_path),
        *QUICK,
        "--set",
        "bench.processes=1",
    ]
    assert edgekd(words) == 0
    assert "pass" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"net.onnx", "limits.toml"}


def test_reports_are_written_beside_the_answer(tmp_path, capsys):
    old, new = result(tmp_path / "old.json", 10.0), result(tmp_path / "new.json", 11.0)
    words = ["gate", str(new), "--baseline", str(old)]
    paths = {name: tmp_path / name for name in ("junit", "sarif", "github", "markdown")}
    wanted = [word for name, path in paths.items() for word in ("--report", f"{name}={path}")]
    assert edgekd([*words, *wanted]) == 1
    assert all("latency" in path.read_text() for path in paths.values())
    capsys.readouterr()
    assert edgekd([*words, "--report", "juint=x"]) == 2
    assert "unknown format of a verdict 'juint'" in capsys.readouterr().err
    assert edgekd([*words, "--report", "junit"]) == 2
    assert "is not FORMAT=PATH" in capsys.readouterr().err
    assert edgekd(["report", str(new), "--report", "junit=x"]) == 2
    assert "unknown format of a result 'junit'" in capsys.readouterr().err


def test_only_accept_changes_the_baseline(tmp_path, capsys):
    old, new = tmp_path / "baselines" / "old.json", result(tmp_path / "new.json", 20.0)
    limits_path = ["--limits", str(limits(tmp_path, "latency = 0.03"))]
    words = ["gate", str(new), "--baseline", str(old), *limits_path]
    assert edgekd(words) == 2
    assert "--accept makes" in capsys.readouterr().err
    assert not old.exists()
    assert edgekd([*words, "--accept"]) == 0
    assert old.read_text() == new.read_text()
    slower = result(tmp_path / "slower.json", 40.0)
    assert edgekd(["gate", str(slower), "--baseline", str(old), *limits_path]) == 1
    assert old.read_text() == new.read_text()
    assert edgekd(["gate", str(slower), "--baseline", str(old), *limits_path, "--accept", "-q"]) == 0
    assert "regress" in capsys.readouterr().out
    assert old.read_text() == slower.read_text()


def test_one_candidate_may_be_named(tmp_path, capsys):
    for name, ms in (("old", 10.0), ("new", 20.0)):
        both = (candidate("student", "fp32", 9.0, 37), candidate("student", "int8", ms, 36.9))
        (tmp_path / f"{name}.json").write_text(example(candidates=both).to_json())
    words = ["gate", str(tmp_path / "new.json"), "--baseline", str(tmp_path / "old.json"), "--json"]
    assert edgekd([*words, "--candidate", "student/fp32"]) in (0, 4)
    assert {check["candidate"] for check in json.loads(capsys.readouterr().out)["checks"]} == {"student/fp32"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("latencies = 0.03", "unknown key limits.latencies"),
        ("latency = -1", "limits.latency = -1.0; a number of 0 or more"),
        ("latency = 'much'", "limits.latency = 'much'"),
        ("", "checks nothing"),
        ("[other]", "one table was expected: [limits]"),
        ("latency = = 1", "is not TOML"),
    ],
)
def test_bad_limits(tmp_path, capsys, text, says):
    old = result(tmp_path / "old.json", 10.0)
    assert edgekd(["gate", str(old), "--baseline", str(old), "--limits", str(limits(tmp_path, text))]) == 2
    assert says in " ".join(capsys.readouterr().err.split())


def test_accuracy_needs_samples(tmp_path, capsys):
    accuracy = limits(tmp_path, "accuracy = 0.1")
    assert edgekd(["gate", "a.onnx", "--against", "b.onnx", "--limits", str(accuracy)]) == 2
    assert "evaluation.npz" in capsys.readouterr().err


def test_bad_words(tmp_path, capsys):
    assert edgekd(["gate", "a", "--against", "b", "--baseline", "c"]) == 2
    assert "give either --against" in capsys.readouterr().err
    assert edgekd(["gate", "a", "--baseline", "c", "--limits", str(tmp_path / "gone.toml")]) == 2
    assert "a limits.toml was expected" in capsys.readouterr().err
