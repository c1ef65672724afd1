"""The frame that EDSR and RCAN share."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekd.core.errors import InputError
from edgekd.networks.pixel_shuffle import RGB_MEAN, PixelShuffleNet, upsampler


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_upsampler_enlarges_by_its_scale(scale: int) -> None:
    with torch.no_grad():
        assert upsampler(4, scale)(torch.rand(1, 4, 5, 3)).shape == (1, 4, 5 * scale, 3 * scale)


@pytest.mark.parametrize("scale", [0, 1, 5, 2.5])
def test_other_scales_are_refused(scale: int) -> None:
    with pytest.raises(InputError, match=f"scale = {scale}"):
        upsampler(4, scale)


@pytest.mark.parametrize("pixel_range", [1.0, 255.0])
def test_a_network_without_weights_gives_the_mean_colour(pixel_range: float) -> None:
    network = PixelShuffleNet(4, nn.Identity, 2, pixel_range)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        found = network(torch.rand(1, 3, 4, 4))
    expected = torch.tensor(RGB_MEAN).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    torch.testing.assert_close(found, expected)


def test_the_mean_moves_with_the_module_and_is_not_in_the_checkpoint() -> None:
    network = PixelShuffleNet(4, nn.Identity, 2, 1.0)
    assert "mean" not in network.state_dict()
    assert network.half().mean.dtype == torch.float16


def test_the_body_has_a_shortcut_around_it() -> None:
    torch.manual_seed(0)
    network = PixelShuffleNet(4, nn.Identity, 2, 1.0).eval()
    nn.init.zeros_(network.conv_after_body.weight)
    nn.init.zeros_(network.conv_after_body.bias)  # type: ignore[arg-type]
    x = torch.rand(1, 3, 6, 6)
    with torch.no_grad():
        shallow = network.conv_first(x - network.mean)
        expected = network.conv_last(network.upsample(shallow)) + network.mean
        torch.testing.assert_close(network(x), expected)
