"""A folder per class: order, augmentation, and folders that do not belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd.core.errors import InputError, RecipeError
from edgekd.core.schema import parse
from edgekd.datasets.layouts import class_folders
from edgekd.datasets.layouts.class_folders import Config, Training, validation
from edgekd.tasks import classification
from tests.contract import layout_contract

RAW = {"mean": [0, 0, 0], "std": [1, 1, 1]}  # so that inputs are 0..1
OPTIONS = {"classes": 2, "size": 16, **RAW}
PLAIN = Config(area=(1.0, 1.0), aspect=(1.0, 1.0), flip_horizontal=0.0)
EACH = 5


def _noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def leaves(tmp_path: Path) -> Path:
    """Two classes; picture i of class c is the flat grey 100 c + i in training, noise in validation."""
    for index, name in enumerate(("b_ill", "a_well")):
        for part, count in (("train", EACH), ("val", 2)):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                flat = np.full((16, 16, 3), 100 * (1 - index) + i, np.uint8)
                image = flat if part == "train" else _noise(20, 30, 3, seed=i)
                Image.fromarray(image).save(folder / f"{i}.png")
    return tmp_path


def test_classes_are_numbered_by_the_names_of_their_folders(leaves: Path) -> None:
    samples = Training([leaves], PLAIN, OPTIONS, seed=0)
    assert len(samples) == 2 * EACH
    for index in range(len(samples)):
        x, target = samples[index]
        assert x.shape == (3, 16, 16)
        assert x.dtype == np.float32
        assert target.shape == ()
        assert target.dtype == np.int64
        assert round(float(x[0, 0, 0]) * 255) // 100 == int(target)


def _greys(samples: Training, epoch: int) -> list[int]:
    count = len(samples)
    return [round(float(samples[index][0][0, 0, 0]) * 255) for index in range(epoch * count, (epoch + 1) * count)]


def test_an_epoch_has_every_image_once_in_an_order_of_its_own(leaves: Path) -> None:
    samples = Training([leaves], PLAIN, OPTIONS, seed=0)
    first, second = _greys(samples, 0), _greys(samples, 1)
    assert sorted(first) == sorted(second) == [*range(EACH), *range(100, 100 + EACH)]
    assert first != second
    assert first != _greys(Training([leaves], PLAIN, OPTIONS, seed=1), 0)


def test_a_sample_depends_on_seed_and_index_alone(leaves: Path) -> None:
    config = Config(area=(0.2, 1.0), flip_vertical=0.5, turn=True, brightness=0.3, hue=0.1)
    forwards, backwards = (Training([leaves], config, OPTIONS, seed=7) for _ in range(2))
    samples = {index: backwards[index] for index in (13, 4, 25, 0)}
    for index in range(26):
        x, target = forwards[index]
        if index in samples:
            np.testing.assert_array_equal(x, samples[index][0])
            assert target == samples[index][1]


def test_images_beyond_the_cache_are_read_when_they_are_needed(leaves: Path) -> None:
    config = Config(area=(1.0, 1.0), aspect=(1.0, 1.0), cache_mib=0)
    lazy, eager = (Training([leaves], config, OPTIONS, seed=0) for config in (config, PLAIN))
    assert (len(lazy.cache), len(eager.cache)) == (0, 2 * EACH)
    assert _greys(lazy, 0) == _greys(eager, 0)


def _one(folder: Path, image: np.ndarray) -> Path:
    for name in ("a", "b"):
        (folder / "train" / name).mkdir(parents=True)
        Image.fromarray(image).save(folder / "train" / name / "0.png")
    return folder


def _inputs(folder: Path, config: Config, count: int = 40, size: int = 16) -> list[np.ndarray]:
    samples = Training([folder], config, {**OPTIONS, "size": size}, seed=0)
    return [np.round(samples[index][0].transpose(1, 2, 0) * 255).astype(np.uint8) for index in range(count)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 1),
        ({"flip_horizontal": 0.5}, 2),
        ({"flip_horizontal": 0.5, "flip_vertical": 0.5}, 4),
        ({"turn": True}, 4),
        ({"flip_horizontal": 0.5, "turn": True}, 8),
    ],
)
def test_mirroring_and_turning_give_every_position_and_nothing_else(tmp_path: Path, options, expected) -> None:
    image = _noise(16, 16, 3)
    config = Config(area=(1.0, 1.0), aspect=(1.0, 1.0), **{"flip_horizontal": 0.0, **options})
    found = {x.tobytes() for x in _inputs(_one(tmp_path, image), config, 80)}
    turned = [np.rot90(image, n) for n in range(4)]
    possible = {np.ascontiguousarray(x).tobytes() for t in turned for x in (t, t[:, ::-1])}
    assert image.tobytes() in found
    assert found <= possible
    assert len(found) == expected


def test_a_crop_shows_a_part_of_the_picture_enlarged(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8)[None, :, None] * 4, (64, 1, 3))
    config = Config(area=(0.25, 0.25), aspect=(1.0, 1.0), flip_horizontal=0.0)
    spans = [int(x[0, -1, 0]) - int(x[0, 0, 0]) for x in _inputs(_one(tmp_path, ramp), config)]
    # A quarter of the area is half the width: 32 of 64 steps of 4, between the centres of the outer of 16 pixels.
    assert all(abs(span - 32 * 4 * 15 / 16) <= 2 for span in spans)
    starts = {int(x[0, 0, 0]) for x in _inputs(_one(tmp_path / "again", ramp), config)}
    assert len(starts) > 10


def test_an_image_no_crop_fits_into_gives_its_centre(tmp_path: Path) -> None:
    strip = np.zeros((8, 64, 3), np.uint8)
    strip[:, 28:36] = 200
    config = Config(area=(1.0, 1.0), aspect=(1.0, 1.0))
    assert all((x == 200).all() for x in _inputs(_one(tmp_path, strip), config, size=8))


def _mean_of(found: list[np.ndarray], axis: int | None = None) -> np.ndarray:
    return np.array([x.reshape(-1, 3).mean(axis=axis) for x in found])


def test_brightness_scales_all_and_contrast_around_the_mean(tmp_path: Path) -> None:
    halves = np.full((16, 16, 3), 80, np.uint8)
    halves[:8] = 120
    base = {"area": (1.0, 1.0), "aspect": (1.0, 1.0), "flip_horizontal": 0.0}
    bright = _inputs(_one(tmp_path / "b", halves), Config(**base, brightness=0.5))
    factors = [float(x.mean()) / 100 for x in bright]
    assert min(factors) >= 0.49
    assert max(factors) <= 1.51
    assert max(factors) - min(factors) > 0.5
    assert all(abs(float(x[0].mean()) / float(x[-1].mean()) - 1.5) < 0.05 for x in bright)
    contrasted = _inputs(_one(tmp_path / "c", halves), Config(**base, contrast=0.5))
    assert all(abs(float(x.mean()) - 100) < 1 for x in contrasted)
    gaps = [float(x[0].mean() - x[-1].mean()) for x in contrasted]
    assert 19 <= min(gaps) < 30 < 50 < max(gaps) <= 61


def test_saturation_keeps_the_luma_and_hue_the_value(tmp_path: Path) -> None:
    leaf = np.tile(np.array([60, 160, 90], np.uint8), (16, 16, 1))
    base = {"area": (1.0, 1.0), "aspect": (1.0, 1.0), "flip_horizontal": 0.0}
    saturated = _mean_of(_inputs(_one(tmp_path / "s", leaf), Config(**base, saturation=0.8)), 0)
    luma = saturated @ [0.299, 0.587, 0.114]
    assert np.abs(luma - luma[0]).max() < 1.5
    assert np.ptp(saturated[:, 1] - saturated[:, 0]) > 50
    turned = _mean_of(_inputs(_one(tmp_path / "h", leaf), Config(**base, hue=0.5)), 0)
    assert np.abs(turned.max(axis=1) - 160).max() <= 2
    assert len(set(turned.argmax(axis=1))) == 3


def test_validation_yields_the_images_as_they_are(leaves: Path) -> None:
    items = list(validation([leaves], Config(), OPTIONS))
    assert [(item.name, int(item.target)) for item in items] == [
        ("a_well/0.png", 0), ("a_well/1.png", 0), ("b_ill/0.png", 1), ("b_ill/1.png", 1),
    ]  # fmt: skip
    np.testing.assert_array_equal(items[1].image, _noise(20, 30, 3, seed=1))
    image, target = classification.fit(items[0].image, items[0].target, None, OPTIONS)
    assert image.shape == (16, 16, 3)
    assert target is not None
    assert target.dtype == np.int64


def test_several_folders_are_one_set_and_must_have_the_same_classes(leaves: Path, tmp_path: Path) -> None:
    assert len(Training([leaves, leaves], PLAIN, OPTIONS, seed=0)) == 4 * EACH
    other = _one(tmp_path / "other", _noise(4, 4, 3))
    with pytest.raises(InputError, match=r"other/train lacks a_well, b_ill and has also a, b"):
        Training([leaves, other], PLAIN, OPTIONS, seed=0)


def test_a_class_missing_in_validation_is_refused_by_name(leaves: Path) -> None:
    (leaves / "val" / "b_ill").rename(leaves / "val" / "b_other")
    with pytest.raises(InputError, match=r"val lacks b_ill and has also b_other; the class folders of .*train"):
        list(validation([leaves], Config(), OPTIONS))


def test_other_classes_than_the_recipes_are_refused_with_both_numbers(leaves: Path) -> None:
    with pytest.raises(InputError, match=r"2 class folders \(a_well, b_ill\) and task\.classes has 3"):
        Training([leaves], PLAIN, {**OPTIONS, "classes": 3}, seed=0)


def test_folders_that_are_not_there_or_empty_are_refused(leaves: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tain is not a folder"):
        Training([leaves], Config(train="tain"), OPTIONS, seed=0)
    with pytest.raises(InputError, match="no folder has 0 class folders"):
        Training([], PLAIN, OPTIONS, seed=0)
    (leaves / "train" / "b_ill").rename(tmp_path / "away")
    (leaves / "train" / "b_ill").mkdir()
    with pytest.raises(InputError, match=r"b_ill is empty"):
        Training([leaves], PLAIN, OPTIONS, seed=0)


def test_images_of_any_8_bit_mode_are_used_and_others_refused(leaves: Path) -> None:
    folder = leaves / "train" / "a_well"
    Image.fromarray(_noise(9, 9)).save(folder / "grey.png")
    Image.fromarray(_noise(9, 9, 4)).save(folder / "rgba.png")
    assert len(Training([leaves], PLAIN, OPTIONS, seed=0)) == 2 * EACH + 2
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(folder / "deep.png")
    with pytest.raises(InputError, match=r"deep\.png has 16 bits"):
        Training([leaves], PLAIN, OPTIONS, seed=0)
    (folder / "deep.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"deep\.png is not an image"):
        Training([leaves], PLAIN, OPTIONS, seed=0)


@pytest.mark.parametrize(
    "options",
    [
        {"flip_horizontal": 1.5},
        {"brightness": -0.1},
        {"hue": 0.6},
        {"area": [0.5, 0.2]},
        {"area": [0.0, 1.0]},
        {"aspect": [0.5, 20.0]},
        {"cache_mib": -1},
    ],
)
def test_invalid_options_are_refused_by_key(options) -> None:
    with pytest.raises(RecipeError, match=rf"data\.options\.{next(iter(options))} = "):
        parse(Config, options, "data.options")


@pytest.mark.parametrize("check", layout_contract.CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_contract_of_layouts(leaves: Path, check) -> None:
    check(layout_contract.Example(class_folders, leaves, Config(), OPTIONS))
