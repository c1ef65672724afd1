"""EDSR: conv, residual blocks without batch norm, conv, pixel shuffle. Teacher 64 channels x 16 blocks, student 32 x 8.

Source: B. Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPR workshops 2017,
arXiv 1707.02921. State-dict keys are BasicSR's (``conv_first``, ``body.N.conv1``, ``conv_after_body``,
``upsample.0``, ``conv_last``), so that its published checkpoints of the same sizes load.
Differs from the paper: images are 0..1 instead of 0..255, and no residual scaling (these networks are small).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Mean colour of DIV2K, 0..1; BasicSR subtracts the same.
RGB_MEAN = (0.4488, 0.4371, 0.4040)


class ResidualBlock(nn.Module):
    """conv, ReLU, conv, and the input added back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        residual: Tensor = self.conv2(torch.relu(self.conv1(x)))
        return x + residual


class EDSR(nn.Module):
    """Super-resolution by ``scale`` = 2: (N, 3, H, W) float 0..1 → (N, 3, 2H, 2W), not clipped."""

    mean: Tensor

    def __init__(self, channels: int, blocks: int, scale: int = 2) -> None:
        super().__init__()
        self.conv_first = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsample = nn.Sequential(nn.Conv2d(channels, channels * scale**2, 3, padding=1), nn.PixelShuffle(scale))
        self.conv_last = nn.Conv2d(channels, 3, 3, padding=1)
        # Not in the state dict: BasicSR's checkpoints do not hold it either.
        self.register_buffer("mean", torch.tensor(RGB_MEAN).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 3, 2H, 2W)."""
        shallow = self.conv_first(x - self.mean)
        deep = self.conv_after_body(self.body(shallow)) + shallow
        enlarged: Tensor = self.conv_last(self.upsample(deep))
        return enlarged + self.mean


def teacher() -> nn.Module:
    """EDSR, 64 channels x 16 blocks (EDSR-baseline): 1.37 M parameters."""
    return EDSR(channels=64, blocks=16)


def student() -> nn.Module:
    """EDSR, 32 channels x 8 blocks: 0.20 M parameters."""
    return EDSR(channels=32, blocks=8)
