"""Dehazing: the haze map against its definition, restoration of a synthetic haze, metrics, sizes, options."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.core.errors import InputError
from edgekd.tasks import dehazing
from tests.contract import task_contract

SMALL = {"size": 32, "window": 3, "box": 8}


def _noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def _neighbours(length: int, at: int, window: int) -> range:
    """Positions of OpenCV's window of this side around ``at``, its anchor in the middle or one past it."""
    return range(at - window // 2, at - window // 2 + window)


def _mirrored(at: int, length: int) -> int:
    at = abs(at)
    return at if at < length else 2 * (length - 1) - at


@pytest.mark.parametrize("window", [1, 2, 3, 4, 7, 15])
def test_sliding_min_is_the_minimum_of_the_window(window: int) -> None:
    plane = np.random.default_rng(1).random((9, 11))
    found = dehazing.sliding_min(dehazing.sliding_min(plane, window, 0), window, 1)
    for y, x in ((0, 0), (4, 5), (8, 10), (8, 0)):
        rows = [i for i in _neighbours(9, y, window) if 0 <= i < 9]
        columns = [j for j in _neighbours(11, x, window) if 0 <= j < 11]
        assert found[y, x] == plane[np.ix_(rows, columns)].min()


@pytest.mark.parametrize("box", [1, 2, 3, 6])
def test_box_mean_mirrors_without_repeating_the_border(box: int) -> None:
    plane = np.random.default_rng(2).random((7, 9))
    found = dehazing.box_mean(plane, box)
    for y, x in ((0, 0), (3, 4), (6, 8), (0, 8)):
        rows = [_mirrored(i, 7) for i in _neighbours(7, y, box)]
        columns = [_mirrored(j, 9) for j in _neighbours(9, x, box)]
        assert found[y, x] == pytest.approx(plane[np.ix_(rows, columns)].mean(), abs=1e-12)


def test_a_box_wider_than_the_picture_is_still_its_mirrored_mean() -> None:
    np.testing.assert_allclose(dehazing.box_mean(np.full((16, 16), 0.25), 60), 0.25)


def test_dark_channel_is_the_minimum_channel_of_the_neighbourhood() -> None:
    picture = np.full((5, 5, 3), 0.8)
    picture[2, 2, 1] = 0.1
    dark = dehazing.dark_channel(picture, 3)
    assert (dark[1:4, 1:4] == 0.1).all()
    assert dark[0, 0] == dark[4, 2] == 0.8


def test_airlight_leaves_out_the_darkest_of_the_brightest_pixels_but_counts_it() -> None:
    dark = np.zeros((50, 60))  # 3000 pixels: the brightest three
    dark.flat[[10, 20, 30]] = 0.5, 0.9, 0.7
    scaled = np.zeros((50, 60, 3))
    scaled.reshape(-1, 3)[[10, 20, 30]] = [[1, 1, 1], [0.6, 0.3, 0.9], [0.3, 0.3, 0.3]]
    np.testing.assert_allclose(dehazing.airlight_of(scaled, dark), [0.9 / 3, 0.6 / 3, 1.2 / 3])


def test_airlight_of_a_picture_too_small_for_a_thousandth_is_its_one_brightest_pixel() -> None:
    scaled = np.full((4, 4, 3), 0.2)
    scaled[1, 2] = 0.7
    np.testing.assert_allclose(dehazing.airlight_of(scaled, scaled.min(axis=2)), 0.7)


def test_guided_filter_keeps_an_edge_of_its_guide_and_smooths_where_it_is_flat() -> None:
    guide = np.zeros((32, 32))
    guide[:, 16:] = 1
    rough = 0.2 + 0.5 * guide + np.random.default_rng(3).normal(0, 0.02, guide.shape)
    smooth = dehazing.guided_filter(guide, rough, 9)
    assert np.abs(smooth - (0.2 + 0.5 * guide)).max() < 0.03
    assert (smooth - (0.2 + 0.5 * guide)).std() < 0.4 * 0.02


def test_guided_filter_follows_its_equations_at_one_pixel() -> None:
    rng = np.random.default_rng(4)
    guide, rough = rng.random((3, 3)), rng.random((3, 3))
    # A box of 1 has no variance, so a = 0 and q is the rough input.
    np.testing.assert_allclose(dehazing.guided_filter(guide, rough, 1), rough)
    mean = dehazing.box_mean
    a = (mean(guide * rough, 3) - mean(guide, 3) * mean(rough, 3)) / (mean(guide**2, 3) - mean(guide, 3) ** 2 + 1e-4)
    b = mean(rough, 3) - a * mean(guide, 3)
    wanted = mean(a, 3)[1, 1] * guide[1, 1] + mean(b, 3)[1, 1]
    assert dehazing.guided_filter(guide, rough, 3)[1, 1] == pytest.approx(wanted)


def test_even_haze_over_black_gives_the_transmission_of_its_definition() -> None:
    # I / A is 1 / (15/16), since one of the sixteen brightest pixels is left out; t = 1 - 0.95 of it, not clipped.
    picture = np.full((128, 128, 3), 200, np.uint8)
    found = dehazing.transmission(picture, {"size": 128})
    np.testing.assert_allclose(found, 1 - 0.95 * 16 / 15, atol=1e-6)
    assert found.dtype == np.float32


def test_black_picture_is_all_transmission() -> None:
    np.testing.assert_allclose(dehazing.transmission(np.zeros((32, 32, 3), np.uint8), SMALL), 1)


def test_preprocess_gives_rgb_and_haze_map_as_the_network_takes_them() -> None:
    picture = _noise(32, 48, 3)
    found = dehazing.preprocess(picture, SMALL)
    assert found.shape == (4, 32, 48)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:3], (picture.transpose(2, 0, 1) - 127.5) / 127.5, atol=1e-6)
    np.testing.assert_allclose(found[3], 2 * (dehazing.transmission(picture, SMALL) - 0.5), atol=1e-6)
    assert dehazing.postprocess(found[:3], SMALL).shape == (32, 48, 3)
    np.testing.assert_array_equal(dehazing.picture(dehazing.postprocess(found[:3], SMALL), SMALL), picture)


def test_postprocess_clips() -> None:
    found = dehazing.postprocess(np.array([-3.0, 0.0, 3.0]).reshape(3, 1, 1), SMALL)
    np.testing.assert_array_equal(found, [[[0, 0.5, 1]]])


def test_sides_that_do_not_divide_are_refused_with_their_size() -> None:
    with pytest.raises(InputError, match=r"33x32 pixels; multiples of 16"):
        dehazing.preprocess(_noise(32, 33, 3), SMALL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 100}, r"task\.size = 100; a multiple of 16.*give 96 or 112"),
        ({"size": 8}, r"task\.size = 8; .*give 16 or 16"),
        ({"size": 0}, r"task\.size = 0"),
        ({"size": 128.0}, r"task\.size = 128\.0"),
        ({"window": True}, r"task\.window = True"),
        ({"box": -1}, r"task\.box = -1"),
        ({"score": "all"}, r"task\.score = 'all'; one of picture, network"),
        ({"windows": 3}, r"unknown key task\.windows \(did you mean 'window'\?\)"),
    ],
)
def test_invalid_options_are_refused_by_name(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        dehazing.options_of(options)


def test_the_papers_values_are_the_defaults() -> None:
    assert dehazing.options_of({}) == dehazing.Options(size=512, window=15, box=60, score="picture")


@pytest.mark.parametrize(
    ("size", "score", "image_shape", "target_shape"),
    [
        (None, "picture", (32, 32), (40, 60)),
        (None, "network", (32, 32), (32, 32)),
        ((48, 64), "picture", (48, 64), (48, 64)),
    ],
)
def test_fit_resizes_image_and_target(size, score: str, image_shape: tuple, target_shape: tuple) -> None:
    image, target = dehazing.fit(_noise(40, 60, 3), _noise(40, 60, 3, seed=1), size, {**SMALL, "score": score})
    assert target is not None
    assert image.shape[:2] == image_shape
    assert target.shape[:2] == target_shape
    assert dehazing.fit(image, None, None, SMALL)[1] is None


def test_metric_enlarges_an_output_to_its_target() -> None:
    target = np.tile(np.linspace(20, 220, 64).astype(np.uint8)[:, None, None], (1, 64, 3))
    small, _ = dehazing.fit(target, None, None, SMALL)
    scores = dehazing.metric(small / 255.0, target, SMALL)
    assert set(scores) == set(dehazing.METRICS)
    assert scores["psnr_rgb_db"] > 40


def test_psnr_and_ssim_of_known_pictures() -> None:
    target = _noise(16, 16, 3) // 2
    same = dehazing.metric(target / 255.0, target, SMALL)
    assert same == {"psnr_rgb_db": 100.0, "ssim": pytest.approx(1.0)}
    off = dehazing.metric((target + 5) / 255.0, target, SMALL)
    assert off["psnr_rgb_db"] == pytest.approx(10 * np.log10(255**2 / 25))
    # Two flat planes: only the means count, SSIM = (2ab + c1) / (a² + b² + c1).
    flat = dehazing.ssim(np.full((9, 9), 100.0), np.full((9, 9), 150.0))
    assert flat == pytest.approx((2 * 100 * 150 + 6.5025) / (100**2 + 150**2 + 6.5025))


def test_ssim_is_scikit_images() -> None:
    reference = pytest.importorskip("skimage.metrics")
    a, b = (np.random.default_rng(seed).random((24, 30)) * 255 for seed in (5, 6))
    wanted = reference.structural_similarity(a, b, data_range=255.0)
    assert dehazing.ssim(a, b) == pytest.approx(wanted, abs=1e-9)


def test_dark_channel_prior_removes_haze() -> None:
    # A scene with a dark pixel in each neighbourhood, under uniform white haze, and a patch of haze alone.
    scene = np.random.default_rng(7).random((64, 64, 3)) ** 3
    scene[::3, ::3] = 0
    scene[:12, :12] = 1
    hazy = np.rint(255 * (scene * 0.5 + 0.5)).astype(np.uint8)
    options = {"size": 64, "window": 5, "box": 16}
    found = dehazing.baselines(hazy, options)
    assert list(found) == ["hazy input", "dark channel prior"]
    np.testing.assert_array_equal(found[dehazing.BASELINE], dehazing.baseline(hazy, options))
    target = np.rint(scene * 255).astype(np.uint8)
    scores = {name: dehazing.metric(picture, target, options)["psnr_rgb_db"] for name, picture in found.items()}
    assert scores["dark channel prior"] > scores["hazy input"] + 6


def _contract_example() -> task_contract.Example:
    clear = task_contract.photo(1)
    return task_contract.Example(
        dehazing,
        SMALL,
        ("size", -4),
        image=clear // 2 + 100,
        target=clear,
        wrong_target=task_contract.photo(2),
        network_output=dehazing.signed,
    )


@pytest.mark.parametrize("check", task_contract.CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_contract_of_tasks(check) -> None:
    check(_contract_example())
