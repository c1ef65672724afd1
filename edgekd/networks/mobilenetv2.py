"""MobileNetV2 as a dense feature extractor: output stride 16, up to its last linear bottleneck.

Source: M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, arXiv 1801.04381,
table 2. State-dict keys are torchvision's (``features.0`` to ``features.17``), so that its ImageNet weights load; its
``features.18``, a 1x1 convolution to 1280 channels for classification, is left out.
Differs from the paper: the stage of 160 channels has stride 1 instead of 2; it and the next one have dilation 2.
"""

from __future__ import annotations

from torch import Tensor, nn

# Expansion, channels, blocks, stride, dilation.
_STAGES = ((1, 16, 1, 1, 1), (6, 24, 2, 2, 1), (6, 32, 3, 2, 1), (6, 64, 4, 2, 1), (6, 96, 3, 1, 1))
_DILATED_STAGES = ((6, 160, 3, 1, 2), (6, 320, 1, 1, 2))
_STEM = 32
_LOW = 4  # features.0 to features.3 end at a quarter of the image's size
_DIVISOR = 8  # of every number of channels, as in torchvision


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, 1x1 projection without activation; the input is added where the shapes agree."""

    def __init__(self, channels_in: int, channels: int, expansion: int, stride: int, dilation: int) -> None:
        super().__init__()
        hidden = channels_in * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_norm_relu6(nn.Conv2d(channels_in, hidden, 1, bias=False)))
        depthwise = nn.Conv2d(hidden, hidden, 3, stride, dilation, dilation, groups=hidden, bias=False)
        layers += [_norm_relu6(depthwise), nn.Conv2d(hidden, channels, 1, bias=False), nn.BatchNorm2d(channels)]
        self.conv = nn.Sequential(*layers)
        self.has_shortcut = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', H / stride, W / stride)."""
        projected: Tensor = self.conv(x)
        return x + projected if self.has_shortcut else projected


class MobileNetV2(nn.Module):
    """``width`` is in 64ths: 64 is the paper's network, 32 its width multiplier 0.5.

    Attributes:
        channels_low, channels_deep: Of the two features that ``forward`` returns.
        ends_linear: Whether the deep feature is meant to be used without an activation.
    """

    ends_linear = True

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        channels_in = _scaled_channels(_STEM, width)
        features: list[nn.Module] = [_norm_relu6(nn.Conv2d(3, channels_in, 3, 2, 1, bias=False))]
        self.channels_low = _scaled_channels(24, width)
        for expansion, full_channels, count, stage_stride, dilation in (*_STAGES, *_DILATED_STAGES):
            channels = _scaled_channels(full_channels, width)
            for index in range(count):
                stride = stage_stride if index == 0 else 1
                features.append(InvertedResidual(channels_in, channels, expansion, stride, dilation))
                channels_in = channels
        self.channels_deep = channels_in
        self.features = nn.Sequential(*features)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) → low (N, C, H/4, W/4), deep (N, C', H/16, W/16), both linear bottlenecks."""
        low: Tensor = self.features[:_LOW](x)
        deep: Tensor = self.features[_LOW:](low)
        return low, deep


def _norm_relu6(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU6())


def _scaled_channels(channels: int, width: int) -> int:
    """Scale by ``width`` / 64 and round to a multiple of 8, at least 8 and never below 90 %, as torchvision does."""
    exact = channels * width / 64
    rounded = max(_DIVISOR, int(exact + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return rounded + _DIVISOR if rounded < 0.9 * exact else rounded
