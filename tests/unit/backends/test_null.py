"""The null backend takes its outputs from the ONNX file's manifest, and its dynamic sizes from the feeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekd.backends.null import BACKEND
from edgekd.core.artifact import Artifact, publish
from edgekd.core.errors import InputError, IntegrityError
from edgekd.core.tensor import TensorSpec
from tests.unit.backends import tiny

OUTPUTS = (TensorSpec("scores", ("batch", 10), "float16"), TensorSpec("words", (2,), "string"))


def test_outputs_of_the_manifest(tmp_path: Path) -> None:
    onnx = Artifact("onnx", tmp_path / "net.onnx", inputs=(tiny.DYNAMIC_INPUT,), outputs=OUTPUTS)
    BACKEND.build(publish(onnx, b"any").path, (tiny.DYNAMIC_INPUT,), tmp_path / "e.engine")
    outputs = BACKEND.open(tmp_path / "e.engine").run(tiny.feed(batch=3))
    assert outputs["scores"].shape == (3, 10)
    assert outputs["scores"].dtype.name == "float16"
    assert outputs["words"].tolist() == ["", ""]


def test_without_a_manifest_outputs_are_inputs(tmp_path: Path) -> None:
    BACKEND.build(tmp_path / "none.onnx", (tiny.INPUT,), tmp_path / "e.engine")
    assert BACKEND.open(tmp_path / "e.engine").run(tiny.feed())["x"].shape == tiny.INPUT.shape


def test_outputs_are_zeros_of_sizes_unknown_before(tmp_path: Path) -> None:
    outputs = (TensorSpec("y", ("batch", "detections", 4), "float32"),)
    onnx = Artifact("onnx", tmp_path / "net.onnx", inputs=(tiny.DYNAMIC_INPUT,), outputs=outputs)
    BACKEND.build(publish(onnx, b"any").path, (tiny.DYNAMIC_INPUT,), tmp_path / "e.engine")
    y = BACKEND.open(tmp_path / "e.engine").run(tiny.feed(batch=4))["y"]
    np.testing.assert_array_equal(y, np.zeros((4, 1, 4), np.float32))  # a size that no input has is 1


def test_a_manifest_that_does_not_match_its_file_is_refused(tmp_path: Path) -> None:
    made = publish(Artifact("onnx", tmp_path / "net.onnx", inputs=(tiny.INPUT,)), b"any")
    made.path.write_bytes(b"changed")
    with pytest.raises(IntegrityError):
        BACKEND.build(made.path, (tiny.INPUT,), tmp_path / "e.engine")


def test_feeds_are_checked(tmp_path: Path) -> None:
    BACKEND.build(tmp_path / "none.onnx", (tiny.INPUT,), tmp_path / "e.engine")
    with pytest.raises(InputError, match="'x' was not fed"):
        BACKEND.open(tmp_path / "e.engine").run({})


@pytest.mark.parametrize("content", ["[]", '{"format": "another"}', "{}"])
def test_json_of_something_else_is_not_an_engine(tmp_path: Path, content: str) -> None:
    (tmp_path / "e.engine").write_text(content)
    with pytest.raises(IntegrityError, match="not an engine of the null backend"):
        BACKEND.open(tmp_path / "e.engine")
