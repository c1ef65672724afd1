"""Reading folders of images: modes, order, files that are no images, and the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd.core.errors import InputError
from edgekd.datasets.pictures import PictureCache, picture_paths, read_picture, read_pictures, write_picture


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


def test_16_bit_image_is_refused_with_its_mode(tmp_path: Path) -> None:
    path = _save(tmp_path / "deep.png", np.zeros((8, 8), np.uint16))
    with pytest.raises(InputError, match=r"deep\.png has 16 bits.*mode I;16"):
        read_picture(path)


def test_32_bit_image_is_refused(tmp_path: Path) -> None:
    path = _save(tmp_path / "float.tiff", np.zeros((8, 8), np.float32))
    with pytest.raises(InputError, match=r"float\.tiff has 32 bits"):
        read_picture(path)


def test_damaged_and_missing_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.png does not exist"):
        read_picture(tmp_path / "none.png")
    path = _save(tmp_path / "cut.png", _noise(40, 40, 3))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"cut\.png cannot be decoded"):
        read_picture(path)
    path.write_bytes(b"text")
    with pytest.raises(InputError, match=r"cut\.png is not an image"):
        read_picture(path)


def test_images_come_in_order_of_name_and_notes_are_ignored(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        _save(tmp_path / name, _noise(4, 4, 3))
    (tmp_path / "README.md").write_text("whose they are")
    assert [path.name for path, _ in read_pictures(tmp_path)] == ["a.png", "b.png"]


def test_folder_of_folders_is_told_from_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="holds 1 folders and no images"):
        picture_paths(tmp_path)
    with pytest.raises(InputError, match="train is empty"):
        picture_paths(tmp_path / "train")
    with pytest.raises(InputError, match="test is not a folder"):
        picture_paths(tmp_path / "test")


@pytest.mark.parametrize("shape", [(5, 6, 3), (5, 6)])
def test_a_written_image_is_read_back(tmp_path: Path, shape: tuple[int, ...]) -> None:
    image = _noise(*shape)
    write_picture(image, tmp_path / "a.png")
    found = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(found, np.broadcast_to(image.reshape(5, 6, -1), (5, 6, 3)))


def test_cache_keeps_images_up_to_its_limit_and_reads_the_others(tmp_path: Path) -> None:
    large = np.zeros((512, 1024, 3), np.uint8)  # 1.5 MiB
    paths = [_save(tmp_path / f"{index}.png", large) for index in range(2)]
    cache = PictureCache(limit_mib=2)
    assert [cache.add(path, large) for path in paths] == [True, False]
    assert cache.add(tmp_path / "small.png", np.ones((4, 4, 3), np.uint8))
    assert len(cache) == 2
    for path in paths:
        path.unlink()
    np.testing.assert_array_equal(cache.read(paths[0]), large)
    with pytest.raises(InputError, match=r"1\.png does not exist"):
        cache.read(paths[1])
