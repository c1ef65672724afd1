"""Images with label maps: what a sample is, the two folder structures, and files that are invalid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd.core.errors import InputError, RecipeError
from edgekd.core.schema import parse
from edgekd.datasets.layouts import image_labels
from edgekd.datasets.layouts.image_labels import Config, Training, augment, validation
from edgekd.tasks import segmentation
from tests.contract import layout_contract

OPTIONS = {"classes": 3, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
PLAIN = Config(crop=(6, 8), base=0, scale=(1.0, 1.0), flip=0.0, blur=0.0, ignore=9)


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def scene(number: int, size=(6, 8)) -> tuple[np.ndarray, np.ndarray]:
    """An image whose red is its column, and labels by column: 0, 1, 2 and, at the right, not labelled (9)."""
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = 10 * np.arange(width)
    image[..., 2] = number
    target = np.broadcast_to(np.array([0, 1, 2, 9], np.uint8)[np.arange(width) * 4 // width], (height, width))
    return image, np.ascontiguousarray(target)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in ("train", "val"):
        for number in range(5):
            image, target = scene(number)
            save(tmp_path / part / f"{number}.png", image)
            save(tmp_path / f"{part}annot" / f"{number}.png", target)
    return tmp_path


def test_a_sample_is_the_preprocessed_image_and_labels_with_255_where_not_labelled(folder: Path) -> None:
    training = Training([folder], PLAIN, OPTIONS, 0)
    x, y = training[0]
    assert (x.dtype.name, x.shape) == ("float32", (3, 6, 8))
    assert (y.dtype.name, y.shape) == ("int64", (6, 8))
    np.testing.assert_array_equal(y[0], [0, 0, 1, 1, 2, 2, 255, 255])
    number = round(float(x[2, 0, 0]) * 255)
    np.testing.assert_allclose(x, segmentation.preprocess(scene(number)[0], OPTIONS), atol=1e-6)


def test_an_epoch_has_every_image_once_and_the_next_another_order(folder: Path) -> None:
    training = Training([folder], PLAIN, OPTIONS, 3)
    assert len(training) == 5
    orders = [[round(float(training[e * 5 + i][0][2, 0, 0]) * 255) for i in range(5)] for e in range(4)]
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    assert len({tuple(order) for order in orders}) > 1


def test_a_sample_is_a_function_of_seed_and_index_alone(folder: Path) -> None:
    config = Config(crop=(5, 5), base=8, ignore=9)
    first, second = (Training([folder], config, OPTIONS, 1) for _ in range(2))
    for index in (7, 0, 12):
        for a, b in zip(first[index], second[index], strict=True):
            np.testing.assert_array_equal(a, b)
    other = Training([folder], config, OPTIONS, 2)
    assert any(not np.array_equal(first[index][0], other[index][0]) for index in range(3))


def test_images_beyond_the_memory_are_read_again_and_are_the_same(folder: Path) -> None:
    cached = Training([folder], PLAIN, OPTIONS, 0)
    uncached = Training([folder], replace(PLAIN, memory_mib=0), OPTIONS, 0)
    assert (len(cached.cached), len(uncached.cached)) == (5, 0)
    for index in range(5):
        for a, b in zip(cached[index], uncached[index], strict=True):
            np.testing.assert_array_equal(a, b)


def test_labels_follow_the_image_through_every_augmentation() -> None:
    # Red is the column and so is the label: they must still agree wherever a sample was cut.
    image = np.zeros((40, 60, 3), np.uint8)
    image[..., 0] = 4 * np.arange(60)
    labels = np.broadcast_to(np.arange(60, dtype=np.uint8), (40, 60))
    config = Config(crop=(24, 32), base=40, scale=(0.7, 2.0), flip=0.5, blur=0.0)
    directions = set()
    for index in range(12):
        cut, target = augment((image, np.ascontiguousarray(labels)), config, np.random.default_rng(index))
        assert cut.shape == (24, 32, 3)
        assert target.shape == (24, 32)
        labelled = target != 255
        assert np.abs(cut[..., 0][labelled] / 4 - target[labelled]).max() <= 1.01
        row = target[0][labelled[0]].astype(int)
        directions.add(int(np.sign(row[-1] - row[0])))
    assert directions == {-1, 1}


def test_an_image_smaller_than_the_crop_is_padded_with_black_and_not_labelled() -> None:
    image, labels = np.full((10, 10, 3), 200, np.uint8), np.ones((10, 10), np.uint8)
    config = Config(crop=(16, 12), base=10, scale=(1.0, 1.0), blur=0.0)
    cut, target = augment((image, labels), config, np.random.default_rng(0))
    assert cut.shape == (16, 12, 3)
    assert (target[:10, :10] == 1).all()
    assert (target[10:] == 255).all()
    assert (target[:, 10:] == 255).all()
    assert cut[target == 255].max() == 0


def test_the_base_is_what_factors_multiply() -> None:
    image, labels = np.zeros((20, 40, 3), np.uint8), np.zeros((20, 40), np.uint8)
    config = Config(crop=(100, 100), base=30, scale=(2.0, 2.0), blur=0.0)
    _, target = augment((image, labels), config, np.random.default_rng(0))
    assert (target == 0).sum() == 60 * 100


def test_blur_changes_images_and_not_labels() -> None:
    rng = np.random.default_rng(0)
    image, labels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8), rng.integers(0, 3, (12, 12), dtype=np.uint8)
    sharp, blurred = (
        augment(
            (image, labels), Config(crop=(12, 12), base=0, scale=(1, 1), flip=0, blur=share), np.random.default_rng(1)
        )
        for share in (0.0, 1.0)
    )
    assert blurred[0].std() < sharp[0].std()
    np.testing.assert_array_equal(blurred[1], sharp[1])


def test_validation_yields_whole_images(folder: Path) -> None:
    items = list(validation([folder], PLAIN, OPTIONS))
    assert [item.name for item in items] == ["0", "1", "2", "3", "4"]
    np.testing.assert_array_equal(items[4].image, scene(4)[0])
    assert items[0].target.dtype == np.int64
    np.testing.assert_array_equal(items[0].target[0], [0, 0, 1, 1, 2, 2, 255, 255])


def test_vocs_layout_reads_its_lists_and_palettes(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        save(tmp_path / "JPEGImages" / f"{name}.jpg", scene(0)[0])
    for name in ("a", "c"):
        labels = Image.fromarray(scene(0)[1]).convert("P")
        labels.putdata(scene(0)[1].flatten().tolist())
        labels.putpalette([200, 0, 0] * 256)
        (tmp_path / "SegmentationClass").mkdir(exist_ok=True)
        labels.save(tmp_path / "SegmentationClass" / f"{name}.png")
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    (lists / "val.txt").write_text("c\na\n")
    lists_named = {part: f"ImageSets/Segmentation/{part.partition('_')[0]}.txt" for part in ("train_list", "val_list")}
    pictures, annotated = ("JPEGImages", "SegmentationClass")
    given = {"train": pictures, "trainannot": annotated, "val": pictures, "valannot": annotated, "ignore": 9}
    config = parse(Config, {**given, **lists_named}, "data.options")
    assert [item.name for item in validation([tmp_path], config, OPTIONS)] == ["c", "a"]
    assert len(Training([tmp_path], config, OPTIONS, 0)) == 1
    (lists / "val.txt").write_text("z\n")
    with pytest.raises(InputError, match=r"val\.txt names 'z', but .*JPEGImages"):
        list(validation([tmp_path], config, OPTIONS))
    (lists / "val.txt").write_text("b\n")
    with pytest.raises(InputError, match=r"b\.jpg has no labels; .*SegmentationClass/b\.png"):
        list(validation([tmp_path], config, OPTIONS))
    (lists / "val.txt").write_text("\n")
    with pytest.raises(InputError, match=r"val\.txt is empty"):
        list(validation([tmp_path], config, OPTIONS))
    (lists / "val.txt").unlink()
    with pytest.raises(InputError, match=r"val\.txt does not exist"):
        list(validation([tmp_path], config, OPTIONS))


def test_a_label_outside_the_classes_is_refused_by_file_and_value(folder: Path) -> None:
    _, target = scene(0)
    target[0, 0] = 7
    save(folder / "trainannot" / "2.png", target)
    with pytest.raises(InputError, match=r"2\.png holds label 7; 0 to 2 .*, or 9"):
        Training([folder], PLAIN, OPTIONS, 0)
    lazy = Training([folder], replace(PLAIN, memory_mib=0), OPTIONS, 0)
    with pytest.raises(InputError, match=r"2\.png holds label 7"):
        _ = [lazy[index] for index in range(5)]


def test_a_missing_label_map_and_a_missing_folder_are_named(folder: Path) -> None:
    (folder / "trainannot" / "3.png").unlink()
    with pytest.raises(InputError, match=r"3\.png has no labels"):
        Training([folder], PLAIN, OPTIONS, 0)
    with pytest.raises(InputError, match="nowhere is not a folder"):
        list(validation([folder], Config(valannot="nowhere"), OPTIONS))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((6, 8, 3), np.uint8), "mode RGB"),
        (np.zeros((6, 8), np.uint16), "mode I;16"),
        (np.zeros((6, 7), np.uint8), r"0\.png is 8x6 and .*0\.png is 7x6"),
    ],
)
def test_labels_of_another_kind_or_size_are_refused(folder: Path, labels: np.ndarray, message: str) -> None:
    save(folder / "valannot" / "0.png", labels)
    with pytest.raises(InputError, match=message):
        list(validation([folder], PLAIN, OPTIONS))


@pytest.mark.parametrize("part", ["val", "valannot"])
def test_damaged_files_are_refused_by_name(folder: Path, part: str) -> None:
    path = folder / part / "1.png"
    path.write_bytes(path.read_bytes()[:45])
    with pytest.raises(InputError, match=r"1\.png cannot be decoded"):
        list(validation([folder], PLAIN, OPTIONS))
    path.write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"1\.png is not an image"):
        list(validation([folder], PLAIN, OPTIONS))


def test_grey_and_transparent_images_become_rgb(folder: Path) -> None:
    save(folder / "val" / "0.png", np.full((6, 8), 7, np.uint8))
    save(folder / "val" / "1.png", np.full((6, 8, 4), 7, np.uint8))
    for item in list(validation([folder], PLAIN, OPTIONS))[:2]:
        np.testing.assert_array_equal(item.image, np.full((6, 8, 3), 7))


@pytest.mark.parametrize(
    "options",
    [{"crop": [0, 5]}, {"scale": [2.0, 1.0]}, {"scale": [0.0, 1.0]}, {"flip": 1.5}, {"blur": -0.1}, {"ignore": 256}],
)
def test_invalid_options_are_named(options) -> None:
    (name,) = options
    with pytest.raises(RecipeError, match=rf"data\.options\.{name} = "):
        parse(image_labels.Config, options, "data.options")


@pytest.mark.parametrize("check", layout_contract.CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_contract_of_layouts(folder: Path, check) -> None:
    check(layout_contract.Example(image_labels, folder, Config(crop=(5, 5), base=8, ignore=9), OPTIONS))
