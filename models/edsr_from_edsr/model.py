"""EDSR: residual blocks without batch norm, and pixel shuffle. Teacher 256 channels x 32 blocks, student 64 x 32.

Source: B. Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPR workshops 2017,
arXiv 1707.02921; the student's size is that of S. Li et al., arXiv 2404.02573 (inferred). State-dict keys are
BasicSR's (``conv_first``, ``body.N.conv1``, ``conv_after_body``, ``upsample.N``, ``conv_last``), so that its published
checkpoints of the same sizes load.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekd.networks.pixel_shuffle import PixelShuffleNet


class ResidualBlock(nn.Module):
    """Convolution, ReLU, convolution, scaled by ``res_scale``, plus the input."""

    def __init__(self, channels: int, res_scale: float) -> None:
        super().__init__()
        self.res_scale = res_scale
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        residual: Tensor = self.conv2(torch.relu(self.conv1(x)))
        return x + (residual if self.res_scale == 1.0 else residual * self.res_scale)


def _edsr(channels: int, blocks: int, scale: int, res_scale: float, pixel_range: float) -> nn.Module:
    def body() -> nn.Module:
        return nn.Sequential(*(ResidualBlock(channels, res_scale) for _ in range(blocks)))

    return PixelShuffleNet(channels, body, scale, pixel_range)


def teacher(
    channels: int = 256, blocks: int = 32, scale: int = 2, res_scale: float = 0.1, pixel_range: float = 255.0
) -> nn.Module:
    """EDSR, 256 channels x 32 blocks: 40.7 M parameters at x2.

    Args:
        channels: Of each feature.
        blocks: Residual blocks.
        scale: 2, 3 or 4.
        res_scale: Factor of each residual.
        pixel_range: Pixels inside the network are 0..``pixel_range``; 255 is BasicSR's.
    """
    return _edsr(channels, blocks, scale, res_scale, pixel_range)


def student(
    channels: int = 64, blocks: int = 32, scale: int = 2, res_scale: float = 1.0, pixel_range: float = 255.0
) -> nn.Module:
    """EDSR, 64 channels x 32 blocks: 2.55 M parameters at x2. Arguments as ``teacher``'s."""
    return _edsr(channels, blocks, scale, res_scale, pixel_range)
