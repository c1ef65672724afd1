"""The chain from an engine to its weights, as far as the manifests reach."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edgekd.core.artifact import Artifact, publish, sha256_of
from edgekd.core.provenance import Provenance
from edgekd.report.formats.html import render_file
from edgekd.report.lineage import chains, manifests_beside
from tests.unit.report.example_result import bare

WEIGHTS = "12" * 32


def write(path: Path, stage: str, parent: str, text: str) -> str:
    """Publish a file and return its digest."""
    kind = path.suffix.removeprefix(".")
    return publish(Artifact(kind, path, made_by=Provenance(stage, (parent,))), text).sha256


@pytest.fixture
def run(tmp_path):
    """A run's folder as the pipeline leaves it; simplify changed nothing."""
    exported = write(tmp_path / "model/exported.onnx", "export", WEIGHTS, "graph")
    write(tmp_path / "model/simplified.onnx", "simplify", exported, "graph")
    int8 = write(tmp_path / "model/int8.onnx", "quantize", exported, "smaller graph")
    engine = write(tmp_path / "model/null/int8.engine", "build", int8, "engine")
    return tmp_path, engine, int8, exported


def result(engine, onnx):
    (only,) = bare().candidates
    return replace(bare(), candidates=(replace(only, engine_sha256=engine, onnx_sha256=onnx),))


def fields(chain):
    return [(link.kind, link.name, link.stage, link.sha256) for link in chain]


def test_a_chain_is_followed_to_the_weights(run):
    folder, engine, int8, exported = run
    (chain,) = chains(result(engine, int8), manifests_beside(folder / "result.json")).values()
    assert fields(chain) == [
        ("engine", "int8.engine", "build", engine),
        ("ONNX", "int8.onnx", "quantize", int8),
        ("ONNX", "exported.onnx", "export", exported),  # not the copy that simplify left of it
        ("checkpoint", "", "", WEIGHTS),
    ]


def test_without_manifests_it_ends_where_the_result_does(run):
    _, engine, int8, _ = run
    (chain,) = chains(result(engine, int8), {}).values()
    assert fields(chain) == [("engine", "", "", engine), ("ONNX", "", "", int8)]
    (short,) = chains(result(engine, ""), {}).values()
    assert fields(short) == [("engine", "", "", engine)]


def test_a_result_without_digests_has_an_empty_chain():
    assert chains(result("", ""), {}) == {"model/fp32": ()}


def test_a_missing_link_is_not_guessed(run):
    folder, engine, int8, exported = run
    (folder / "model/exported.onnx.json").unlink()
    (folder / "model/simplified.onnx.json").unlink()
    (chain,) = chains(result(engine, int8), manifests_beside(folder / "result.json")).values()
    assert fields(chain)[-1] == ("file", "", "", exported)


def test_an_imported_network_begins_with_its_source(tmp_path):
    imported = write(tmp_path / "model/imported.onnx", "import_onnx", WEIGHTS, "graph")
    engine = write(tmp_path / "model/null/fp32.engine", "build", imported, "engine")
    (chain,) = chains(result(engine, imported), manifests_beside(tmp_path / "result.json")).values()
    assert [link.kind for link in chain] == ["engine", "ONNX", "source ONNX"]


def test_files_that_name_each_other_end_the_chain(tmp_path):
    """Digests cannot really form a circle; edited manifests can."""
    path = tmp_path / "fp32.onnx"
    onnx = Artifact("onnx", path, "ab" * 32, made_by=Provenance("export", ("cd" * 32,)))
    engine = Artifact("engine", path, "cd" * 32, made_by=Provenance("build", ("ab" * 32,)))
    manifests = {artifact.sha256: artifact for artifact in (onnx, engine)}
    (chain,) = chains(result(engine.sha256, onnx.sha256), manifests).values()
    assert [link.kind for link in chain] == ["engine", "ONNX"]


def test_broken_manifests_and_deeper_folders_are_not_read(run):
    folder, _, int8, _ = run
    shutil.copytree(folder / "model", folder / "a/b/c/model")
    (folder / "model/int8.onnx.json").write_text("{")
    assert int8 not in manifests_beside(folder / "result.json")


def test_the_page_shows_the_chain_and_where_it_ends(run):
    folder, engine, int8, exported = run
    path = folder / "result.json"
    path.write_text(result(engine, int8).to_json())
    page = render_file(path)
    for digest in (engine, int8, exported, WEIGHTS, sha256_of(path)):
        assert digest in page.partition("<script")[0]
    gap = "manifests are not beside this result"
    assert gap not in page
    shutil.rmtree(folder / "model")
    assert gap in render_file(path)
