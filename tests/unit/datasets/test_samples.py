"""Images of a folder, with ground truth or without, streamed as what a network is fed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekd.core.errors import InputError
from edgekd.core.input_contract import InputContract, resolved
from edgekd.core.preprocessing import task_view
from edgekd.core.samples import write_archive
from edgekd.core.tensor import DimRange, TensorSpec
from edgekd.datasets.layouts import hr_patches, image_labels
from edgekd.datasets.samples import NetworkInput, image_samples, labelled_samples, unlabelled_samples
from edgekd.tasks import dehazing, segmentation, super_resolution

SEGMENTATION = {"classes": 3}


def _save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def _network_input(task: Any, options: dict[str, Any], *shape: int) -> NetworkInput:
    return NetworkInput(TensorSpec("input", shape, "float32"), task, options)


def test_super_resolution_is_cropped_from_the_middle_of_the_degraded_image(tmp_path: Path) -> None:
    whole = _noise(44, 52, 3)
    _save(tmp_path / "a.png", whole)
    network_input = _network_input(super_resolution, {"scale": 2}, 1, 3, 16, 20)
    (sample,) = labelled_samples(tmp_path, network_input, hr_patches, hr_patches.Config()).samples
    feed = sample.feeds["input"]
    assert feed.shape == (1, 3, 16, 20)
    assert sample.target is not None
    assert sample.image is not None
    np.testing.assert_array_equal(sample.target, whole[6:38, 6:46])
    np.testing.assert_allclose(feed[0].transpose(1, 2, 0) * 255, sample.image, atol=1e-3)
    (unlabelled,) = unlabelled_samples(tmp_path, network_input).samples
    np.testing.assert_array_equal(unlabelled.feeds["input"], feed)
    assert unlabelled.target is None


def test_labels_are_resized_with_their_image(tmp_path: Path) -> None:
    for index in range(2):
        _save(tmp_path / "val" / f"{index}.png", _noise(20, 30, 3))
        _save(tmp_path / "valannot" / f"{index}.png", _noise(20, 30) % 3)
    network_input = _network_input(segmentation, SEGMENTATION, 1, 3, 8, 12)
    samples = list(labelled_samples(tmp_path, network_input, image_labels, image_labels.Config()).samples)
    assert [sample.name for sample in samples] == ["0", "1"]
    for sample in samples:
        assert sample.feeds["input"].shape == (1, 3, 8, 12)
        assert sample.target is not None
        assert sample.target.shape == (8, 12)
        assert set(np.unique(sample.target)) <= {0, 1, 2}


def test_tasks_that_do_not_degrade_take_unlabelled_images_as_they_are(tmp_path: Path) -> None:
    _save(tmp_path / "a.png", np.full((40, 50, 3), 77, np.uint8))
    network_input = _network_input(dehazing, {"size": 32, "window": 3, "box": 5}, 1, 4, 32, 32)
    (sample,) = unlabelled_samples(tmp_path, network_input).samples
    assert sample.feeds["input"].shape == (1, 4, 32, 32)
    assert sample.image is not None
    assert (sample.image == 77).all()


@pytest.mark.parametrize("task", [segmentation, super_resolution])
def test_a_graph_that_includes_preprocessing_takes_the_image_itself(tmp_path: Path, task: Any) -> None:
    image = _noise(40, 56, 3)
    _save(tmp_path / "a.png", image)
    spec = TensorSpec("input", (1, 16, 24, 3), "uint8")
    network_input = NetworkInput(spec, task_view(task, True), {**SEGMENTATION, "scale": 2})
    assert network_input.size == (16, 24)
    (sample,) = unlabelled_samples(tmp_path, network_input).samples
    assert sample.feeds["input"].dtype == np.uint8
    np.testing.assert_array_equal(sample.feeds["input"][0], sample.image)


def test_the_size_of_a_dynamic_input_is_its_optimum() -> None:
    ranges = {"h": DimRange(8, 16, 32), "w": DimRange(8, 24, 32)}
    spec = TensorSpec("input", (1, 3, "h", "w"), "float32", ranges)
    assert NetworkInput(spec, super_resolution, {"scale": 2}).size == (16, 24)


def test_images_are_read_one_by_one(tmp_path: Path) -> None:
    _save(tmp_path / "a.png", _noise(40, 40, 3))
    (tmp_path / "b.png").write_bytes(b"not an image")
    stream = unlabelled_samples(tmp_path, _network_input(segmentation, SEGMENTATION, 1, 3, 16, 16))
    assert next(stream.samples).name == "a"
    with pytest.raises(InputError, match=r"b\.png is not an image"):
        next(stream.samples)


def test_a_stream_is_written_with_its_count_and_the_folders_name_alone(tmp_path: Path) -> None:
    folder = tmp_path / "street" / "val"
    for name in ("a", "b", "c"):
        _save(folder / f"{name}.png", _noise(20, 20, 3))
    stream = unlabelled_samples(folder, _network_input(segmentation, SEGMENTATION, 1, 3, 16, 16))
    archive = write_archive(tmp_path / "samples.npz", stream.samples, stream.source)
    assert archive.names == ("a", "b", "c")
    assert archive.source == "3 images of street/val"
    assert archive.has_image
    assert not archive.has_target


def test_an_image_that_is_too_small_is_named(tmp_path: Path) -> None:
    _save(tmp_path / "tiny.png", _noise(30, 30, 3))
    stream = unlabelled_samples(tmp_path, _network_input(super_resolution, {"scale": 2}, 1, 3, 16, 16))
    with pytest.raises(InputError, match=r"tiny: .*15x15.*16x16"):
        next(stream.samples)


def test_a_network_of_other_channels_or_an_impossible_size_is_refused(tmp_path: Path) -> None:
    _save(tmp_path / "a.png", _noise(40, 40, 3))
    four_channels = unlabelled_samples(tmp_path, _network_input(segmentation, SEGMENTATION, 1, 4, 16, 16))
    with pytest.raises(InputError, match=r"1x3x16x16.*1x4x16x16"):
        next(four_channels.samples)
    # The encoder halves four times, so that 30 pixels cannot be.
    no_multiple = unlabelled_samples(tmp_path, _network_input(dehazing, {"size": 32}, 1, 4, 30, 30))
    with pytest.raises(InputError, match=r"30x30.*16"):
        next(no_multiple.samples)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    stream = unlabelled_samples(tmp_path / "empty", _network_input(segmentation, SEGMENTATION, 1, 3, 16, 16))
    with pytest.raises(InputError, match="empty is empty"):
        next(stream.samples)


def _fed(shape: tuple[int, ...], scale: float) -> tuple[TensorSpec, InputContract]:
    spec = TensorSpec("x", shape, "float32")
    return spec, resolved(InputContract(scale=scale), spec)[0]


@pytest.mark.parametrize("shape", [(2, 3, 6, 8), (2, 6, 8, 3), (1, 1, 6, 8)])
def test_image_samples_fill_the_networks_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    _save(tmp_path / "white.png", np.full((20, 20, 3), 255, np.uint8))
    stream = image_samples(tmp_path, *_fed(shape, 255.0))
    (sample,) = stream.samples
    assert sample.feeds["x"].shape == shape
    assert sample.feeds["x"].dtype == np.float32
    np.testing.assert_allclose(sample.feeds["x"], 255.0, rtol=1e-6)
    assert "0..255" in stream.source
    assert "6x8" in stream.source


def test_image_samples_keep_the_order_of_channels(tmp_path: Path) -> None:
    colour = np.zeros((6, 8, 3), np.uint8)
    colour[...] = 255, 102, 0
    _save(tmp_path / "orange.png", colour)
    for shape, axis in (((1, 3, 6, 8), 1), ((1, 6, 8, 3), 3)):
        (sample,) = image_samples(tmp_path, *_fed(shape, 1.0)).samples
        channels = np.moveaxis(sample.feeds["x"], axis, -1)[0, 0, 0]
        np.testing.assert_allclose(channels, [1.0, 0.4, 0.0], rtol=1e-6)
