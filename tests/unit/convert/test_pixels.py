"""Images to channels and back, and a task's normalisation as a factor and an offset."""

from __future__ import annotations

import numpy as np
import torch

from edgekd.convert.pixels import Normalize, channels_from_image, image_from_channels, per_channel

IMAGE = np.random.default_rng(0).integers(0, 256, (1, 4, 6, 3), dtype=np.uint8)


def test_channels_are_the_images_values() -> None:
    found = channels_from_image(torch.from_numpy(IMAGE))
    assert (found.dtype, tuple(found.shape)) == (torch.float32, (1, 3, 4, 6))
    np.testing.assert_array_equal(found.numpy(), IMAGE.transpose(0, 3, 1, 2))


def test_an_image_comes_back_from_its_channels() -> None:
    found = image_from_channels(channels_from_image(torch.from_numpy(IMAGE)) / 255)
    assert found.dtype == torch.uint8
    np.testing.assert_array_equal(found.numpy(), IMAGE)


def test_per_channel_values_broadcast_over_channels() -> None:
    found = torch.ones(1, 3, 2, 2) * per_channel(np.array([1.0, 2.0, 3.0]))
    assert found[0, :, 1, 1].tolist() == [1.0, 2.0, 3.0]


def test_normalize_finds_each_channels_factor_and_offset() -> None:
    factor, offset = np.array([0.5, -2.0, 0.01]), np.array([-1.0, 300.0, 0.0])

    def preprocess(image, options):
        return ((image * factor + offset) * options["times"]).transpose(2, 0, 1).astype(np.float32)

    module = Normalize(preprocess, {"times": 3})
    np.testing.assert_allclose(module.factor.flatten().numpy(), 3 * factor, rtol=1e-6)
    np.testing.assert_allclose(module.offset.flatten().numpy(), 3 * offset, atol=1e-6)
    found = module(torch.from_numpy(IMAGE))[0].numpy()
    np.testing.assert_allclose(found, preprocess(IMAGE[0], {"times": 3}), rtol=1e-5, atol=1e-4)


def test_normalize_is_no_part_of_a_state_dict() -> None:
    module = Normalize(lambda image, options: image.transpose(2, 0, 1).astype(np.float32), {})
    assert module.state_dict() == {}
