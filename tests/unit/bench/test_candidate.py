"""Candidates: made of engines' manifests, carried to child processes as plain data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgekd.bench.candidate import Candidate, backend_of, candidates_of
from edgekd.core.artifact import Artifact
from edgekd.core.errors import InputError, NotComparable
from edgekd.core.network_info import NetworkInfo
from edgekd.core.provenance import Provenance

FEEDS = {"x": np.arange(4, dtype=np.float32).reshape(1, 4)}


def engine(name: str, sha256: str = "cd" * 32, backend: str = "null", network: NetworkInfo | None = None) -> Artifact:
    facts = {"backend": backend}
    return Artifact(
        "engine", Path(f"{name}.engine"), sha256, made_by=Provenance("build", ("onnx",)), facts=facts, network=network
    )


def test_plain_data_comes_back_whole(tmp_path):
    network = NetworkInfo(
        "student", task="dehazing", task_options={"size": [8, 8]}, precision="int8", cost={"macs": 1.0}
    )
    made = Candidate("student/int8", tmp_path / "a.engine", "ab" * 32, "ef" * 32, network, decides=False)
    fed = made.with_feeds((FEEDS, FEEDS), tmp_path / "feeds.npz", np.zeros((2, 2, 3), np.uint8))
    again = Candidate.from_json(json.loads(json.dumps(fed.to_json())))
    assert again == fed
    assert [list(feeds) for feeds in again.query()] == [["x"], ["x"]]
    np.testing.assert_array_equal(again.query()[1]["x"], FEEDS["x"])
    assert again.image().shape == (2, 2, 3)


def test_without_feeds_or_image_it_says_what_is_missing(tmp_path):
    bare = Candidate("a", tmp_path / "a.engine")
    with pytest.raises(InputError, match="a has no feeds"):
        bare.query()
    with pytest.raises(InputError, match="no image"):
        bare.with_feeds((FEEDS,), tmp_path / "feeds.npz").image()


def test_keys_come_from_the_network_and_are_unique():
    int8 = NetworkInfo("student", precision="int8", onnx_bytes=7)
    found = candidates_of([engine("a", network=int8), engine("b", "ef" * 32, network=int8), engine("c")])
    assert [one.key for one in found] == ["student/int8", "student/int8 efefefef", "c/as given"]
    assert (found[0].onnx_sha256, found[0].network.onnx_bytes) == ("onnx", 7)
    assert [one.key for one in candidates_of([engine("a"), engine("b")], ("new", "accepted"))] == ["new", "accepted"]


def test_what_is_no_engine_is_refused():
    with pytest.raises(InputError, match="kind 'onnx'"):
        candidates_of([Artifact("onnx", Path("a.onnx"), "ab" * 32)])


def test_engines_of_two_backends_are_not_comparable():
    assert backend_of([engine("a"), engine("b")]) == "null"
    with pytest.raises(NotComparable, match="null, onnxruntime"):
        backend_of([engine("a"), engine("b", backend="onnxruntime")])
