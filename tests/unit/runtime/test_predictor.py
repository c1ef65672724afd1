"""Pictures through an engine: a tiled picture is the one that the network gives of the whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgekd import cli
from edgekd.backends.onnxruntime import BACKEND
from edgekd.core.artifact import Artifact, save_manifest, sha256_of
from edgekd.core.errors import InputError
from edgekd.core.preprocessing import task_view
from edgekd.core.tensor import DimRange, TensorSpec
from edgekd.runtime import build, predictor
from edgekd.tasks import classification, dehazing, segmentation, super_resolution

OPTIONS = {"scale": 2}


def _engine(folder: Path, height: int | str, width: int | str) -> Path:
    """Build an engine of one convolution and a pixel shuffle, (1, 3, height, width) → twice that."""
    weight = 0.1 * np.random.default_rng(0).normal(size=(12, 3, 5, 5)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[2, 2, 2, 2]),
        helper.make_node("DepthToSpace", ["c"], ["y"], blocksize=2, mode="CRD"),
    ]
    edge = [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, height, width))]
    out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3, None, None))]
    graph = helper.make_graph(nodes, "g", edge, out, [numpy_helper.from_array(weight, "w")])
    path = folder / f"{height}.onnx"
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)]), path)
    spec = TensorSpec("x", (1, 3, height, width), "float32")
    network = {"role": "student", "task": "super_resolution", "task_options": '{"scale": 2}'}
    artifact = Artifact("onnx", path, sha256_of(path), (spec,), facts={"network": network})
    save_manifest(artifact)
    return build.run(artifact, "onnxruntime", folder / f"{height}.engine").path


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("size", [(40, 48), (41, 49), (97, 130), (100, 48)])
def test_tiles_make_the_whole_picture(tmp_path: Path, size: tuple[int, int]) -> None:
    tiled, whole = BACKEND.open(_engine(tmp_path, 40, 48)), BACKEND.open(_engine(tmp_path, "h", "w"))
    image = _noise(*size)
    expected = predictor.picture_from(whole, image, super_resolution, OPTIONS)
    assert expected.shape == (2 * size[0], 2 * size[1], 3)
    np.testing.assert_allclose(predictor.picture_from(tiled, image, super_resolution, OPTIONS), expected, atol=1)


def test_picture_smaller_than_a_tile_keeps_its_size(tmp_path: Path) -> None:
    tiled, whole = BACKEND.open(_engine(tmp_path, 40, 48)), BACKEND.open(_engine(tmp_path, "h", "w"))
    image = _noise(20, 60)
    made = predictor.picture_from(tiled, image, super_resolution, OPTIONS)
    expected = predictor.picture_from(whole, image, super_resolution, OPTIONS)
    assert made.shape == expected.shape
    np.testing.assert_allclose(made[:-4], expected[:-4], atol=1)  # the last rows saw the padding


def test_engine_that_takes_no_picture_is_refused(tmp_path: Path) -> None:
    session = BACKEND.open(_engine(tmp_path, 40, 48))
    session.inputs = (TensorSpec("x", (1, 10), "float32"),)
    for task in (super_resolution, segmentation):
        with pytest.raises(InputError, match=r"x 1x10 float32; one picture"):
            predictor.answer_from(session, _noise(8, 8), task, OPTIONS)


class Session:
    """An engine of a fixed size: three scores a pixel, (1, 3, H, W), or what else ``answer`` makes of its feed."""

    outputs = (TensorSpec("y", (1, 3, 16, 32), "float32"),)

    def __init__(self, *shape: int | str, answer: Callable[[np.ndarray], np.ndarray], dtype: str = "float32") -> None:
        self.inputs, self.answer = (TensorSpec("x", shape or (1, 3, 16, 32), dtype),), answer

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert self.inputs[0].admits(feeds["x"].shape)
        return {"y": self.answer(feeds["x"])}

    def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("size", [(16, 32), (37, 51), (9, 100)])
def test_labels_are_brought_back_to_the_pictures_own_size(size: tuple[int, int]) -> None:
    options = {"classes": 3, "mean": [0, 0, 0], "std": [1, 1, 1]}
    image = np.zeros((*size, 3), np.uint8)
    image[: size[0] // 2, :, 0] = image[size[0] // 2 :, :, 2] = 255  # red above, blue below
    found = predictor.answer_from(Session(answer=lambda x: x), image, segmentation, options)
    assert found.labels is not None
    assert found.labels.shape == size
    assert (found.labels[0] == 0).all()
    assert (found.labels[-1] == 2).all()
    assert found.picture is not None
    np.testing.assert_array_equal(found.picture, segmentation.picture(found.labels, options))


def test_a_class_is_said_in_words_with_all_its_rivals() -> None:
    session = Session(1, 3, 8, 8, answer=lambda x: np.array([[0.0, 2.0, 1.0]], np.float32))
    found = predictor.answer_from(session, _noise(30, 20), classification, {"classes": ["a", "b", "c"]})
    assert found.text == "b 67 %"
    assert found.picture is None
    assert list(found.scores or {}) == ["b", "c", "a"]


@pytest.mark.parametrize("shape", [(1, 4, 32, 32), (1, 4, "h", "w")])
def test_a_dehazed_picture_has_the_size_of_the_hazy_one(shape: tuple[int | str, ...]) -> None:
    options = {"size": 64, "window": 3, "box": 5}
    session = Session(*shape, answer=lambda x: x[:, :3])
    if "h" in shape:
        session.inputs = (TensorSpec("x", shape, "float32", {d: DimRange(16, 32, 128) for d in "hw"}),)
    smooth = np.linspace(0, 255, 45 * 61 * 3).reshape(45, 61, 3).astype(np.uint8)
    found = predictor.answer_from(session, smooth, dehazing, options)
    assert found.picture is not None
    assert found.picture.shape == (45, 61, 3)
    assert np.abs(found.picture.astype(int)[2:-2, 2:-2] - smooth[2:-2, 2:-2]).mean() < 12


def test_an_engine_that_takes_the_picture_itself_is_tiled_too() -> None:
    def doubled(picture: np.ndarray) -> np.ndarray:
        return picture.repeat(2, axis=1).repeat(2, axis=2)

    session, image = Session(1, 16, 24, 3, answer=doubled, dtype="uint8"), _noise(40, 50)
    found = predictor.answer_from(session, image, task_view(super_resolution, True), OPTIONS)
    np.testing.assert_array_equal(found.picture, doubled(image[None])[0])


def test_a_task_of_another_network_is_refused() -> None:
    with pytest.raises(InputError, match="takes x 1x4x16x32 float32, the task's preprocessing gives 1x3x16x32"):
        predictor.answer_from(Session(1, 4, 16, 32, answer=lambda x: x), _noise(8, 8), segmentation, {"classes": 3})


def test_command_takes_a_folder_and_writes_png(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = _engine(tmp_path, 40, 48)
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.png"):
        Image.fromarray(_noise(64, 50)).save(tmp_path / "in" / name)
    assert cli._run(["infer", str(engine), str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    written = capsys.readouterr().out.split()
    assert [Path(path).name for path in written] == ["a.png", "b.png"]
    with Image.open(written[1]) as picture:
        assert picture.size == (100, 128)


def test_engine_of_unknown_purpose_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = _engine(tmp_path, 40, 48)
    bare = build.run(Artifact("onnx", tmp_path / "40.onnx", "0"), "onnxruntime", tmp_path / "bare.engine").path
    Image.fromarray(_noise(64, 50)).save(tmp_path / "a.png")
    assert cli._run(["infer", str(bare), str(tmp_path / "a.png")]) == 2
    assert "does not say what it is for" in capsys.readouterr().err
    assert engine.exists()
