"""Damaged manifests, results, recipes and samples give one of our errors or a sound object, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.core.artifact import Artifact, publish, read_artifact
from edgekd.core.config import Recipe
from edgekd.core.errors import InputError, IntegrityError, RecipeError
from edgekd.core.network_info import NetworkInfo
from edgekd.core.previews import Previews
from edgekd.core.provenance import Provenance, digest_of
from edgekd.core.recipe import load_recipe, pairs_root
from edgekd.core.samples import Sample, SampleArchive, write_archive
from edgekd.core.tensor import DimRange, TensorSpec
from edgekd.results.result import RESULT_SCHEMA, BenchmarkResult, read_result
from tests.unit.core import mutate
from tests.unit.results.handmade_result import a_result

COUNT = 300


def sound(hint: Any, value: Any) -> bool:
    """Whether ``value`` is what its annotation says, all the way down."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(sound(arg, value) for arg in args)
    if origin is typing.Literal:
        return value in args
    if origin is tuple:
        return isinstance(value, tuple) and all(sound(args[0], item) for item in value)
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(sound(args[0], k) and sound(args[1], v) for k, v in value.items())
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return isinstance(value, hint) and all(
            sound(hints[f.name], getattr(value, f.name)) for f in dataclasses.fields(hint)
        )  # type: ignore[arg-type]
    if hint is float:
        return isinstance(value, (int, float))
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    specs = (TensorSpec("x", ("n", 3, 8, 8), "float32", {"n": DimRange(1, 2, 4)}),)
    made_by = Provenance("export", ("a" * 64,), "b" * 64, {"onnx": "1.23"})
    network = NetworkInfo(task="classification", task_options={"classes": ["a"]}, cost={"macs": 1.0})
    facts = {"parity": {"max_abs": 1e-6}}
    return publish(Artifact("onnx", tmp_path / "m.onnx", "", specs, specs, made_by, facts, network), b"graph")


def _refuses_manifest(artifact: Artifact) -> bool:
    try:
        read = read_artifact(artifact.path)
    except IntegrityError:
        return True
    assert sound(Artifact, read)
    return False


def test_manifests_with_damaged_text(artifact: Artifact) -> None:
    refused: list[bool] = []
    original = artifact.manifest_path.read_bytes()
    for text in mutate.texts(original, COUNT, seed=1):
        artifact.manifest_path.write_bytes(text)
        refused.append(_refuses_manifest(artifact))
    assert any(refused)


def test_manifests_with_odd_values(artifact: Artifact) -> None:
    refused: list[bool] = []
    original = json.loads(artifact.manifest_path.read_bytes())
    del original["manifest_sha256"]
    for text in mutate.values(original, COUNT, seed=2):
        data = json.loads(text)
        if isinstance(data, dict):  # with a new digest: otherwise it would be refused for its digest alone
            data["manifest_sha256"] = digest_of(data)
        artifact.manifest_path.write_text(json.dumps(data))
        refused.append(_refuses_manifest(artifact))
    assert any(refused)


def _refuses_result(path: Path) -> bool:
    try:
        result = read_result(path)
    except IntegrityError:
        return True
    assert sound(BenchmarkResult, result)
    for candidate in result.candidates:
        assert candidate.percentile_ms(50) > 0
        assert candidate.throughput_per_s > 0
        assert len(candidate.block_medians_ms) > 0
    assert json.loads(result.to_json())["schema"] == RESULT_SCHEMA
    return False


def test_results_with_damaged_text(tmp_path: Path) -> None:
    refused: list[bool] = []
    path = tmp_path / "result.json"
    for text in mutate.texts(a_result().to_json().encode(), COUNT, seed=3):
        path.write_bytes(text)
        refused.append(_refuses_result(path))
    assert any(refused)


def test_results_with_odd_values(tmp_path: Path) -> None:
    refused: list[bool] = []
    path = tmp_path / "result.json"
    for text in mutate.values(json.loads(a_result().to_json()), COUNT, seed=4):
        path.write_text(text)
        refused.append(_refuses_result(path))
    assert any(refused)


def test_recipes_with_damaged_text(tmp_path: Path) -> None:
    original = (pairs_root() / "edsr_from_edsr" / "recipe.toml").read_bytes()
    path = tmp_path / "recipe.toml"
    good = 0
    for text in mutate.texts(original, COUNT, seed=5):
        path.write_bytes(text)
        try:
            recipe = load_recipe(path)
        except RecipeError:
            continue
        assert sound(Recipe, recipe)
        good += 1
    assert 0 < good < COUNT


def test_samples_with_damaged_bytes(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    samples = [Sample(name, {"x": np.arange(12.0) + i}, np.ones(2)) for i, name in enumerate("abcd")]
    write_archive(path, samples, "made here")
    refused = 0
    for data in mutate.texts(path.read_bytes(), COUNT, seed=6):
        path.write_bytes(data)
        try:
            read = list(SampleArchive(path))
            assert len(read) > 0
            assert all(set(sample.feeds) == set(read[0].feeds) for sample in read)
        except InputError:
            refused += 1
    assert 0 < refused <= COUNT


def test_previews_with_damaged_bytes(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    pictures = {"input": np.zeros((2, 4, 4, 3), np.uint8)}
    Previews(pictures, ("a", "b"), "here", texts={"input": ("x", "y")}, legend=(("sky", (0, 0, 255)),)).save(path)
    refused = 0
    for data in mutate.texts(path.read_bytes(), COUNT, seed=8):
        path.write_bytes(data)
        try:
            read = Previews.load(path)
            assert all(len(array) == len(read) for array in read.pictures.values())
        except InputError:
            refused += 1
    assert 0 < refused <= COUNT
