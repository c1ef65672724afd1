"""The chain from an engine to its weights, as far as manifests say."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from edgekd.core.artifact import Artifact, Provenance, save_manifest, sha256_of
from edgekd.report.formats.html import render_file
from edgekd.report.lineage import beside, chains
from tests.unit.report.example_result import bare

WEIGHTS = "12" * 32


def write(path, kind, stage, parent, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    artifact = Artifact(kind, path, sha256_of(path), made_by=Provenance(stage, (parent,)))
    save_manifest(artifact)
    return artifact.sha256


@pytest.fixture
def run(tmp_path):
    """A run's folder as the pipeline leaves it; simplify and quantize changed nothing."""
    exported = write(tmp_path / "model/exported.onnx", "onnx", "export", WEIGHTS, "graph")
    write(tmp_path / "model/simplified.onnx", "onnx", "simplify", exported, "graph")
    int8 = write(tmp_path / "model/int8.onnx", "onnx", "quantize", exported, "smaller graph")
    engine = write(tmp_path / "model/null/int8.engine", "engine", "build", int8, "engine")
    return tmp_path, engine, int8, exported


def result(engine, onnx):
    (only,) = bare().candidates
    return replace(bare(), candidates=(replace(only, engine_sha256=engine, onnx_sha256=onnx),))


def said(chain):
    return [(link.what, link.name, link.stage, link.sha256) for link in chain]


def test_a_chain_is_followed_to_the_weights(run):
    folder, engine, int8, exported = run
    (chain,) = chains(result(engine, int8), beside(folder / "result.json")).values()
    assert said(chain) == [
        ("engine", "int8.engine", "build", engine),
        ("ONNX", "int8.onnx", "quantize", int8),
        ("ONNX", "exported.onnx", "export", exported),  # not the copy that simplify left of it
        ("checkpoint", "", "", WEIGHTS),
    ]


def test_without_manifests_it_ends_where_the_result_does(run):
    _, engine, int8, _ = run
    (chain,) = chains(result(engine, int8), {}).values()
    assert said(chain) == [("engine", "", "", engine), ("ONNX", "", "", int8)]
    (short,) = chains(result(engine, ""), {}).values()
    assert said(short) == [("engine", "", "", engine)]


def test_a_missing_link_is_not_guessed(run):
    folder, engine, int8, exported = run
    (folder / "model/exported.onnx.json").unlink()
    (folder / "model/simplified.onnx.json").unlink()
    (chain,) = chains(result(engine, int8), beside(folder / "result.json")).values()
    assert said(chain)[-1] == ("file", "", "", exported)


def test_an_adopted_network_begins_with_somebodys_onnx(tmp_path):
    adopted = write(tmp_path / "model/adopted.onnx", "onnx", "adopt", WEIGHTS, "graph")
    engine = write(tmp_path / "model/null/fp32.engine", "engine", "build", adopted, "engine")
    (chain,) = chains(result(engine, adopted), beside(tmp_path / "result.json")).values()
    assert [link.what for link in chain] == ["engine", "ONNX", "source ONNX"]


def test_what_is_broken_or_lies_deeper_is_not_read(run):
    folder, _, int8, _ = run
    shutil.copytree(folder / "model", folder / "a/b/c/model")
    (folder / "model/int8.onnx.json").write_text("{")
    assert int8 not in beside(folder / "result.json")


def test_the_page_shows_the_chain_and_says_where_it_ends(run):
    folder, engine, int8, exported = run
    given = result(engine, int8)
    path = folder / "result.json"
    path.write_text(given.to_json())
    page = render_file(path)
    for digest in (engine, int8, exported, WEIGHTS, sha256_of(path)):
        assert digest in page.partition("<script")[0]
    assert "do not lie beside" not in page
    shutil.rmtree(folder / "model")
    assert "do not lie beside" in render_file(path)
