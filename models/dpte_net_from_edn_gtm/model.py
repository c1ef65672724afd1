"""DPTE-Net, a pooling transformer encoder with a convolutional decoder (student), and EDN-GTM, a U-Net (teacher).

Both take (N, 4, S, S): RGB and the haze map of the dark channel prior, all -1..1; they give RGB -1..1. S is a multiple
of 16. The "hint" that the two are compared at is what the bottleneck's 1x1 convolution gives, before its pyramid of
max-pools.

Source: L. Tran, D. Park, "Distilled Pooling Transformer Encoder for Efficient Realistic Image Dehazing", arXiv
2412.14220 (2024), section 3 and its released code, for the teacher as well (L. Tran et al., "A novel encoder-decoder
network with guided transmission map for single image dehazing", arXiv 2202.04757). The released weights are Keras
files, so the names of the state dict are our own.
Differs from the paper: nothing in what the networks compute; paddings, pools and batch norms are Keras's. The branch
that adapts the student's hint is no part of the student: it belongs to the method (``edgekd/distill/methods/dpte.py``).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

LEVELS = 5
# Keras's truncated normal is cut at two deviations, which narrows it by this factor; he_normal makes up for it.
_TRUNCATED = 0.87962566


def convolution(inward: int, outward: int, kernel: int) -> nn.Sequential:
    """Convolution with Keras's "same" padding, and swish: (N, inward, H, W) → (N, outward, H, W).

    Keras pads an even kernel by one more below and right than above and left.
    """
    before, after = (kernel - 1) // 2, kernel // 2
    if before == after:
        return nn.Sequential(nn.Conv2d(inward, outward, kernel, padding=before), nn.SiLU())
    pad = nn.ZeroPad2d((before, after, before, after))
    return nn.Sequential(pad, nn.Conv2d(inward, outward, kernel), nn.SiLU())


class PoolingTransformerBlock(nn.Module):
    """Average pooling mixes positions, two 1x1 convolutions mix channels; each over a batch norm, each added back."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        # eps and momentum are Keras's defaults; it counts momentum the other way round.
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
    """The hint beside its maxima over 13x13, 9x9 and 5x5, joined by a 1x1 convolution."""

    def __init__(self, inward: int, outward: int) -> None:
        super().__init__()
        self.pools = nn.ModuleList(nn.MaxPool2d(window, stride=1, padding=window // 2) for window in (13, 9, 5))
        self.fuse = convolution(4 * inward, outward, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inward, H, W) → (N, outward, H, W)."""
        fused: Tensor = self.fuse(torch.cat([x, *(pool(x) for pool in self.pools)], dim=1))
        return fused


class DecoderLevel(nn.Module):
    """Nearest-neighbour enlargement by 2 and a 2x2 convolution, the skip beside it, and 3x3 convolutions."""

    def __init__(self, inward: int, channels: int, convs: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), convolution(inward, channels, 2))
        widths = [2 * channels] + [channels] * convs
        self.convs = nn.Sequential(*(convolution(a, b, 3) for a, b in itertools.pairwise(widths)))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(N, inward, H, W) and (N, channels, 2H, 2W) → (N, channels, 2H, 2W)."""
        joined: Tensor = self.convs(torch.cat([skip, self.up(x)], dim=1))
        return joined


class DehazingNet(nn.Module):
    """What both networks share: five encoder levels of doubling width, pyramid pooling, four decoder levels, tanh.

    Args:
        encoder: One module a level; level i gives ``width * 2**i`` channels.
        width: Channels of the first level.
        convs: 3x3 convolutions of a decoder level.
        dropout: Share dropped of the fourth level's output, which is skip and input of the fifth alike, and of the
            pyramid's.
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
        self.decoder = nn.ModuleList(DecoderLevel(2 * c, c, convs) for c in reversed(widths[:-1]))
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
        ratio: How much a block widens between its 1x1 convolutions.
        convs: 3x3 convolutions of a decoder level.
        dropout: See ``DehazingNet``.
        channels: Of the input: RGB and the haze map.
    """
    encoder: list[nn.Module] = []
    for outward in (width * 2**i for i in range(LEVELS)):
        mixers = (PoolingTransformerBlock(outward, ratio) for _ in range(blocks))
        encoder.append(nn.Sequential(convolution(channels, outward, 3), *mixers))
        channels = outward
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
    for outward in (width * 2**i for i in range(LEVELS)):
        encoder.append(nn.Sequential(*(convolution(channels if i == 0 else outward, outward, 3) for i in range(convs))))
        channels = outward
    return DehazingNet(encoder, width, convs, dropout)


def _he_normal(module: nn.Module) -> None:
    """Keras's he_normal for weights, zeros for biases."""
    if isinstance(module, nn.Conv2d):
        deviation = math.sqrt(2 / module.weight[0].numel()) / _TRUNCATED
        nn.init.trunc_normal_(module.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
