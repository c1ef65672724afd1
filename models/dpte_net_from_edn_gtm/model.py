"""DPTE-Net, a pooling transformer encoder with a convolutional decoder (student), and EDN-GTM, a U-Net (teacher).

Both take (N, 4, S, S), RGB and the haze map of the dark channel prior, all -1..1, and return RGB -1..1. S is a multiple
of 16. Distillation compares the two at ``hint``, the output of the bottleneck's 1x1 convolution before its pyramid of
max-pools.

Source: L. Tran, D. Park, "Distilled Pooling Transformer Encoder for Efficient Realistic Image Dehazing", arXiv
2412.14220 (2024), section 3 and its released code, also for the teacher (L. Tran et al., "A novel encoder-decoder
network with guided transmission map for single image dehazing", arXiv 2202.04757). The released weights are Keras
files, so the names of the state dict are our own. Paddings, pools and batch norms are Keras's; the networks compute
what the paper's do. The branch that adapts the student's hint belongs to the method
(``edgekd/distill/methods/dpte.py``), not to the student.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

LEVELS = 5
# Keras truncates the normal distribution at two deviations, which narrows it by this factor; he_normal corrects it.
_TRUNCATED_STD = 0.87962566


def convolution(channels_in: int, channels_out: int, kernel: int) -> nn.Sequential:
    """Convolution with Keras's "same" padding, and swish: (N, C, H, W) → (N, C', H, W).

    Keras pads an even kernel by one more below and right than above and left.
    """
    before, after = (kernel - 1) // 2, kernel // 2
    if before == after:
        return nn.Sequential(nn.Conv2d(channels_in, channels_out, kernel, padding=before), nn.SiLU())
    pad = nn.ZeroPad2d((before, after, before, after))
    return nn.Sequential(pad, nn.Conv2d(channels_in, channels_out, kernel), nn.SiLU())


class PoolingTransformerBlock(nn.Module):
    """Average pooling mixes positions, two 1x1 convolutions mix channels; both have a batch norm and a shortcut."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        # Keras's defaults; its momentum of 0.99 is 0.01 here.
        self.norm1 = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
        self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.norm2 = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, ratio * channels, 1), nn.SiLU(), nn.Conv2d(ratio * channels, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        x = x + self.pool(self.norm1(x))
        mixed: Tensor = self.mlp(self.norm2(x))
        return x + mixed


class PyramidPooling(nn.Module):
    """The hint concatenated with its maxima over 13x13, 9x9 and 5x5, fused by a 1x1 convolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.pools = nn.ModuleList(nn.MaxPool2d(window, stride=1, padding=window // 2) for window in (13, 9, 5))
        self.fuse = convolution(4 * channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', H, W)."""
        pooled = [pool(x) for pool in self.pools]
        fused: Tensor = self.fuse(torch.cat([x, *pooled], dim=1))  # (N, 4 C, H, W) before the fusion
        return fused


class DecoderLevel(nn.Module):
    """Nearest-neighbour enlargement by 2 and a 2x2 convolution, the skip concatenated, and 3x3 convolutions."""

    def __init__(self, channels_in: int, channels: int, convs: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), convolution(channels_in, channels, 2))
        self.convs = nn.Sequential()
        for index in range(convs):
            self.convs.append(convolution(channels if index else 2 * channels, channels, 3))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(N, C, H, W) and skip (N, C', 2H, 2W) → (N, C', 2H, 2W)."""
        joined: Tensor = self.convs(torch.cat([skip, self.up(x)], dim=1))
        return joined


class DehazingNet(nn.Module):
    """The frame of both networks: five encoder levels of doubling width, pyramid pooling, four decoder levels, tanh.

    Args:
        encoder: One module per level; level i has ``width * 2**i`` output channels.
        width: Channels of the first level.
        convs: 3x3 convolutions of a decoder level.
        dropout: Share of values dropped in training from the output of the fourth level, both as a skip and as the
            input of the fifth, and from the pyramid's.
    """

    def __init__(self, encoder: list[nn.Module], width: int, convs: int, dropout: float) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(LEVELS)]
        deepest = widths[-1]
        self.encoder = nn.ModuleList(encoder)
        self.down = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.hint = convolution(deepest, deepest // 2, 1)
        self.spp = PyramidPooling(deepest // 2, deepest)
        self.spp_dropout = nn.Dropout(dropout)
        self.decoder = nn.ModuleList(DecoderLevel(2 * channels, channels, convs) for channels in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, 3, 1)
        self.apply(_he_normal)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 4, S, S) → (N, 3, S, S), -1..1."""
        skips: list[Tensor] = []
        for i, level in enumerate(self.encoder):
            x = level(self.down(x) if i else x)
            x = self.dropout(x) if i == LEVELS - 2 else x
            skips.append(x)
        x = self.spp_dropout(self.spp(self.hint(skips.pop())))
        for level in self.decoder:
            x = level(x, skips.pop())
        return torch.tanh(self.head(x))


def student(
    width: int = 16, blocks: int = 2, ratio: int = 4, convs: int = 3, dropout: float = 0.5, channels: int = 4
) -> nn.Module:
    """DPTE-Net: 2.925 M parameters, 18.72 G MACs at 512x512.

    Args:
        width: Channels of the first level; they double with each of the five.
        blocks: Pooling transformer blocks of an encoder level.
        ratio: How many times wider a block is between its 1x1 convolutions.
        convs: 3x3 convolutions of a decoder level.
        dropout: See ``DehazingNet``.
        channels: Of the input: RGB and the haze map.
    """
    encoder: list[nn.Module] = []
    for level in range(LEVELS):
        level_width = width * 2**level
        modules: list[nn.Module] = [convolution(channels, level_width, 3)]
        modules += [PoolingTransformerBlock(level_width, ratio) for _ in range(blocks)]
        encoder.append(nn.Sequential(*modules))
        channels = level_width
    return DehazingNet(encoder, width, convs, dropout)


def teacher(width: int = 64, convs: int = 3, dropout: float = 0.5, channels: int = 4) -> nn.Module:
    """EDN-GTM-L: 49.4 M parameters, 308 G MACs at 512x512. B is ``convs=2``, S is ``width=32, convs=2``.

    Args:
        width: Channels of the first level; they double with each of the five.
        convs: 3x3 convolutions of an encoder level and of a decoder level.
        dropout: See ``DehazingNet``.
        channels: Of the input: RGB and the haze map.
    """
    encoder: list[nn.Module] = []
    for level in range(LEVELS):
        level_width = width * 2**level
        convolutions = [convolution(channels if index == 0 else level_width, level_width, 3) for index in range(convs)]
        encoder.append(nn.Sequential(*convolutions))
        channels = level_width
    return DehazingNet(encoder, width, convs, dropout)


def _he_normal(module: nn.Module) -> None:
    """Initialise weights as Keras's he_normal, and biases by zeros."""
    if isinstance(module, nn.Conv2d):
        deviation = math.sqrt(2 / module.weight[0].numel()) / _TRUNCATED_STD
        nn.init.trunc_normal_(module.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
