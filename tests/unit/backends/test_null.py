"""The null backend takes its outputs from the ONNX file's manifest, and its dynamic sizes from what it is fed."""

from __future__ import annotations

from pathlib import Path

from edgekd.backends.null import BACKEND
from edgekd.core.artifact import Artifact, save_manifest, sha256_of
from edgekd.core.tensor import TensorSpec
from tests.unit.backends import tiny

OUTPUTS = (TensorSpec("scores", ("batch", 10), "float16"), TensorSpec("words", (2,), "string"))


def test_outputs_of_the_manifest(tmp_path: Path) -> None:
    onnx = tmp_path / "net.onnx"
    onnx.write_bytes(b"any")
    save_manifest(Artifact("onnx", onnx, sha256_of(onnx), (tiny.DYNAMIC_INPUT,), OUTPUTS))
    BACKEND.build(onnx, (tiny.DYNAMIC_INPUT,), tmp_path / "e.engine")
    outputs = BACKEND.open(tmp_path / "e.engine").run(tiny.feed(batch=3))
    assert outputs["scores"].shape == (3, 10)
    assert outputs["scores"].dtype.name == "float16"
    assert outputs["words"].tolist() == ["", ""]


def test_without_a_manifest_outputs_are_inputs(tmp_path: Path) -> None:
    BACKEND.build(tmp_path / "none.onnx", (tiny.INPUT,), tmp_path / "e.engine")
    assert BACKEND.open(tmp_path / "e.engine").run(tiny.feed())["x"].shape == tiny.INPUT.shape
