"""Single images through an engine: tiles join without seams, and outputs come back to the image's own size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgekd import cli
from edgekd.backends.onnxruntime import BACKEND
from edgekd.core.artifact import Artifact, publish
from edgekd.core.errors import InputError
from edgekd.core.network_info import NetworkInfo
from edgekd.core.preprocessing import task_view
from edgekd.core.tensor import DimRange, TensorSpec
from edgekd.runtime import build
from edgekd.runtime.predictor import Predictor
from edgekd.tasks import classification, dehazing, segmentation, super_resolution

OPTIONS = {"scale": 2}
NETWORK = NetworkInfo(role="student", task="super_resolution", task_options=OPTIONS)


def _engine(folder: Path, height: int | str, width: int | str, network: NetworkInfo | None = NETWORK) -> Path:
    """Build an engine of one convolution and a pixel shuffle, (1, 3, height, width) → twice that."""
    weight = 0.1 * np.random.default_rng(0).normal(size=(12, 3, 5, 5)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[2, 2, 2, 2]),
        helper.make_node("DepthToSpace", ["c"], ["y"], blocksize=2, mode="CRD"),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, height, width))]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3, None, None))]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])
    spec = TensorSpec("x", (1, 3, height, width), "float32")
    artifact = Artifact("onnx", folder / f"{height}.onnx", inputs=(spec,), network=network)
    artifact = publish(artifact, lambda path: onnx.save(model, path))
    return build.run(artifact, "onnxruntime", folder / f"{height}.engine").path


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)


def _enlarged(engine: Path, image: np.ndarray) -> np.ndarray:
    session = BACKEND.open(engine)
    picture = Predictor(session, super_resolution, OPTIONS).predict(image).picture
    session.close()
    assert picture is not None
    return picture


@pytest.mark.parametrize("size", [(40, 48), (41, 49), (97, 130), (100, 48)])
def test_tiles_make_the_whole_image(tmp_path: Path, size: tuple[int, int]) -> None:
    image = _noise(*size)
    expected = _enlarged(_engine(tmp_path, "h", "w"), image)
    assert expected.shape == (2 * size[0], 2 * size[1], 3)
    np.testing.assert_allclose(_enlarged(_engine(tmp_path, 40, 48), image), expected, atol=1)


def test_image_smaller_than_a_tile_keeps_its_size(tmp_path: Path) -> None:
    image = _noise(20, 60)
    tiled, expected = _enlarged(_engine(tmp_path, 40, 48), image), _enlarged(_engine(tmp_path, "h", "w"), image)
    assert tiled.shape == expected.shape
    np.testing.assert_allclose(tiled[:-4], expected[:-4], atol=1)  # the last rows depend on the padding


def test_tiles_overlap_as_the_task_says(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: dict[int, int] = {}
    for overlap in (0, 2, 32):
        session = Session(1, 3, 16, 24, answer=lambda x: x.repeat(2, axis=2).repeat(2, axis=3))
        monkeypatch.setattr(super_resolution, "TILE_OVERLAP", overlap)
        Predictor(session, super_resolution, OPTIONS).predict(_noise(50, 70))
        starts[overlap] = session.runs
    assert starts[0] < starts[2] < starts[32]


class Session:
    """An engine of a fixed size: three scores per pixel, (1, 3, H, W), or whatever ``answer`` computes of its feed."""

    outputs: tuple[TensorSpec, ...] = (TensorSpec("y", (1, 3, 16, 32), "float32"),)

    def __init__(self, *shape: int | str, answer: Callable[[np.ndarray], np.ndarray], dtype: str = "float32") -> None:
        self.inputs: tuple[TensorSpec, ...] = (TensorSpec("x", shape or (1, 3, 16, 32), dtype),)
        self.answer, self.runs = answer, 0

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert self.inputs[0].admits(feeds["x"].shape)
        self.runs += 1
        return {"y": self.answer(feeds["x"])}

    def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("task", [super_resolution, segmentation])
@pytest.mark.parametrize("inputs", [[(1, 10)], [(1, 3, 8, 8), (1, 3, 8, 8)]])
def test_engine_that_does_not_take_one_image_is_refused(task, inputs) -> None:
    session = Session(answer=lambda x: x)
    session.inputs = tuple(TensorSpec("x", shape, "float32") for shape in inputs)
    with pytest.raises(InputError, match=str(session.inputs[0])):
        Predictor(session, task, OPTIONS)


def test_engine_of_two_outputs_is_refused() -> None:
    session = Session(answer=lambda x: x)
    session.outputs = session.outputs * 2
    with pytest.raises(InputError, match="y 1x3x16x32 float32, y 1x3x16x32 float32"):
        Predictor(session, segmentation, {"classes": 3})


def test_tiles_need_an_engine_of_three_channels() -> None:
    with pytest.raises(InputError, match="1x4x16x32"):
        Predictor(Session(1, 4, 16, 32, answer=lambda x: x), super_resolution, OPTIONS)


@pytest.mark.parametrize("size", [(16, 32), (37, 51), (9, 100)])
def test_labels_are_brought_back_to_the_images_own_size(size: tuple[int, int]) -> None:
    options = {"classes": 3, "mean": [0, 0, 0], "std": [1, 1, 1]}
    image = np.zeros((*size, 3), np.uint8)
    image[: size[0] // 2, :, 0] = image[size[0] // 2 :, :, 2] = 255  # red above, blue below
    found = Predictor(Session(answer=lambda x: x), segmentation, options).predict(image)
    assert found.labels is not None
    assert found.labels.shape == size
    assert (found.labels[0] == 0).all()
    assert (found.labels[-1] == 2).all()
    assert found.picture is not None
    np.testing.assert_array_equal(found.picture, segmentation.picture(found.labels, options))


def test_a_class_comes_in_words_with_the_scores_of_all() -> None:
    session = Session(1, 3, 8, 8, answer=lambda x: np.array([[0.0, 2.0, 1.0]], np.float32))
    found = Predictor(session, classification, {"classes": ["a", "b", "c"]}).predict(_noise(30, 20))
    assert found.text == "b 67 %"
    assert found.picture is None
    assert list(found.scores or {}) == ["b", "c", "a"]
    assert sum((found.scores or {}).values()) == pytest.approx(1)


@pytest.mark.parametrize("shape", [(1, 4, 32, 32), (1, 4, "h", "w")])
def test_a_dehazed_image_has_the_size_of_the_hazy_one(shape: tuple[int | str, ...]) -> None:
    options = {"size": 64, "window": 3, "box": 5}
    session = Session(*shape, answer=lambda x: x[:, :3])
    if "h" in shape:
        session.inputs = (TensorSpec("x", shape, "float32", {d: DimRange(16, 32, 128) for d in "hw"}),)
    smooth = np.linspace(0, 255, 45 * 61 * 3).reshape(45, 61, 3).astype(np.uint8)
    found = Predictor(session, dehazing, options).predict(smooth)
    assert found.picture is not None
    assert found.picture.shape == (45, 61, 3)
    assert np.abs(found.picture.astype(int)[2:-2, 2:-2] - smooth[2:-2, 2:-2]).mean() < 12


@pytest.mark.parametrize(("largest", "expected"), [(128, 64), (48, 32)])
def test_a_dynamic_engine_gets_the_tasks_size_where_it_admits_it(largest: int, expected: int) -> None:
    sizes = []

    def answer(feed: np.ndarray) -> np.ndarray:
        sizes.append(feed.shape[2:])
        return feed[:, :3]

    session = Session(answer=answer)
    session.inputs = (TensorSpec("x", (1, 4, "h", "w"), "float32", {d: DimRange(16, 32, largest) for d in "hw"}),)
    Predictor(session, dehazing, {"size": 64, "window": 3, "box": 5}).predict(_noise(40, 50))
    assert sizes == [(expected, expected)]


def test_an_engine_that_includes_preprocessing_is_tiled_too() -> None:
    def doubled(image: np.ndarray) -> np.ndarray:
        return image.repeat(2, axis=1).repeat(2, axis=2)

    session, image = Session(1, 16, 24, 3, answer=doubled, dtype="uint8"), _noise(40, 50)
    found = Predictor(session, task_view(super_resolution, True), OPTIONS).predict(image)
    np.testing.assert_array_equal(found.picture, doubled(image[None])[0])


def test_a_task_that_does_not_suit_the_engine_is_refused() -> None:
    predictor = Predictor(Session(1, 4, 16, 32, answer=lambda x: x), segmentation, {"classes": 3})
    with pytest.raises(InputError, match=r"x 1x4x16x32 float32.*1x3x16x32"):
        predictor.predict(_noise(8, 8))


def test_a_task_is_known_by_what_it_has_and_not_by_its_name() -> None:
    task = SimpleNamespace(
        **{name: getattr(super_resolution, name) for name in dir(super_resolution) if name[0] != "_"}
    )
    del task.TILE_OVERLAP  # no longer Tileable: the image must now suit the engine
    session = Session(1, 3, 16, 24, answer=lambda x: x.repeat(2, axis=2).repeat(2, axis=3))
    assert Predictor(session, task, OPTIONS).predict(_noise(40, 50)).picture is not None
    assert session.runs == 1


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


def test_engine_without_a_task_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = _engine(tmp_path, 40, 48, network=None)
    Image.fromarray(_noise(64, 50)).save(tmp_path / "a.png")
    assert cli._run(["infer", str(engine), str(tmp_path / "a.png")]) == 2
    assert str(engine) in capsys.readouterr().err
