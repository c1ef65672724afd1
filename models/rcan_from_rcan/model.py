"""RCAN: groups of residual blocks with channel attention. Teacher 10 groups x 20 blocks, student 10 x 6, 64 channels.

Source: Y. Zhang et al., "Image Super-Resolution Using Very Deep Residual Channel Attention Networks", ECCV 2018,
arXiv 1807.02758; the student's depth is that of S. Li et al., arXiv 2404.02573. State-dict keys are BasicSR's
(``body.N.residual_group.M.rcab.K``, ``body.N.conv``), so that its published checkpoints of the same sizes load.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgekd.core.errors import InputError
from edgekd.networks.pixel_shuffle import PixelShuffleNet

# The paper's r: the attention's hidden layer has 1/r of the channels.
SQUEEZE = 16


class ChannelAttention(nn.Module):
    """Multiplies each channel by a factor 0..1 that two 1x1 convolutions compute from all channels' means."""

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
    """RCAB: convolution, ReLU, convolution, channel attention, plus the input."""

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
    """Blocks, a convolution, plus the group's input."""

    def __init__(self, channels: int, blocks: int, squeeze: int) -> None:
        super().__init__()
        self.residual_group = nn.Sequential(*(Block(channels, squeeze) for _ in range(blocks)))
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        residual: Tensor = self.conv(self.residual_group(x))
        return x + residual


def _rcan(channels: int, groups: int, blocks: int, scale: int, pixel_range: float) -> nn.Module:
    if channels < SQUEEZE:
        raise InputError(f"channels = {channels} in [network]; {SQUEEZE} or more were expected, for RCAN's attention")

    def body() -> nn.Module:
        return nn.Sequential(*(Group(channels, blocks, SQUEEZE) for _ in range(groups)))

    return PixelShuffleNet(channels, body, scale, pixel_range)


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
    return _rcan(channels, groups, blocks, scale, pixel_range)


def student(
    channels: int = 64, groups: int = 10, blocks: int = 6, scale: int = 2, pixel_range: float = 255.0
) -> nn.Module:
    """RCAN, 10 groups of 6 blocks, 64 channels: 5.1 M parameters at x2. Arguments as ``teacher``'s."""
    return _rcan(channels, groups, blocks, scale, pixel_range)
