"""Simplifying: smaller and equal, or the input is kept and the manifest says why."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekd.convert import simplify
from edgekd.core import provenance
from edgekd.core.artifact import Artifact, publish, read_artifact
from edgekd.core.config import SimplifyConfig
from edgekd.core.errors import InputError, MissingDependency
from edgekd.core.network_info import NetworkInfo
from edgekd.core.samples import Samples
from edgekd.core.tensor import DimRange, TensorSpec
from edgekd.graph.cost import cost_of
from edgekd.graph.model import to_bytes
from tests.unit.graph.networks import artifact_of, convolutions, parse, real_samples

NETWORK = NetworkInfo("student", "a_from_b", "classification", {"classes": 5}, precision="as given")


@pytest.fixture(scope="module")
def samples() -> Samples:
    return real_samples(convolutions())


@pytest.fixture
def given(tmp_path: Path) -> Artifact:
    """A network with two nodes too many."""
    model = convolutions()
    model.graph.node[0].input[0] = "same"
    model.graph.node.insert(0, onnx.helper.make_node("Identity", ["picture"], ["alike"], name="i"))
    model.graph.node.insert(1, onnx.helper.make_node("Identity", ["alike"], ["same"], name="j"))
    artifact = dataclasses.replace(artifact_of(model, tmp_path / "in.onnx"), network=NETWORK)
    return publish(artifact, artifact.path.read_bytes())


def test_it_gets_smaller_and_keeps_signature_and_metadata(given: Artifact, samples: Samples, tmp_path: Path) -> None:
    before = given.path.read_bytes()
    made = simplify.run(given, SimplifyConfig(), samples, tmp_path / "out.onnx")
    assert made.facts["outcome"] == "simplified"
    assert made.facts["before"]["nodes"] == 8
    assert made.facts["after"]["nodes"] == 6
    assert made.facts["compared_on"] == samples.source
    assert set(made.facts["parity"]) == {"scores"}
    assert (made.inputs, made.outputs) == (given.inputs, given.outputs)
    old, new = onnx.load(given.path), onnx.load(made.path)
    assert new.metadata_props == old.metadata_props
    assert (new.graph.name, new.producer_name) == (old.graph.name, old.producer_name)
    assert made.made_by == provenance.simplify(given.sha256, SimplifyConfig())
    assert read_artifact(made.path) == made
    assert given.path.read_bytes() == before


def test_the_network_is_passed_on_with_its_new_cost(given: Artifact, samples: Samples, tmp_path: Path) -> None:
    made = simplify.run(given, SimplifyConfig(), samples, tmp_path / "out.onnx")
    cost = dataclasses.asdict(cost_of(onnx.load(made.path)))
    assert made.network == dataclasses.replace(NETWORK, cost=cost)
    assert cost["nodes"] == 6


def test_a_file_that_nothing_is_known_of_gets_a_cost(samples: Samples, tmp_path: Path) -> None:
    given = artifact_of(convolutions(), tmp_path / "in.onnx")
    assert given.network is None
    made = simplify.run(given, SimplifyConfig(enabled=False), samples, tmp_path / "out.onnx")
    assert made.network is not None
    assert made.network.cost["macs"] > 0


def test_disabled_passes_the_input_on(given: Artifact, samples: Samples, tmp_path: Path) -> None:
    made = simplify.run(given, SimplifyConfig(enabled=False), samples, tmp_path / "out.onnx")
    assert made.path.read_bytes() == given.path.read_bytes()
    assert made.facts["outcome"] == "unchanged"
    assert "simplify.enabled" in made.facts["reason"]
    assert made.facts["reason"] in made.facts["summary"]


def test_ranges_of_dynamic_dimensions_are_kept(tmp_path: Path) -> None:
    model = parse("g (float[n,2] x) => (float[n,2] y) { a = Identity (x) y = Neg (a) }")
    ranges = {"n": DimRange(1, 2, 4)}
    inputs, outputs = ((TensorSpec(name, ("n", 2), "float32", ranges),) for name in "xy")
    given = publish(Artifact("onnx", tmp_path / "in.onnx", inputs=inputs, outputs=outputs), to_bytes(model))
    samples = Samples.of({"x": np.ones((1, 2, 2), np.float32)}, "ones")
    made = simplify.run(given, SimplifyConfig(), samples, tmp_path / "out.onnx")
    assert made.facts["outcome"] == "simplified"
    assert (made.inputs, made.outputs) == (inputs, outputs)


# Functions that stand in for onnxsim, by what they do wrong: (body, what the reason must hold).
BROKEN = {
    "segfaults": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    "raises": ("raise RuntimeError('no such thing')", "RuntimeError: no such thing"),
    "exits": ("import os; os._exit(7)", "exit code 7"),
    "hangs": ("import time; time.sleep(600)", "within 1 s"),
    "writes_nothing": ("pass", "valid"),
    "writes_rubbish": ("open(plan['target'], 'wb').write(b'rubbish')", "valid"),
    "changes_shape": (
        "import onnx; m = onnx.load(plan['source']); "
        "m.graph.output[0].type.tensor_type.shape.dim[0].dim_param = 'n'; onnx.save(m, plan['target'])",
        "outputs from scores 1x5 float32 to scores nx5 float32",
    ),
    "changes_numbers": (
        "import onnx; m = onnx.load(plan['source']); t = m.graph.initializer[0]; "
        "t.raw_data = bytes(len(t.raw_data)); onnx.save(m, plan['target'])",
        "'scores'",
    ),
    "does_not_run": (
        "import onnx; m = onnx.load(plan['source']); n = m.graph.node[0]; "
        "n.op_type, n.domain = 'NoSuchOperator', 'nowhere'; "
        "m.opset_import.append(onnx.helper.make_opsetid('nowhere', 1)); onnx.save(m, plan['target'])",
        "does not run",
    ),
    "grows": (
        "import onnx; m = onnx.load(plan['source']); "
        "m.graph.initializer.append(onnx.helper.make_tensor('big', 1, [2**20], bytes(2**22), raw=True)); "
        "onnx.save(m, plan['target'])",
        "bytes",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_input_is_kept(
    name: str, given: Artifact, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, reason = BROKEN[name]
    (tmp_path / f"broken_{name}.py").write_text(f"def simplify(plan):\n    {body}\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    if name == "hangs":
        monkeypatch.setattr(simplify, "_TIMEOUT_S", 1)
    function = f"broken_{name}:simplify"
    made = simplify.run(given, SimplifyConfig(), samples, tmp_path / "out.onnx", function=function)
    assert made.facts["outcome"] == "unchanged"
    assert reason in made.facts["reason"]
    assert str(tmp_path) not in made.facts["reason"]
    assert made.path.read_bytes() == given.path.read_bytes()
    assert made.facts["after"] == made.facts["before"]


def test_a_change_within_the_tolerance_is_accepted(
    given: Artifact, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = (
        "import onnx; from onnx import numpy_helper as h; m = onnx.load(plan['source']); t = m.graph.initializer[0]; "
        "t.CopyFrom(h.from_array(h.to_array(t) * 1.01, t.name)); onnx.save(m, plan['target'])"
    )
    (tmp_path / "rounder.py").write_text(f"def simplify(plan):\n    {body}\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    loose = SimplifyConfig(tolerance=0.1)
    made = simplify.run(given, loose, samples, tmp_path / "out.onnx", function="rounder:simplify")
    assert made.facts["outcome"] == "simplified"
    assert made.facts["parity"]["scores"]["relative"] > 1e-4


def test_an_input_that_does_not_run_is_the_users_error(given: Artifact, tmp_path: Path) -> None:
    wrong = Samples.of({"elsewhere": np.zeros((1, 1, 3, 16, 16), np.float32)}, "wrong")
    with pytest.raises(InputError, match="elsewhere"):
        simplify.run(given, SimplifyConfig(), wrong, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_a_missing_onnxsim_is_named(
    given: Artifact, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxsim" else find_spec(name))
    with pytest.raises(MissingDependency, match="onnxsim"):
        simplify.run(given, SimplifyConfig(), samples, tmp_path / "out.onnx")
    assert simplify.run(given, SimplifyConfig(enabled=False), samples, tmp_path / "out.onnx").path.exists()
