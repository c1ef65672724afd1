"""Patches of high-resolution images: what they are cut from, how they are drawn, and invalid folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd.core.errors import InputError, RecipeError
from edgekd.datasets.layouts import hr_patches
from edgekd.tasks import super_resolution
from tests.contract import layout_contract

OPTIONS = {"scale": 2}


def write(folder: Path, *sizes: tuple[int, int], seed: int = 0) -> list[Path]:
    """Write noise of (height, width) as 0.png, and so on."""
    rng = np.random.default_rng(seed)
    paths = [folder / f"{index}.png" for index in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)
    return paths


def training_on(folder: Path, scale: int = 2, seed: int = 0, **config: object) -> hr_patches.Training:
    return hr_patches.Training([folder], hr_patches.Config(**config), {"scale": scale}, seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_patch_is_cut_from_the_whole_pictures_degradation(tmp_path: Path, scale: int) -> None:
    path, *_ = write(tmp_path, (67, 81))
    training = training_on(tmp_path, scale, patch=6, augment=False)
    whole_lr, whole_hr = super_resolution.degrade(np.asarray(Image.open(path)), {"scale": scale})
    corners = set()
    for index in range(300):
        lr, hr = (np.round(x.transpose(1, 2, 0) * 255).astype(np.uint8) for x in training[index])
        assert (lr.shape, hr.shape) == ((6, 6, 3), (6 * scale, 6 * scale, 3))
        found = np.lib.stride_tricks.sliding_window_view(whole_hr, hr.shape)[::scale, ::scale, 0]
        y, x = np.argwhere((found == hr).all(axis=(2, 3, 4)))[0]
        # Sums in another order may round an exact half of x3 to the other side.
        assert np.abs(whole_lr[y : y + 6, x : x + 6].astype(int) - lr).max() <= (1 if scale == 3 else 0)
        corners.add((int(y), int(x)))
    rows, columns = ({corner[axis] for corner in corners} for axis in (0, 1))
    # Every border, where the whole image is mirrored, was among them.
    assert {0, 67 // scale - 6} <= rows
    assert {0, 81 // scale - 6} <= columns


def test_a_sample_is_what_the_task_feeds_the_network(tmp_path: Path) -> None:
    write(tmp_path, (40, 40))
    lr, hr = training_on(tmp_path, patch=8)[5]
    assert (lr.dtype, hr.dtype) == (np.float32, np.float32)
    assert (lr.shape, hr.shape) == ((3, 8, 8), (3, 16, 16))
    assert 0 <= lr.min() < lr.max() <= 1


def test_a_sample_depends_on_seed_and_index_alone(tmp_path: Path) -> None:
    write(tmp_path, (40, 60), (50, 44))
    one, same, other = (
        training_on(tmp_path, patch=8),
        training_on(tmp_path, patch=8),
        training_on(tmp_path, patch=8, seed=1),
    )
    for index in (9, 0, 9):
        for found, expected in zip(one[index], same[index], strict=True):
            np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(one[9][0], one[8][0])
    assert not np.array_equal(one[9][0], other[9][0])


def test_images_beyond_the_memory_are_read_each_time(tmp_path: Path) -> None:
    paths = write(tmp_path, (300, 400), (700, 900))
    kept, lazy, partly = (training_on(tmp_path, patch=8, memory_mib=mib) for mib in (16, 0, 1))
    for index in range(8):
        for whole, read, mixed in zip(kept[index], lazy[index], partly[index], strict=True):
            np.testing.assert_array_equal(whole, read)
            np.testing.assert_array_equal(whole, mixed)
    paths[1].write_bytes(b"gone")
    assert kept[0][0].shape == (3, 8, 8)
    with pytest.raises(InputError, match=r"1\.png is not an image"):
        [partly[index] for index in range(8)]


def test_each_image_is_as_likely_as_its_area(tmp_path: Path) -> None:
    for index, (size, grey) in enumerate([((40, 40), 10), ((80, 120), 200)]):
        Image.fromarray(np.full((*size, 3), grey, np.uint8)).save(tmp_path / f"{index}.png")
    training = training_on(tmp_path, patch=8)
    large = np.mean([training[index][0].mean() > 0.5 for index in range(600)])
    assert large == pytest.approx(80 * 120 / (80 * 120 + 40 * 40), abs=0.05)


def test_flips_and_turns_are_all_there_and_the_same_for_both(tmp_path: Path) -> None:
    # The only patch is the whole image: each quarter of another grey.
    quarters = np.kron(np.array([[0, 80], [160, 240]]), np.ones((8, 8)))[..., None].repeat(3, axis=2).astype(np.uint8)
    Image.fromarray(quarters).save(tmp_path / "0.png")

    def corners(picture: np.ndarray) -> tuple[int, ...]:
        return tuple(round(float(picture[0, y, x]) * 3) for y in (0, -1) for x in (0, -1))

    training = training_on(tmp_path, patch=8)
    samples = [tuple(map(corners, training[index])) for index in range(100)]
    assert all(lr == hr for lr, hr in samples)
    assert len({lr for lr, _ in samples}) == 8
    plain = training_on(tmp_path, patch=8, augment=False)
    assert {tuple(map(corners, plain[index])) for index in range(20)} == {((0, 1, 2, 3), (0, 1, 2, 3))}


def test_images_smaller_than_a_patch_are_skipped(tmp_path: Path) -> None:
    write(tmp_path, (12, 60), (40, 60))
    assert [path.name for path in training_on(tmp_path, patch=8).paths] == ["1.png"]
    with pytest.raises(InputError, match=r"none of 2 images in .* at least 64 pixels"):
        training_on(tmp_path, patch=32)


@pytest.mark.parametrize("options", [{"patch": 0}, {"memory_mib": -1}])
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(RecipeError, match=f"{next(iter(options))} = {next(iter(options.values()))}"):
        hr_patches.Config(**options)


def test_greys_and_transparency_are_read_and_deep_or_damaged_images_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for mode, shape in (("L", (20, 20)), ("RGBA", (20, 20, 4))):
        folder = tmp_path / mode
        folder.mkdir()
        Image.fromarray(rng.integers(0, 256, shape, np.uint8), mode).save(folder / "0.png")
        assert training_on(folder, patch=8)[0][0].shape == (3, 8, 8)
        assert next(hr_patches.validation([folder], hr_patches.Config(), OPTIONS)).image.shape == (10, 10, 3)
    for name, content, message in (("deep", None, "16 bits"), ("cut", b"\x89PNG\r\n", "not an image")):
        folder = tmp_path / name
        folder.mkdir()
        if content is None:
            Image.fromarray(rng.integers(0, 1 << 16, (20, 20)).astype(np.uint16)).save(folder / "0.png")
        else:
            (folder / "0.png").write_bytes(content)
        with pytest.raises(InputError, match=rf"0\.png.*{message}"):
            training_on(folder)
        with pytest.raises(InputError, match=rf"0\.png.*{message}"):
            list(hr_patches.validation([folder], hr_patches.Config(), OPTIONS))


@pytest.mark.parametrize("scale", [2, 3])
def test_validation_yields_whole_images_by_name(tmp_path: Path, scale: int) -> None:
    write(tmp_path, (25, 31), (40, 40))
    items = list(hr_patches.validation([tmp_path, tmp_path], hr_patches.Config(), {"scale": scale}))
    assert [item.name for item in items] == ["0", "1", "0", "1"]
    assert items[0].image.shape == (25 // scale, 31 // scale, 3)
    assert items[0].target.shape == (25 - 25 % scale, 31 - 31 % scale, 3)
    assert items[0].image.dtype == items[0].target.dtype == np.uint8


def test_validation_refuses_an_image_of_less_than_one_pixel(tmp_path: Path) -> None:
    write(tmp_path, (1, 31))
    with pytest.raises(InputError, match=r"0\.png is 31x1; 2 pixels or more"):
        list(hr_patches.validation([tmp_path], hr_patches.Config(), OPTIONS))


@pytest.mark.parametrize("check", layout_contract.CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_contract_of_layouts(tmp_path: Path, check) -> None:
    write(tmp_path, (40, 60), (50, 44))
    check(layout_contract.Example(hr_patches, tmp_path, hr_patches.Config(patch=8), OPTIONS))
