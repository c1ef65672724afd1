"""RCAN: groups of residual blocks with channel attention. Teacher 10 groups x 20 blocks, student 10 x 6, 64 channels.

Source: Y. Zhang et al., "Image Super-Resolution Using Very Deep Residual Channel Attention Networks", ECCV 2018,
arXiv 1807.02758; the student's depth is that of S. Li et al., arXiv 2404.02573. State-dict keys are BasicSR's
(``body.N.residual_group.M.rcab.K``, ``body.N.conv``), so that its published checkpoints of the same sizes load.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekd.core.errors import InputError

# Mean colour of DIV2K, 0..1; BasicSR subtracts the same.
RGB_MEAN = (0.4488, 0.4371, 0.4040)
# The paper's r: the attention's hidden layer has 1/r of the channels.
SQUEEZE = 16


class ChannelAttention(nn.Module):
    """Each channel times a factor 0..1 that two 1x1 convolutions make of all channels' means."""

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // squeeze, 1),
            nn.ReLU(),
            nn.Conv2d(channels // squeeze, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        factor: Tensor = self.attention(x)
        return x * factor


class Block(nn.Module):
    """RCAB: conv, ReLU, conv, channel attention, and the input added back."""

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        self.rcab = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            ChannelAttention(channels, squeeze),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        residual: Tensor = self.rcab(x)
        return x + residual


class Group(nn.Module):
    """Blocks, a convolution, and the group's input added back."""

    def __init__(self, channels: int, blocks: int, squeeze: int) -> None:
        super().__init__()
        self.residual_group = nn.Sequential(*(Block(channels, squeeze) for _ in range(blocks)))
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        residual: Tensor = self.conv(self.residual_group(x))
        return x + residual


class RCAN(nn.Module):
    """Super-resolution: (N, 3, H, W) float32 0..1 → (N, 3, scale*H, scale*W), not clipped."""

    mean: Tensor

    def __init__(self, channels: int, groups: int, blocks: int, scale: int, pixel_range: float) -> None:
        super().__init__()
        if channels < SQUEEZE:
            raise InputError(f"channels = {channels} in [network]; {SQUEEZE} or more were expected by RCAN's attention")
        self.pixel_range = pixel_range
        self.conv_first = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(*(Group(channels, blocks, SQUEEZE) for _ in range(groups)))
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
    channels: int = 64, groups: int = 10, blocks: int = 20, scale: int = 2, pixel_range: float = 255.0
) -> nn.Module:
    """RCAN, 10 groups of 20 blocks, 64 channels: 15.4 M parameters at x2.

    Args:
        channels: Of each feature; at least 16.
        groups: Residual groups.
        blocks: In each group.
        scale: 2, 3 or 4.
        pixel_range: Pixels inside the network are 0..``pixel_range``; 255 is BasicSR's.
    """
    return RCAN(channels, groups, blocks, scale, pixel_range)


def student(
    channels: int = 64, groups: int = 10, blocks: int = 6, scale: int = 2, pixel_range: float = 255.0
) -> nn.Module:
    """RCAN, 10 groups of 6 blocks, 64 channels: 5.1 M parameters at x2. Arguments as ``teacher``'s."""
    return RCAN(channels, groups, blocks, scale, pixel_range)
