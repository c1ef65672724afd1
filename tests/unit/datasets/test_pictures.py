"""Reading folders of pictures, and the samples and patches made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd.core.errors import InputError
from edgekd.core.tensor import TensorSpec
from edgekd.datasets import samples
from edgekd.datasets._pictures import read_picture, read_pictures
from edgekd.datasets.hr_patches import Samples
from edgekd.tasks import super_resolution

OPTIONS = {"scale": 2}


def _save(path: Path, array: np.ndarray, mode: str | None = None) -> Path:
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path)
    return path


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1"])
def test_every_8_bit_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    picture = read_picture(_save(tmp_path / "a.png", _noise(9, 7, 3), mode))
    assert picture.shape == (9, 7, 3)
    assert picture.dtype == np.uint8


def test_16_bit_picture_is_refused_with_its_mode(tmp_path: Path) -> None:
    path = _save(tmp_path / "deep.png", np.zeros((8, 8), np.uint16))
    with pytest.raises(InputError, match=r"deep\.png has 16 bits.*8-bit"):
        read_picture(path)


def test_pictures_come_in_order_of_name_and_notes_are_passed_over(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        _save(tmp_path / name, _noise(4, 4, 3))
    (tmp_path / "README.md").write_text("whose they are")
    assert [path.name for path, _ in read_pictures(tmp_path)] == ["a.png", "b.png"]


def test_patches_are_aligned_and_depend_on_seed_and_index_alone(tmp_path: Path) -> None:
    smooth = np.tile(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], (48, 1, 3))
    _save(tmp_path / "ramp.png", smooth)
    patches = Samples([tmp_path], OPTIONS, patch=8, seed=3)
    for index in range(20):
        low, high = patches[index]
        assert low.shape == (3, 8, 8)
        assert high.shape == (3, 16, 16)
        # On a ramp the LR pixel is the mean of its four HR pixels, however the patch was flipped and turned.
        pooled = high.reshape(3, 8, 2, 8, 2).mean(axis=(2, 4))
        assert np.abs(pooled - low)[:, 1:-1, 1:-1].max() < 0.02
    again = Samples([tmp_path], OPTIONS, patch=8, seed=3)
    np.testing.assert_array_equal(patches[7][0], again[7][0])
    stacked, _ = patches.batch(5, 3)
    np.testing.assert_array_equal(stacked[2], patches[7][0])
    other = Samples([tmp_path], OPTIONS, patch=8, seed=4)
    assert any(not np.array_equal(patches[i][0], other[i][0]) for i in range(5))


def test_pictures_smaller_than_a_patch(tmp_path: Path) -> None:
    _save(tmp_path / "small.png", _noise(12, 40, 3))
    with pytest.raises(InputError, match=r"none of 1 pictures.*16 pixels"):
        Samples([tmp_path], OPTIONS, patch=8, seed=0)


def test_task_samples_are_cropped_from_the_middle(tmp_path: Path) -> None:
    whole = _noise(44, 52, 3)
    _save(tmp_path / "a.png", whole)
    made = samples.task_samples(tmp_path, TensorSpec("input", (1, 3, 16, 20), "float32"), super_resolution, OPTIONS)
    assert made.inputs["input"].shape == (1, 1, 3, 16, 20)
    assert made.truth is not None
    np.testing.assert_array_equal(made.truth[0], whole[6:38, 6:46])
    assert made.seen is not None
    np.testing.assert_allclose(made.inputs["input"][0, 0].transpose(1, 2, 0) * 255, made.seen[0], atol=1e-3)


def test_task_samples_of_too_small_a_picture(tmp_path: Path) -> None:
    _save(tmp_path / "a.png", _noise(30, 30, 3))
    with pytest.raises(InputError, match=r"a\.png gives an input of 15x15, the network takes 16x16"):
        samples.task_samples(tmp_path, TensorSpec("input", (1, 3, 16, 16), "float32"), super_resolution, OPTIONS)


@pytest.mark.parametrize(("layout", "shape"), [("NCHW", (2, 3, 6, 8)), ("NHWC", (2, 6, 8, 3)), ("NCHW", (1, 1, 6, 8))])
def test_image_samples_fill_the_networks_shape(tmp_path: Path, layout: str, shape: tuple[int, ...]) -> None:
    _save(tmp_path / "white.png", np.full((20, 20, 3), 255, np.uint8))
    made = samples.image_samples(tmp_path, TensorSpec("x", shape, "float32"), layout, 255.0)
    assert made.inputs["x"].shape == (1, *shape)
    assert made.inputs["x"].dtype == np.float32
    np.testing.assert_allclose(made.inputs["x"], 255.0, rtol=1e-6)
    assert "assumed" in made.source
