"""Pictures of a folder, with truth or without, made into what a network is fed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekd.core.errors import InputError
from edgekd.core.tensor import TensorSpec
from edgekd.datasets import samples
from edgekd.datasets.layouts import hr_patches, image_labels
from edgekd.tasks import dehazing, segmentation, super_resolution

SEGMENTATION = {"classes": 3}


def _save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def _subject(task: Any, options: dict[str, Any], *shape: int) -> samples.Subject:
    return samples.Subject(TensorSpec("input", shape, "float32"), task, options)


def test_super_resolution_is_cropped_from_the_middle_of_the_degraded_picture(tmp_path: Path) -> None:
    whole = _noise(44, 52, 3)
    _save(tmp_path / "a.png", whole)
    subject = _subject(super_resolution, {"scale": 2}, 1, 3, 16, 20)
    made = samples.labelled_samples(tmp_path, subject, hr_patches, hr_patches.Config())
    assert made.inputs["input"].shape == (1, 1, 3, 16, 20)
    assert made.truth is not None
    np.testing.assert_array_equal(made.truth[0], whole[6:38, 6:46])
    assert made.seen is not None
    np.testing.assert_allclose(made.inputs["input"][0, 0].transpose(1, 2, 0) * 255, made.seen[0], atol=1e-3)
    bare = samples.unlabelled_samples(tmp_path, subject)
    np.testing.assert_array_equal(bare.inputs["input"], made.inputs["input"])
    assert bare.truth is None


def test_labels_are_resized_with_their_picture(tmp_path: Path) -> None:
    for index in range(2):
        _save(tmp_path / "val" / f"{index}.png", _noise(20, 30, 3))
        _save(tmp_path / "valannot" / f"{index}.png", _noise(20, 30) % 3)
    subject = _subject(segmentation, SEGMENTATION, 1, 3, 8, 12)
    made = samples.labelled_samples(tmp_path, subject, image_labels, image_labels.Config())
    assert made.inputs["input"].shape == (2, 1, 3, 8, 12)
    assert made.truth is not None
    assert made.truth.shape == (2, 8, 12)
    assert set(np.unique(made.truth)) <= {0, 1, 2}


def test_other_tasks_see_unlabelled_pictures_as_they_are(tmp_path: Path) -> None:
    _save(tmp_path / "a.png", np.full((40, 50, 3), 77, np.uint8))
    made = samples.unlabelled_samples(tmp_path, _subject(dehazing, {"size": 32, "window": 3, "box": 5}, 1, 4, 32, 32))
    assert made.inputs["input"].shape == (1, 1, 4, 32, 32)
    assert made.seen is not None
    assert (made.seen == 77).all()


def test_the_graph_may_take_the_picture_itself(tmp_path: Path) -> None:
    _save(tmp_path / "a.png", _noise(40, 50, 3))
    view = SimpleNamespace(fit=segmentation.fit, preprocess=lambda image, options: image)
    spec = TensorSpec("input", (1, 16, 24, 3), "uint8")
    made = samples.unlabelled_samples(tmp_path, samples.Subject(spec, view, SEGMENTATION))
    assert made.inputs["input"].shape == (1, 1, 16, 24, 3)
    assert made.inputs["input"].dtype == np.uint8


def test_too_small_a_picture_is_named(tmp_path: Path) -> None:
    _save(tmp_path / "tiny.png", _noise(30, 30, 3))
    with pytest.raises(InputError, match=r"tiny: .*input of 15x15, the network takes 16x16"):
        samples.unlabelled_samples(tmp_path, _subject(super_resolution, {"scale": 2}, 1, 3, 16, 16))


def test_a_network_of_other_channels_or_an_impossible_size_is_refused(tmp_path: Path) -> None:
    _save(tmp_path / "a.png", _noise(40, 40, 3))
    with pytest.raises(InputError, match="preprocessing gives 1x3x16x16, the network takes input 1x4x16x16"):
        samples.unlabelled_samples(tmp_path, _subject(segmentation, SEGMENTATION, 1, 4, 16, 16))
    with pytest.raises(InputError, match="16"):  # the encoder halves four times
        samples.unlabelled_samples(tmp_path, _subject(dehazing, {"size": 32}, 1, 4, 30, 30))


@pytest.mark.parametrize(("layout", "shape"), [("NCHW", (2, 3, 6, 8)), ("NHWC", (2, 6, 8, 3)), ("NCHW", (1, 1, 6, 8))])
def test_image_samples_fill_the_networks_shape(tmp_path: Path, layout: str, shape: tuple[int, ...]) -> None:
    _save(tmp_path / "white.png", np.full((20, 20, 3), 255, np.uint8))
    made = samples.image_samples(tmp_path, TensorSpec("x", shape, "float32"), layout, 255.0)
    assert made.inputs["x"].shape == (1, *shape)
    assert made.inputs["x"].dtype == np.float32
    np.testing.assert_allclose(made.inputs["x"], 255.0, rtol=1e-6)
    assert "assumed" in made.source
