"""The public library: every verb on a tiny network, on paths and on objects, as a notebook calls them."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import edgekd
from edgekd.core.artifact import Artifact
from edgekd.core.config import Recipe
from edgekd.core.errors import InputError, IntegrityError, UnknownName
from edgekd.core.samples import SampleArchive
from edgekd.pipeline import inputs, library
from edgekd.results.gate import Limits, Verdict, publish_verdict
from edgekd.results.result import BenchmarkResult
from tests.pipeline.tiny import tiny_onnx, tiny_pair

QUICK = [
    "bench.processes=2",
    "bench.min_rounds=2",
    "bench.block_ms=0.5",
    "bench.warmup_ms=0.5",
    "bench.ci_half_width=9",
    "bench.threads=1",
]
FAST = "import sys; import edgekd; print(sorted({'numpy', 'torch', 'onnx', 'typer'} & set(sys.modules)))"


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    return tiny_onnx(tmp_path / "net.onnx")


def test_import_is_light() -> None:
    done = subprocess.run([sys.executable, "-c", FAST], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_a_verb_with_a_docstring() -> None:
    for name in edgekd.__all__:
        verb = getattr(edgekd, name)
        if name != "__version__":
            assert callable(verb)
            assert getattr(library, name).__doc__
    assert dir(edgekd) == sorted(edgekd.__all__)
    with pytest.raises(AttributeError, match="'brew'"):
        edgekd.brew  # noqa: B018 - the access itself is the test


def test_a_package_with_a_verbs_name_can_be_called(onnx: Path, tmp_path: Path) -> None:
    """Once ``edgekd.quantize`` is imported as a package, the attribute is the package, and must still be the verb."""
    package = importlib.import_module("edgekd.quantize")
    made = package(onnx, "fp32", tmp_path / "made.onnx")
    assert made.network.precision == "fp32"
    assert callable(importlib.import_module("edgekd.bench"))


def test_verbs_chain_on_objects(onnx: Path, tmp_path: Path) -> None:
    simplified = edgekd.simplify(onnx, tmp_path / "small.onnx")
    fp16 = edgekd.quantize(simplified, "fp16", tmp_path / "fp16.onnx")
    engines = [edgekd.build(network, out=tmp_path / f"{network.path.stem}.engine") for network in (simplified, fp16)]
    result = edgekd.bench(engines, tmp_path / "result.json", overrides=QUICK)
    assert [row.precision for row in result.candidates] == ["as given", "fp16"]
    row = edgekd.compare(result).rows[0]
    assert (row.candidate, row.against) == (result.candidates[1].name, result.candidates[0].name)
    assert edgekd.compare(tmp_path / "result.json", row.candidate).rows[0].against == row.candidate


def test_a_pair_runs_and_is_exported(tmp_path: Path) -> None:
    pair = tiny_pair(tmp_path / "pair")
    exported = edgekd.export(pair, "teacher", tmp_path / "alone")
    assert (exported.network.role, exported.network.task) == ("teacher", "super_resolution")
    with pytest.raises(InputError, match="no 'pupil'"):
        edgekd.export(pair, "pupil", tmp_path / "alone")


def test_the_gate_judges_engines_and_results(onnx: Path, tmp_path: Path) -> None:
    loose = Limits(latency=1e6, engine_size=0.0)
    verdict = edgekd.gate(onnx, against=onnx, limits=loose, overrides=QUICK, out=tmp_path / "raw.json")
    assert (verdict.status, verdict.mode) == ("pass", "paired")
    recorded = edgekd.gate(tmp_path / "raw.json", baseline=tmp_path / "raw.json", limits=Limits(engine_size=0.0))
    assert (recorded.status, recorded.mode) == ("pass", "recorded")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either against"),
        ({"against": "a.onnx", "baseline": "b.json"}, "either against"),
        ({"against": "a.onnx", "limits": Limits(accuracy=0.1)}, "no samples"),
    ],
)
def test_the_gate_refuses_what_it_cannot_judge(onnx: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        edgekd.gate(onnx, **options)


def test_load_reads_every_kind_of_file(onnx: Path, tmp_path: Path) -> None:
    engine = edgekd.build(onnx, out=tmp_path / "net.engine")
    assert edgekd.load(engine.path) == engine
    result = edgekd.bench([engine], tmp_path / "result.json", overrides=QUICK)
    loaded = edgekd.load(tmp_path / "result.json")
    assert isinstance(loaded, BenchmarkResult)
    assert loaded == result
    verdict = edgekd.gate(result, baseline=result, limits=Limits(engine_size=0.0))
    publish_verdict(verdict, tmp_path / "verdict.json", ("ab" * 32,))
    again = edgekd.load(str(tmp_path / "verdict.json"))
    assert isinstance(again, Verdict)
    assert again == verdict
    pair = tiny_pair(tmp_path / "pair")
    assert isinstance(edgekd.load(pair / "recipe.toml"), Recipe)


def test_load_refuses_what_is_not_edgekds(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        edgekd.load(tmp_path / "gone.engine")
    (tmp_path / "letter.json").write_text(json.dumps({"dear": "reader"}))
    with pytest.raises(IntegrityError):
        edgekd.load(tmp_path / "letter.json")
    with pytest.raises(UnknownName, match="quantization scheme"):
        edgekd.quantize(tmp_path / "gone.onnx", "int7")


def test_samples_for_a_single_stage_are_temporary(onnx: Path, tmp_path: Path) -> None:
    artifact = inputs.onnx_artifact(onnx, {}, tmp_path)
    assert isinstance(artifact, Artifact)
    samples = inputs.samples_for(artifact, None, None, Recipe())
    assert isinstance(samples, SampleArchive)
    assert samples.origin == "shipped"
    assert tmp_path not in samples.path.parents
