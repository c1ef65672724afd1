"""Simplifying: smaller and equal, or the input stands and the manifest says why."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import pytest

from edgekd.convert import simplify
from edgekd.core.artifact import Artifact, read_artifact
from edgekd.core.config import SimplifyConfig
from tests.unit.graph.networks import artifact_of, convolutions, real_samples


@pytest.fixture
def given(tmp_path: Path) -> Artifact:
    """A network with two nodes too many."""
    model = convolutions()
    model.graph.node[0].input[0] = "same"
    model.graph.node.insert(0, onnx.helper.make_node("Identity", ["picture"], ["alike"], name="i"))
    model.graph.node.insert(1, onnx.helper.make_node("Identity", ["alike"], ["same"], name="j"))
    return artifact_of(model, tmp_path / "in.onnx")


def test_it_gets_smaller_and_keeps_edge_and_metadata(given: Artifact, tmp_path: Path) -> None:
    before = given.path.read_bytes()
    made = simplify.run(given, SimplifyConfig(), real_samples(convolutions()), tmp_path / "out.onnx")
    assert made.facts["outcome"] == "simplified"
    assert made.facts["before"]["nodes"] == 8
    assert made.facts["after"]["nodes"] == 6
    assert (made.inputs, made.outputs) == (given.inputs, given.outputs)
    assert [(p.key, p.value) for p in onnx.load(made.path).metadata_props] == [("edgekd.pair", "a_from_b")]
    assert read_artifact(made.path) == made
    assert given.path.read_bytes() == before


def test_disabled_passes_the_input_on(given: Artifact, tmp_path: Path) -> None:
    made = simplify.run(given, SimplifyConfig(enabled=False), real_samples(convolutions()), tmp_path / "out.onnx")
    assert made.path.read_bytes() == given.path.read_bytes()
    assert (made.facts["outcome"], made.facts["reason"]) == ("input stands", "simplify.enabled = false")


WORKERS = {
    "segfaults": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"onnxsim crashed \(signal 11\)"),
    "raises": ("raise RuntimeError('no such thing')", r"crashed \(exit 1\) RuntimeError: no such thing"),
    "writes_rubbish": ("import sys; open(sys.argv[2], 'wb').write(b'rubbish')", "not valid"),
    "changes_shape": (
        "import sys, onnx; m = onnx.load(sys.argv[1]); "
        "m.graph.output[0].type.tensor_type.shape.dim[0].dim_param = 'n'; onnx.save(m, sys.argv[2])",
        "changed the outputs from scores 1x5 float32 to scores nx5 float32",
    ),
    "moves_numbers": (
        "import sys, onnx; m = onnx.load(sys.argv[1]); t = m.graph.initializer[0]; "
        "t.raw_data = bytes(len(t.raw_data)); onnx.save(m, sys.argv[2])",
        "moved output 'scores' by",
    ),
}


@pytest.mark.parametrize("name", WORKERS)
def test_the_input_stands(name: str, given: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, reason = WORKERS[name]
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = simplify.run(given, SimplifyConfig(), real_samples(convolutions()), tmp_path / "out.onnx", worker=name)
    assert made.facts["outcome"] == "input stands"
    assert re.search(reason, made.facts["reason"])
    assert made.path.read_bytes() == given.path.read_bytes()
