"""onnxruntime's trace: events written by hand in its format, and a real If, whose body is not counted twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekd.backends._ort_profile import nodes_in_profile
from edgekd.core.errors import TargetMismatch
from edgekd.core.family import load
from tests.unit.graph.networks import branches

BACKEND = load("backends", "onnxruntime").BACKEND


def event(name: str, ts: int, dur: int, op: str = "", index: int = 0) -> dict:
    cat = "Node" if op else "Session"
    return {"cat": cat, "name": name, "ts": ts, "dur": dur, "args": {"op_name": op, "node_index": str(index)}}


def node(name: str, ts: int, dur: int, op: str = "Conv", index: int = 0) -> dict:
    return event(f"{name}_kernel_time", ts, dur, op, index)


def test_times_fall_to_the_inference_they_are_in() -> None:
    events = [
        event("model_loading_uri", 0, 5),
        node("warm", 6, 1),  # before any inference: not one of ours
        event("model_run", 10, 50),
        node("a", 11, 10),
        node("b", 22, 20, "Relu", 1),
        event("model_run", 100, 60),
        node("a", 101, 14),
    ]
    found = nodes_in_profile(events)
    assert [(run.name, run.op, run.times_ms) for run in found] == [
        ("a", "Conv", (0.010, 0.014)),
        ("b", "Relu", (0.020, 0.0)),
    ]


def test_a_body_is_subtracted_from_its_container_and_its_runs_are_added() -> None:
    events = [
        event("model_run", 0, 100),
        node("loop", 1, 50, "Loop"),
        node("inner", 5, 10, "Add", 3),
        node("inner", 20, 12, "Add", 3),
        node("after", 51, 7),  # truncated to microseconds, it seems to begin before the loop has ended
    ]
    times = {run.name: run.times_ms for run in nodes_in_profile(events)}
    assert times == {"loop": (0.028,), "inner": (0.022,), "after": (0.007,)}


def test_same_names_in_other_places_stay_apart() -> None:
    events = [event("model_run", 0, 9), node("x", 1, 1, "Conv", 1), node("x", 3, 2, "Conv", 2)]
    assert [run.times_ms for run in nodes_in_profile(events)] == [(0.001,), (0.002,)]


def test_containers_in_containers() -> None:
    events = [
        event("model_run", 0, 200),
        node("outer", 1, 100, "Loop"),
        node("choice", 10, 60, "If", 1),
        node("inner", 20, 30, "Add", 2),
        node("beside", 80, 10, "Mul", 3),
    ]
    times = {run.name: run.times_ms for run in nodes_in_profile(events)}
    assert times == {"outer": (0.030,), "choice": (0.030,), "inner": (0.030,), "beside": (0.010,)}


def test_a_node_that_half_precision_renamed_has_the_network_s_name() -> None:
    events = [event("model_run", 0, 9), node("InsertedPrecisionFreeCast_conv", 1, 2)]
    assert [run.name for run in nodes_in_profile(events)] == ["conv"]


def test_a_profile_without_inferences() -> None:
    assert nodes_in_profile([]) == ()
    assert nodes_in_profile([node("a", 1, 1)]) == ()


def test_a_real_if(tmp_path: Path) -> None:
    onnx.save(branches(), tmp_path / "if.onnx")
    BACKEND.build(tmp_path / "if.onnx", (), tmp_path / "if.engine")
    session = BACKEND.open_profiled(tmp_path / "if.engine", threads=1)
    for rate in (16000, 1, 16000):
        session.run({"input": np.ones((1, 4), np.float32), "sr": np.array(rate)})
    nodes = {run.op: run.times_ms for run in session.nodes()}
    session.close()
    assert {"If", "Mul", "Neg"} <= set(nodes)
    assert nodes["Mul"][1] == 0  # that branch did not run in the second inference
    assert nodes["Neg"][0] == nodes["Neg"][2] == 0
    with pytest.raises(RuntimeError, match="closed"):
        session.nodes()


def test_it_leaves_no_file_and_refuses_what_open_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(branches(), tmp_path / "if.onnx")
    with pytest.raises(TargetMismatch, match="built by something else"):
        BACKEND.open_profiled(tmp_path / "if.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["if.onnx"]
