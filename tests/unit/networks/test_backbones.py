"""ResNet, MobileNetV2 and the DeepLabV3+ heads: strides, widths, dilation and sizes of features."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekd.networks.deeplabv3plus import ASPP, RATES, Decoder, DeepLabV3Plus
from edgekd.networks.mobilenetv2 import InvertedResidual, MobileNetV2
from edgekd.networks.resnet import ResNet


def _backbone(kind: str, width: int) -> ResNet | MobileNetV2:
    return MobileNetV2(width) if kind == "mobilenetv2" else ResNet(int(kind.removeprefix("resnet")), width)


@pytest.mark.parametrize("kind", ["resnet18", "resnet101", "mobilenetv2"])
@pytest.mark.parametrize("width", [8, 64])
def test_features_have_output_strides_4_and_16(kind: str, width: int) -> None:
    with torch.device("meta"):
        backbone = _backbone(kind, width)
        low, deep = backbone(torch.empty(2, 3, 96, 64))
    assert low.shape == (2, backbone.channels_low, 24, 16)
    assert deep.shape == (2, backbone.channels_deep, 6, 4)


@pytest.mark.parametrize("kind", ["resnet18", "resnet101", "mobilenetv2"])
def test_the_last_stage_is_dilated_instead_of_strided(kind: str) -> None:
    with torch.device("meta"):
        convolutions = [module for module in _backbone(kind, 8).modules() if isinstance(module, nn.Conv2d)]
    dilations = {module.dilation for module in convolutions}
    assert dilations == {(1, 1), (2, 2)}
    assert all(module.stride == (1, 1) for module in convolutions if module.dilation == (2, 2))
    assert all(module.padding == (2, 2) for module in convolutions if module.dilation == (2, 2))


@pytest.mark.parametrize(("kind", "is_negative"), [("resnet18", True), ("mobilenetv2", True)])
def test_the_deep_feature_is_not_activated(kind: str, is_negative: bool) -> None:
    torch.manual_seed(0)
    backbone = _backbone(kind, 8).eval()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)  # some start at 0
    with torch.no_grad():
        _, deep = backbone(torch.randn(1, 3, 64, 64))
    assert bool((deep < 0).any()) == is_negative


def test_residual_branches_start_at_zero() -> None:
    block = ResNet(18, 8).get_submodule("layer2.1").eval()
    x = torch.randn(1, 16, 5, 5).relu()
    with torch.no_grad():
        torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize(("stride", "channels", "has_shortcut"), [(1, 8, True), (2, 8, False), (1, 16, False)])
def test_an_inverted_residual_adds_its_input_where_shapes_agree(stride: int, channels: int, has_shortcut: bool) -> None:
    block = InvertedResidual(8, channels, 6, stride, 1).eval()
    nn.init.zeros_(block.conv[-1].weight)  # the branch is 0
    x = torch.randn(1, 8, 6, 6)
    with torch.no_grad():
        found = block(x)
    assert found.shape == (1, channels, 6 // stride, 6 // stride)
    torch.testing.assert_close(found, x if has_shortcut else torch.zeros_like(found))


@pytest.mark.parametrize(("width", "channels"), [(64, (24, 320)), (32, (16, 160)), (16, (8, 80)), (1, (8, 8))])
def test_mobilenet_widths_round_to_multiples_of_8(width: int, channels: tuple[int, int]) -> None:
    with torch.device("meta"):
        backbone = MobileNetV2(width)
    assert (backbone.channels_low, backbone.channels_deep) == channels


def test_aspp_has_a_branch_per_rate_and_one_for_the_whole_image() -> None:
    aspp = ASPP(6, 4).eval()
    dilations = [branch[0].dilation[0] for branch in aspp.branches]  # type: ignore[index,union-attr]
    assert dilations == [1, *RATES]
    x = torch.randn(1, 6, 9, 7)
    other = x.clone()
    other[..., -1, -1] += 5
    with torch.no_grad():
        assert aspp(x).shape == (1, 4, 9, 7)
        # The far corner is outside of every other branch of pixel (0, 0), but not of the mean.
        assert not torch.allclose(
            aspp.pooled(x.mean(dim=(2, 3), keepdim=True)), aspp.pooled(other.mean(dim=(2, 3), keepdim=True))
        )


def test_the_decoder_works_at_the_size_of_the_low_level_feature() -> None:
    decoder = Decoder(channels_low=5, channels_skip=3, channels=4).eval()
    with torch.no_grad():
        assert decoder(torch.randn(2, 4, 3, 2), torch.randn(2, 5, 11, 7)).shape == (2, 4, 11, 7)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (16, 64)])
def test_logits_have_the_images_own_size(size: tuple[int, int]) -> None:
    network = DeepLabV3Plus(ResNet(18, 8), classes=5, width=8).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 3, *size)).shape == (1, 5, *size)
