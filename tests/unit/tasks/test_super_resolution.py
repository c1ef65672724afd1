"""Super-resolution's arithmetic against MATLAB's published weights, PIL and scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from edgekd.core.errors import InputError
from edgekd.tasks import super_resolution as task
from tests.contract import task_contract

# Rows of MATLAB's imresize(..., 'bicubic'): enlarging by 2 (phases 1/4 and 3/4), and halving with antialiasing.
UP = np.array([-0.0234375, 0.2265625, 0.8671875, -0.0703125])
DOWN = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
OPTIONS = {"scale": 2}


def picture(height=40, width=56, seed=0):
    return np.random.default_rng(seed).random((height, width, 3))


def resize(column, size):
    """Resize a (N,) vector along the first axis."""
    return task.resize_bicubic(np.asarray(column, np.float64)[:, None, None], size, 1)[:, 0, 0]


@pytest.mark.parametrize("at", range(2, 6))
def test_weights_are_matlabs_when_enlarging(at):
    impulse = np.eye(8)[at]
    found = resize(impulse, 16)
    expected = np.concatenate([UP[::-1], UP]).reshape(2, 4).T  # one input touches output phases alternately
    np.testing.assert_allclose(np.sort(found[found != 0]), np.sort(expected.ravel()), atol=1e-12)
    np.testing.assert_allclose(found[2 * at : 2 * at + 2], [UP[2], UP[2]], atol=1e-12)


def test_weights_are_matlabs_when_halving():
    responses = np.array([resize(row, 12) for row in np.eye(24)])
    np.testing.assert_allclose(responses[9:17, 6], DOWN, atol=1e-12)
    assert np.count_nonzero(np.abs(responses[:, 6]) > 1e-12) == 8


def test_borders_are_mirrored():
    column = np.random.default_rng(1).random(10)
    mirrored = np.concatenate([column[::-1], column, column[::-1]])
    np.testing.assert_allclose(resize(column, 20), resize(mirrored, 60)[20:40], atol=1e-12)
    np.testing.assert_allclose(resize(column, 5), resize(mirrored, 15)[5:10], atol=1e-12)


@pytest.mark.parametrize("size", [(20, 28), (80, 112), (40, 56), (13, 90), (1, 1)])
def test_weights_sum_to_one(size):
    np.testing.assert_allclose(task.resize_bicubic(np.full((40, 56, 3), 0.7), *size), 0.7, atol=1e-12)


def test_the_same_size_is_the_same_picture():
    image = picture()
    np.testing.assert_allclose(task.resize_bicubic(image, 40, 56), image, atol=1e-12)


def test_a_ramp_stays_a_ramp_inside():
    found = resize(np.arange(32.0), 64)[8:-8]
    np.testing.assert_allclose(np.diff(found), 0.5, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(20, 28), (80, 112), (30, 37)])
def test_inside_it_agrees_with_pil(height, width):
    image = picture()
    bands = [Image.fromarray(image[..., i].astype(np.float32)) for i in range(3)]
    expected = np.stack([np.asarray(b.resize((width, height), Image.Resampling.BICUBIC)) for b in bands], axis=2)
    found = task.resize_bicubic(image, height, width)
    inside = (slice(6, -6), slice(6, -6))
    np.testing.assert_allclose(found[inside], expected[inside], atol=2e-5)


def test_psnr_is_scikit_images_and_finite_for_equal_pictures():
    a, b = picture() * 255, picture(seed=1) * 255
    assert task.psnr(a, b, 255.0) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255))
    assert task.psnr(a, a + 1, 255.0) == pytest.approx(20 * math.log10(255))
    assert task.psnr(a, a, 255.0) == 100.0


@pytest.mark.parametrize("spread", [1.0, 20.0, 200.0])
def test_ssim_is_scikit_images_on_valid_positions(spread):
    a = picture()[..., 0] * 255
    b = np.clip(a + np.random.default_rng(2).normal(0, spread, a.shape), 0, 255)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255, "full": True}
    _, whole = structural_similarity(a, b, **settings)
    assert task.ssim(a, b) == pytest.approx(whole[5:-5, 5:-5].mean(), abs=1e-9)
    assert task.ssim(a, a) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("rgb", "y"),
    [((0, 0, 0), 16.0), ((255, 255, 255), 235.0), ((255, 0, 0), 81.481), ((0, 255, 0), 144.553), ((0, 0, 255), 40.966)],
)
def test_luma_is_bt601s(rgb, y):
    assert task.luma(np.array([[rgb]], np.float64))[0, 0] == pytest.approx(y)


def test_rounding_is_half_up_and_clipped():
    values = np.array([-1.0, 0.5 / 255, 1.49 / 255, 1.5 / 255, 1.0, 2.0])
    assert task.to_uint8(values).tolist() == [0, 1, 1, 2, 255, 255]


def imresize_at(image, scale, y, x):
    """One LR pixel by the definition: Keys' kernel stretched by ``scale`` around its centre, borders mirrored."""

    def kernel(distance):
        d = abs(distance)
        return 1.5 * d**3 - 2.5 * d**2 + 1 if d <= 1 else -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0.0

    def line(values, centre):
        total = weights = 0.0
        for place in range(math.floor(centre - 2 * scale), math.ceil(centre + 2 * scale) + 1):
            weight = kernel((place - centre) / scale)
            inside = -1 - place if place < 0 else 2 * len(values) - 1 - place if place >= len(values) else place
            total, weights = total + weight * values[inside], weights + weight
        return total / weights

    centre_y, centre_x = ((at + 0.5) * scale - 0.5 for at in (y, x))
    columns = [line(list(image[:, column]), centre_y) for column in range(image.shape[1])]
    return line(columns, centre_x)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shrinking_is_antialiased_imresize_pixel_by_pixel(scale):
    image = picture(6 * scale, 8 * scale)
    found = task.resize_bicubic(image, 6, 8)
    for y, x in ((0, 0), (0, 7), (5, 0), (5, 7), (2, 3), (3, 5)):
        for channel in range(3):
            assert found[y, x, channel] == pytest.approx(imresize_at(image[..., channel], scale, y, x), abs=1e-12)


def test_degrading_rounds_between_the_axes_and_halves_up_as_matlab_does_with_uint8():
    # 128 * 111/256 = 55.5 and 128 * 29/256 = 14.5 become 56 and 15 on the way down the rows. Rounded at the end alone,
    # the 7 would be 6; columns first, 6 and 7 would change places.
    image = np.zeros((16, 16, 3), np.uint8)
    image[7, 7] = 128
    low, _ = task.degrade(image, OPTIONS)
    assert low[3:5, 3:5, 0].tolist() == [[24, 6], [7, 2]]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_fit_cuts_the_same_middle_out_of_both(scale):
    target = task.to_uint8(picture(9 * scale, 12 * scale))
    image = np.ascontiguousarray(target[::scale, ::scale])
    cut, cut_target = task.fit(image, target, (4, 6), {"scale": scale})
    np.testing.assert_array_equal(cut, image[2:6, 3:9])
    np.testing.assert_array_equal(cut_target, target[2 * scale : 6 * scale, 3 * scale : 9 * scale])
    assert task.fit(image, None, (4, 6), {"scale": scale})[1] is None
    whole = task.fit(image, target, None, {"scale": scale})
    assert whole[0] is image
    assert whole[1] is target


def test_fit_refuses_what_does_not_fit():
    image = np.zeros((8, 12, 3), np.uint8)
    with pytest.raises(InputError, match=r"input of 12x8, the network takes 12x9"):
        task.fit(image, None, (9, 12), OPTIONS)
    with pytest.raises(InputError, match=r"12x8 has a target of 24x18; task\.scale = 2"):
        task.fit(image, np.zeros((18, 24, 3), np.uint8), None, OPTIONS)
    for scale in (None, 1, 2.0, True):
        with pytest.raises(InputError, match=r"task\.scale"):
            task.fit(image, None, None, {"scale": scale})


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_degrading_crops_to_a_multiple_and_shrinks(scale):
    image = task.to_uint8(picture(50, 67))
    low, target = task.degrade(image, {"scale": scale})
    assert target.shape == (50 - 50 % scale, 67 - 67 % scale, 3)
    assert low.shape == (50 // scale, 67 // scale, 3)
    np.testing.assert_array_equal(target, image[: target.shape[0], : target.shape[1]])
    assert task.baseline(low, {"scale": scale}).shape == target.shape


def test_preprocess_and_postprocess_are_inverse_and_clipped():
    image = task.to_uint8(picture())
    feed = task.preprocess(image, OPTIONS)
    assert (feed.shape, feed.dtype.name, feed.flags["C_CONTIGUOUS"]) == ((3, 40, 56), "float32", True)
    np.testing.assert_array_equal(task.picture(task.postprocess(feed, OPTIONS)), image)
    assert task.postprocess(np.array([[[-0.5]], [[0.25]], [[1.5]]]), OPTIONS).tolist() == [[[0.0, 0.25, 1.0]]]


def test_the_metric_ignores_the_border_and_rounds_as_a_saved_image():
    target = task.to_uint8(picture())
    output = target / 255
    output[:2], output[-2:], output[:, :2], output[:, -2:] = 0, 1, 0, 1
    assert task.metric(output + 0.4 / 255, target, OPTIONS) == {"psnr_y_db": 100.0, "ssim_y": 1.0, "psnr_rgb_db": 100.0}
    output[2, 2] = 1 - output[2, 2]
    assert task.metric(output, target, OPTIONS)["psnr_rgb_db"] < 100


def _contract_example() -> task_contract.Example:
    image, target = task.degrade(task_contract.photo(), OPTIONS)
    return task_contract.Example(
        task,
        OPTIONS,
        ("scale", 1.5),
        image,
        target,
        wrong_target=task_contract.photo(1),
        network_output=lambda fitted: fitted.transpose(2, 0, 1) / np.float32(255),
    )


@pytest.mark.parametrize("check", task_contract.CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_contract_of_tasks(check):
    check(_contract_example())
