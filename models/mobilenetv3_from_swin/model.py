"""Swin teaches MobileNetV3: leaf-disease classes from one image. Teacher Swin-L, student MobileNetV3-Large.

Source: S. Mugisha, R. Kisitu, F. Tushabe, "Hybrid Knowledge Transfer through Attention and Logit Distillation for
On-Device Vision Systems in Agricultural IoT", arXiv 2504.16128 (2025). Z. Liu et al., "Swin Transformer: Hierarchical
Vision Transformer using Shifted Windows", ICCV 2021, arXiv 2103.14030. A. Howard et al., "Searching for MobileNetV3",
ICCV 2019, arXiv 1905.02244.

State-dict keys are timm's for the teacher (``swin_large_patch4_window7_224``, ``swin_tiny_patch4_window7_224``) and
torchvision's for the student (``mobilenet_v3_large``, ``mobilenet_v3_small``), so that their published weights load;
where the classes are not ImageNet's 1000, ``head.fc`` and ``classifier.3`` have another size.

Feature layers for distillation, the same at every size but for the number of blocks:

- ``stages.0`` to ``stages.3`` of the teacher: the output of each stage, (N, C, H, W) although Swin uses (N, H, W, C).
- ``layers.S.blocks.B.attn.attn_drop.map`` of the teacher: that block's softmax attention as a map, (N, 1, H, W).
- ``features.N`` of the student. Strides 16 and 32 end at ``features.12`` and ``features.15`` of Large, ``features.8``
  and ``features.11`` of Small.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import torch
from timm.models.swin_transformer import SwinTransformer, SwinTransformerBlock
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_large, mobilenet_v3_small

from edgekd.core.errors import InputError, UnknownName

_VARIANTS: dict[str, Callable[..., nn.Module]] = {"large": mobilenet_v3_large, "small": mobilenet_v3_small}


def teacher(
    classes: int = 10,
    image: int = 224,
    embed: int = 192,
    depths: str = "2-2-18-2",
    window: int = 7,
    drop_path: float = 0.2,
) -> nn.Module:
    """Swin; by default Swin-L of 196.5 M parameters with 1000 classes. Swin-T is embed 96, depths "2-2-6-2".

    Args:
        classes: How many there are.
        image: Height and width of the images, pixels; Swin's windows and masks are built for one size.
        embed: Channels of the first stage; each further one doubles them. A head has 32, or all where there are fewer.
        depths: Blocks of each stage.
        window: Side of an attention window, tokens.
        drop_path: Share of residual branches dropped in training, increasing from 0 at the first block.
    """
    if not re.fullmatch(r"[1-9]\d*(-[1-9]\d*)*", depths):
        raise InputError(f'network.teacher.depths = {depths!r}; numbers of blocks like "2-2-6-2" were expected')
    blocks = tuple(int(depth) for depth in depths.split("-"))
    heads = tuple(max(1, embed * 2**stage // 32) for stage in range(len(blocks)))
    return Swin(
        img_size=image,
        num_classes=classes,
        embed_dim=embed,
        depths=blocks,
        num_heads=heads,
        window_size=window,
        drop_path_rate=drop_path,
    )


def student(
    classes: int = 10,
    variant: str = "large",
    width: float = 1.0,
    dropout: float = 0.2,
    norm_momentum: float = 0.01,
) -> nn.Module:
    """MobileNetV3; by default Large, 5.48 M parameters with 1000 classes.

    Args:
        classes: How many there are.
        variant: "large" or "small".
        width: Factor on every number of channels.
        dropout: Before the last layer, in training.
        norm_momentum: Of batch norm's running statistics. torchvision's value averages over 100 steps; short runs from
            scratch, whose weights change fast, need 0.1.
    """
    if variant not in _VARIANTS:
        raise UnknownName.among("network.student.variant", variant, _VARIANTS)
    network = _VARIANTS[variant](weights=None, num_classes=classes, width_mult=width, dropout=dropout)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = norm_momentum
    return network


class Swin(SwinTransformer):
    """timm's Swin with feature layers: (N, 3, S, S) float32 → (N, classes) logits."""

    def __init__(self, **sizes: Any) -> None:
        super().__init__(**sizes)
        self.stages = nn.ModuleList(nn.Identity() for _ in self.layers)
        for block in self.modules():
            if isinstance(block, SwinTransformerBlock):
                # The fused kernel does not expose the attention that AttentionMap needs.
                block.attn.fused_attn = False
                block.attn.attn_drop = ObservedDropout(block)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) → (N, S/32, S/32, C), normalised."""
        x = self.patch_embed(x)
        for layer, stage in zip(self.layers, self.stages, strict=True):
            x = stage(layer(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        features: Tensor = self.norm(x)
        return features


class ObservedDropout(nn.Dropout):
    """A block's dropout of its attention, which also passes the attention to ``map``."""

    def __init__(self, block: SwinTransformerBlock) -> None:
        super().__init__(block.attn.attn_drop.p)
        self.map = AttentionMap(block)

    def forward(self, attention: Tensor) -> Tensor:
        """(N * windows, heads, M, M) → the same; exporters remove the map, whose output nothing uses."""
        self.map(attention)
        return super().forward(attention)


class AttentionMap(nn.Module):
    """The attention that each token receives: softmax attention, averaged over heads and queries, as an image.

    The values of every window add up to 1, so the map compares tokens within a window, not windows.
    """

    def __init__(self, block: SwinTransformerBlock) -> None:
        super().__init__()
        size, self.window, self.shift = block.input_resolution, block.window_size, block.shift_size
        self.size = size if isinstance(size, tuple) else (size, size)

    def forward(self, attention: Tensor) -> Tensor:
        """(N * windows, heads, M, M) float, M = tokens of a window, rows adding up to 1 → (N, 1, H, W)."""
        (height, width), (h, w) = self.size, self.window
        rows, columns = math.ceil(height / h), math.ceil(width / w)
        received = attention.mean(dim=(1, 2)).view(-1, rows, columns, h, w)
        padded = received.permute(0, 1, 3, 2, 4).reshape(-1, 1, rows * h, columns * w)
        shifted = padded[..., :height, :width]  # (N, 1, H, W): Swin pads to whole windows
        return torch.roll(shifted, self.shift, dims=(2, 3)) if any(self.shift) else shifted
