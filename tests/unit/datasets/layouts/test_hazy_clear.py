"""Hazy and clear images: names of scenes, what is held out, the twelve samples of a pair, invalid input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd.core.errors import InputError, RecipeError
from edgekd.core.schema import parse
from edgekd.datasets.layouts import hazy_clear
from edgekd.tasks import dehazing
from tests.contract import layout_contract

OPTIONS = {"size": 32, "window": 3, "box": 8}


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def _scene(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three scenes with two hazes each; haze halves the light, so that a test can tell which clear image belongs."""
    for scene in (2, 9, 10):
        clear = _scene(scene, 40, 48, 3)
        _save(tmp_path / "gt" / f"{scene}.png", clear)
        for level in (1, 2):
            _save(tmp_path / "hazy" / f"{scene}_{level}.png", clear // 2 + 100)
    return tmp_path


def test_last_scenes_by_number_are_held_out_and_come_unresized(folder: Path) -> None:
    config = hazy_clear.Config(validation=1)
    items = list(hazy_clear.validation([folder], config, OPTIONS))
    assert [item.name for item in items] == ["10_1", "10_2"]
    assert items[0].image.shape == items[0].target.shape == (40, 48, 3)
    np.testing.assert_array_equal(items[0].image, items[0].target // 2 + 100)
    training = hazy_clear.Training([folder], config, OPTIONS, seed=0)
    assert [pair.hazy.stem for pair in training.pairs] == ["2_1", "2_2", "9_1", "9_2"]


def test_published_names_of_o_haze_find_their_partner(tmp_path: Path) -> None:
    for scene in ("01", "02"):
        _save(tmp_path / "hazy" / f"{scene}_outdoor_hazy.jpg", _scene(0, 32, 32, 3))
        _save(tmp_path / "GT" / f"{scene}_outdoor_GT.jpg", _scene(0, 32, 32, 3))
    config = hazy_clear.Config(clear="GT", validation=1)
    assert [item.name for item in hazy_clear.validation([tmp_path], config, OPTIONS)] == ["02_outdoor_hazy"]


def test_named_folders_are_held_out_beside_all_scenes(folder: Path) -> None:
    for part in ("hazy", "gt"):
        (folder / "test" / part).mkdir(parents=True)
    _save(folder / "test" / "hazy" / "7_1.png", _scene(0, 32, 32, 3))
    _save(folder / "test" / "gt" / "7.png", _scene(0, 32, 32, 3))
    config = parse(hazy_clear.Config, {"validation": ["test"]}, "data.options")
    assert [item.name for item in hazy_clear.validation([folder], config, OPTIONS)] == ["7_1"]
    assert len(hazy_clear.Training([folder], config, OPTIONS, seed=0).pairs) == 6


def test_an_epoch_is_a_permutation_of_twelve_samples_per_pair(folder: Path) -> None:
    training = hazy_clear.Training([folder], hazy_clear.Config(validation=1), OPTIONS, seed=0)
    assert len(training) == 4 * 12
    counts: dict[bytes, int] = {}
    for index in range(2 * len(training)):
        given, clear = training[index]
        assert given.shape == (4, 32, 32)
        assert clear.shape == (3, 32, 32)
        assert given.dtype == clear.dtype == np.float32
        key = given.tobytes()
        counts[key] = counts.get(key, 0) + 1
    # Whole images and their mirrors come again in the second epoch, with two equal hazes here; crops are drawn anew.
    most_frequent = sorted(counts.values(), reverse=True)
    assert most_frequent[:4] == [4] * 4
    assert max(most_frequent[4:]) <= 2


def test_a_sample_is_a_function_of_seed_and_index(folder: Path) -> None:
    config = hazy_clear.Config(validation=1)
    one, again = (hazy_clear.Training([folder], config, OPTIONS, seed=5) for _ in range(2))
    for index in (90, 3, 47, 3):
        np.testing.assert_array_equal(one[index][0], again[index][0])
    other = hazy_clear.Training([folder], config, OPTIONS, seed=6)
    assert any(not np.array_equal(one[i][0], other[i][0]) for i in range(6))


def test_whole_sample_is_the_tasks_own_preprocessing(folder: Path) -> None:
    config = hazy_clear.Config(validation=1, crops=(), mirror=False)
    training = hazy_clear.Training([folder], config, OPTIONS, seed=0)
    assert len(training) == 4
    wanted = []
    for pair in training.pairs:
        image, target = dehazing.fit(*pair.read(), (32, 32), OPTIONS)
        wanted.append((dehazing.preprocess(image, OPTIONS), dehazing.signed(target)))
    for index in range(4):
        given, clear = training[index]
        assert any(np.array_equal(given, g) and np.array_equal(clear, c) for g, c in wanted)


def test_crops_and_their_haze_map_are_cut_at_one_place(tmp_path: Path) -> None:
    # The clear image is a ramp, so that a crop shows where it was cut.
    ramp = np.tile(np.linspace(0, 255, 32).astype(np.uint8)[None, :, None], (32, 1, 3))
    for scene in (1, 2):
        _save(tmp_path / "gt" / f"{scene}.png", ramp)
        _save(tmp_path / "hazy" / f"{scene}_1.png", ramp)
    config = hazy_clear.Config(validation=1, crops=(0.5,))
    training = hazy_clear.Training([tmp_path], config, OPTIONS, seed=0)
    whole = dehazing.preprocess(ramp, OPTIONS)
    spans = set()
    for index in range(40):
        given, clear = training[index]
        np.testing.assert_allclose(given[:3], clear, atol=1e-6)
        first, last = sorted((float(clear[0, 0, 0]), float(clear[0, 0, -1])))
        spans.add(round(last - first, 1))
        # The haze map depends on the column alone, and so on the ramp's value there: look it up in the whole one.
        wanted = np.interp(given[0, 16], whole[0, 16], whole[3, 16])
        np.testing.assert_allclose(given[3, 16], wanted, atol=0.05)
    assert spans == {2.0, 1.0}


def test_memory_is_bounded(folder: Path) -> None:
    uncached = hazy_clear.Training([folder], hazy_clear.Config(validation=1, memory_mib=0), OPTIONS, seed=0)
    cached = hazy_clear.Training([folder], hazy_clear.Config(validation=1), OPTIONS, seed=0)
    np.testing.assert_array_equal(uncached[7][0], cached[7][0])
    assert not uncached._squares
    assert len(cached._squares) == 1


def test_border_is_cut_from_clear_images(folder: Path) -> None:
    for scene in (2, 9, 10):
        _save(folder / "gt" / f"{scene}.png", np.pad(_scene(scene, 40, 48, 3), ((10, 10), (10, 10), (0, 0))))
    item = next(hazy_clear.validation([folder], hazy_clear.Config(validation=1, border=10), OPTIONS))
    np.testing.assert_array_equal(item.image, item.target // 2 + 100)
    with pytest.raises(InputError, match=r"10_1\.png is 48x40 and .*10\.png, less a border of 0, 68x60; equal sizes"):
        list(hazy_clear.validation([folder], hazy_clear.Config(validation=1), OPTIONS))


def test_hazy_image_without_a_clear_one_is_refused(folder: Path) -> None:
    _save(folder / "hazy" / "11_1.png", _scene(0, 32, 32, 3))
    with pytest.raises(InputError, match=r"11_1\.png has no clear image; .*11\.\*"):
        hazy_clear.Training([folder], hazy_clear.Config(validation=1), OPTIONS, seed=0)


def test_two_clear_images_of_a_scene_are_refused(folder: Path) -> None:
    _save(folder / "gt" / "9_b.png", _scene(0, 32, 32, 3))
    with pytest.raises(InputError, match=r"both the clear image of scene '9'"):
        hazy_clear.Training([folder], hazy_clear.Config(validation=1), OPTIONS, seed=0)


def test_missing_folders_are_named(folder: Path) -> None:
    with pytest.raises(InputError, match=r"GT is not a folder"):
        hazy_clear.Training([folder], hazy_clear.Config(clear="GT"), OPTIONS, seed=0)
    with pytest.raises(InputError, match=r"nowhere is not a folder; one with hazy/ and gt/"):
        hazy_clear.Training([folder / "nowhere"], hazy_clear.Config(), OPTIONS, seed=0)


def test_too_few_scenes_to_hold_some_out_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="has 3 scenes and 3 are to be held out"):
        hazy_clear.Training([folder], hazy_clear.Config(validation=3), OPTIONS, seed=0)


def test_16_bit_images_are_refused_by_name(folder: Path) -> None:
    _save(folder / "hazy" / "10_1.png", np.zeros((40, 48), np.uint16))
    with pytest.raises(InputError, match=r"10_1\.png has 16 bits"):
        list(hazy_clear.validation([folder], hazy_clear.Config(validation=1), OPTIONS))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": 0}, "validation = 0"),
        ({"validation": -2}, "validation = -2"),
        ({"validation": []}, r"validation = \(\)"),
        ({"crops": [0.4, 1.5]}, r"crops = \[0\.4, 1\.5\]"),
        ({"border": -1}, "border = -1"),
    ],
)
def test_invalid_options_are_refused_by_name(options: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse(hazy_clear.Config, options, "data.options")


def test_haze_that_is_drawn_anew_is_a_function_of_seed_and_index(folder: Path) -> None:
    plain, again, first = (
        hazy_clear.Training([folder], hazy_clear.Config(validation=1, rehaze=share), OPTIONS, seed=5)
        for share in (0.0, 1.0, 1.0)
    )
    for index in (0, 30):
        np.testing.assert_array_equal(first[index][0], again[index][0])
        np.testing.assert_array_equal(first[index][1], again[index][1])
        assert np.abs(first[index][0] - plain[index][0]).max() > 0.01
        assert np.isfinite(first[index][0]).all()


def test_share_of_drawn_haze_has_bounds() -> None:
    with pytest.raises(RecipeError, match=r"rehaze = 1\.5; a share from 0 to 1"):
        hazy_clear.Config(rehaze=1.5)


@pytest.mark.parametrize("check", layout_contract.CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_contract_of_layouts(folder: Path, check) -> None:
    check(layout_contract.Example(hazy_clear, folder, hazy_clear.Config(validation=1), OPTIONS))
