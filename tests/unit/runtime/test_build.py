"""build: the engine, its manifest and its provenance; a failed build leaves the old engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import edgekd
from edgekd.core.artifact import Artifact, current, publish, read_artifact
from edgekd.core.errors import BuildError, UnknownName
from edgekd.core.family import load
from edgekd.core.network_info import NetworkInfo
from edgekd.runtime import build
from tests.unit.backends import tiny

NETWORK = NetworkInfo("student", "edsr_from_edsr", "super_resolution", {"scale": 2}, precision="int8", cost={"macs": 8})


@pytest.fixture
def onnx(tmp_path: Path) -> Artifact:
    content = tiny.write_conv(tmp_path / "conv.onnx").read_bytes()
    artifact = Artifact("onnx", tmp_path / "net.onnx", inputs=(tiny.INPUT,), outputs=(tiny.OUTPUT,), network=NETWORK)
    return publish(artifact, content)


@pytest.mark.parametrize("backend", ["null", "onnxruntime"])
def test_engine_and_manifest(onnx: Artifact, tmp_path: Path, backend: str) -> None:
    out = tmp_path / "engines" / "net.engine"
    engine = build.run(onnx, backend, out, threads=1)
    assert read_artifact(out) == engine
    assert (engine.kind, engine.inputs, engine.outputs) == ("engine", onnx.inputs, onnx.outputs)
    assert engine.made_by.parents_sha256 == (onnx.sha256,)
    assert engine.made_by.versions["edgekd"] == edgekd.__version__
    assert engine.facts["backend"] == backend
    assert engine.facts["caveat"] == build.caveat(backend)
    assert engine.facts["summary"]
    assert sorted(path.name for path in out.parent.iterdir()) == ["net.engine", "net.engine.json"]


def test_the_librarys_own_facts_are_kept(onnx: Artifact, tmp_path: Path) -> None:
    engine = build.run(onnx, "onnxruntime", tmp_path / "net.engine", threads=1)
    report = load("backends", "onnxruntime").BACKEND.build(onnx.path, onnx.inputs, tmp_path / "again", threads=1)
    assert engine.facts.items() >= dict(report.facts).items()
    assert engine.facts["summary"] == report.summary


def test_the_engine_keeps_the_networks_info_and_learns_the_graphs_size(onnx: Artifact, tmp_path: Path) -> None:
    engine = build.run(onnx, "null", tmp_path / "net.engine")
    assert engine.network == replace(NETWORK, onnx_bytes=onnx.path.stat().st_size)


def test_a_graph_of_unknown_origin_is_called_by_its_file(onnx: Artifact, tmp_path: Path) -> None:
    engine = build.run(replace(onnx, network=None), "null", tmp_path / "net.engine")
    assert engine.network is not None
    assert engine.network.role == "net"
    assert engine.network.task == ""
    assert engine.network.onnx_bytes == onnx.path.stat().st_size


def test_current_engine_is_recognised_without_building(onnx: Artifact, tmp_path: Path) -> None:
    engine = build.run(onnx, "onnxruntime", tmp_path / "net.engine", threads=1)
    assert current(engine.path, build.provenance(onnx.sha256, "onnxruntime", 1)) == engine
    assert current(engine.path, build.provenance(onnx.sha256, "onnxruntime", 2)) is None
    assert current(engine.path, build.provenance(onnx.sha256, "null", 1)) is None
    assert current(engine.path, build.provenance("0" * 64, "onnxruntime", 1)) is None


def test_provenance_names_the_library(onnx: Artifact) -> None:
    assert set(build.provenance(onnx.sha256, "onnxruntime").versions) == {"edgekd", "onnxruntime"}


def test_failed_build_leaves_the_old_engine(onnx: Artifact, tmp_path: Path) -> None:
    out = tmp_path / "net.engine"
    before = build.run(onnx, "onnxruntime", out)
    bad = replace(onnx, path=tiny.write_conv(tmp_path / "bad.onnx", op="NoSuchThing"))
    with pytest.raises(BuildError):
        build.run(bad, "onnxruntime", out)
    assert read_artifact(out) == before
    assert not list(tmp_path.glob(".*"))


def test_unknown_backend_lists_the_known(onnx: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'onnxruntime'"):
        build.run(onnx, "onnxruntim", tmp_path / "net.engine")
    with pytest.raises(UnknownName, match="onnxruntim"):
        build.caveat("onnxruntim")
