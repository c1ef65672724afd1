"""Reading folders of pictures, and the samples and patches made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd.core.errors import InputError
from edgekd.datasets.pictures import picture_paths, read_picture, read_pictures

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


def test_folder_of_folders_is_told_from_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="holds 1 folders and no pictures"):
        picture_paths(tmp_path)
    with pytest.raises(InputError, match="train is empty"):
        picture_paths(tmp_path / "train")
