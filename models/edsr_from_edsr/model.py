"""EDSR: conv, residual blocks without batch norm, conv, pixel shuffle. Teacher 256 channels x 32, student 64 x 32.

Source: B. Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPR workshops 2017,
arXiv 1707.02921; the student's size is that of S. Li et al., arXiv 2404.02573 (inferred). State-dict keys are
BasicSR's (``conv_first``, ``body.N.conv1``, ``conv_after_body``, ``upsample.N``, ``conv_last``), so that its published
checkpoints of the same sizes load.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekd.core.errors import InputError

# Mean colour of DIV2K, 0..1; BasicSR subtracts the same.
RGB_MEAN = (0.4488, 0.4371, 0.4040)


class ResidualBlock(nn.Module):
    """conv, ReLU, conv, scaled by ``res_scale``, and the input added back."""

    def __init__(self, channels: int, res_scale: float) -> None:
        super().__init__()
        self.res_scale = res_scale
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        residual: Tensor = self.conv2(torch.relu(self.conv1(x)))
        return x + (residual if self.res_scale == 1.0 else residual * self.res_scale)


class EDSR(nn.Module):
    """Super-resolution: (N, 3, H, W) float32 0..1 → (N, 3, scale*H, scale*W), not clipped."""

    mean: Tensor

    def __init__(self, channels: int, blocks: int, scale: int, res_scale: float, pixel_range: float) -> None:
        super().__init__()
        self.pixel_range = pixel_range
        self.conv_first = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(channels, res_scale) for _ in range(blocks)))
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsample = upsampler(channels, scale)
        self.conv_last = nn.Conv2d(channels, 3, 3, padding=1)
        # Not in the state dict: BasicSR's checkpoints do not hold it either.
        self.register_buffer("mean", torch.tensor(RGB_MEAN).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 3, scale*H, scale*W)."""
        centred = x - self.mean
        shallow = self.conv_first(centred if self.pixel_range == 1.0 else centred * self.pixel_range)
        deep = self.conv_after_body(self.body(shallow)) + shallow
        enlarged: Tensor = self.conv_last(self.upsample(deep))
        return (enlarged if self.pixel_range == 1.0 else enlarged / self.pixel_range) + self.mean


def upsampler(channels: int, scale: int) -> nn.Sequential:
    """Convolutions and pixel shuffles that enlarge by ``scale``: x4 is x2 twice, as in BasicSR.

    Raises:
        InputError: ``scale`` is none of 2, 3, 4.
    """
    if scale not in (2, 3, 4):
        raise InputError(f"scale = {scale!r} in [network]; 2, 3 or 4 was expected, the same as task.scale")
    layers: list[nn.Module] = []
    for factor in (2, 2) if scale == 4 else (scale,):
        layers += [nn.Conv2d(channels, channels * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
    return nn.Sequential(*layers)


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
    return EDSR(channels, blocks, scale, res_scale, pixel_range)


def student(
    channels: int = 64, blocks: int = 32, scale: int = 2, res_scale: float = 1.0, pixel_range: float = 255.0
) -> nn.Module:
    """EDSR, 64 channels x 32 blocks: 2.55 M parameters at x2. Arguments as ``teacher``'s."""
    return EDSR(channels, blocks, scale, res_scale, pixel_range)
