"""build: the engine, its manifest and its provenance; a failed build leaves what was there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import edgekd
from edgekd.core.artifact import Artifact, current, read_artifact, save_manifest, sha256_of
from edgekd.core.errors import BuildError, UnknownName
from edgekd.runtime import build
from tests.unit.backends import tiny


@pytest.fixture
def onnx(tmp_path: Path) -> Artifact:
    path = tiny.write_conv(tmp_path / "net.onnx")
    artifact = Artifact("onnx", path, sha256_of(path), (tiny.INPUT,), (tiny.OUTPUT,))
    save_manifest(artifact)
    return artifact


@pytest.mark.parametrize("backend", ["null", "onnxruntime"])
def test_engine_and_manifest(onnx: Artifact, tmp_path: Path, backend: str) -> None:
    out = tmp_path / "engines" / "net.engine"
    engine = build.run(onnx, backend, out, threads=1)
    assert read_artifact(out) == engine
    assert (engine.kind, engine.inputs, engine.outputs) == ("engine", onnx.inputs, onnx.outputs)
    assert engine.made_by.parents_sha256 == (onnx.sha256,)
    assert engine.made_by.versions["edgekd"] == edgekd.__version__
    assert engine.facts["backend"] == backend
    assert engine.facts["summary"]
    assert sorted(path.name for path in out.parent.iterdir()) == ["net.engine", "net.engine.json"]


def test_current_engine_is_known_without_building(onnx: Artifact, tmp_path: Path) -> None:
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
