"""DeepLabV3+: a backbone of output stride 16, atrous spatial pyramid pooling, and a decoder with one skip.

Source: L. Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", ECCV 2018,
arXiv 1802.02611; layer sizes and dropout as A. Mansourian et al. (arXiv 2403.05451) use it.
Differs from the paper: convolutions are not separable, as in the second source.

Feature layers for distillation, with the same names at every size: ``backbone.layer4`` (ResNet) or
``backbone.features.17`` (MobileNetV2), both before any ReLU; ``aspp`` after its ReLU and before dropout; ``decoder``
likewise. Each is followed by ``cbam_backbone``, ``cbam_aspp`` or ``cbam_decoder``: CBAM, or the identity where ``cbam``
is false.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.networks.cbam import CBAM
from edgekd.networks.mobilenetv2 import MobileNetV2
from edgekd.networks.resnet import ResNet

RATES = (6, 12, 18)  # the paper's dilations for an output stride of 16
_CHANNELS, _CHANNELS_LOW = 256, 48  # of ASPP and decoder at width 64, and of the skip


class ASPP(nn.Module):
    """A 1x1 convolution, three dilated 3x3 ones and the image's mean in parallel, fused by another 1x1 convolution."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([_norm_relu(nn.Conv2d(channels_in, channels, 1, bias=False))])
        for rate in RATES:
            dilated = nn.Conv2d(channels_in, channels, 3, padding=rate, dilation=rate, bias=False)
            self.branches.append(_norm_relu(dilated))
        self.pooled = _norm_relu(nn.Conv2d(channels_in, channels, 1, bias=False))
        self.fuse = _norm_relu(nn.Conv2d((len(self.branches) + 1) * channels, channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', H, W)."""
        pooled = self.pooled(x.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, x.shape[2], x.shape[3])  # (N, C', H, W)
        features = [branch(x) for branch in self.branches]
        fused: Tensor = self.fuse(torch.cat([*features, pooled], dim=1))
        return fused


class Decoder(nn.Module):
    """The deep feature, enlarged to the size of the low-level one and concatenated with it; two 3x3 convolutions."""

    def __init__(self, channels_low: int, channels_skip: int, channels: int) -> None:
        super().__init__()
        self.skip = _norm_relu(nn.Conv2d(channels_low, channels_skip, 1, bias=False))
        self.first = _norm_relu(nn.Conv2d(channels + channels_skip, channels, 3, padding=1, bias=False))
        self.dropout = nn.Dropout(0.5)
        self.second = _norm_relu(nn.Conv2d(channels, channels, 3, padding=1, bias=False))

    def forward(self, deep: Tensor, low: Tensor) -> Tensor:
        """(N, C, H/16, W/16) and (N, C_low, H/4, W/4) → (N, C, H/4, W/4)."""
        joined = torch.cat([_enlarge(deep, low.shape[2:]), self.skip(low)], dim=1)
        decoded: Tensor = self.second(self.dropout(self.first(joined)))
        return decoded


class DeepLabV3Plus(nn.Module):
    """(N, 3, H, W) float32 → (N, classes, H, W) logits, for any H and W."""

    def __init__(self, backbone: ResNet | MobileNetV2, classes: int, width: int = 64, cbam: bool = False) -> None:
        """Build the heads on a backbone.

        Args:
            backbone: Returns the features at 1/4 and 1/16 of the image's size.
            classes: Number of logits per pixel.
            width: Of ASPP and decoder, in 64ths of the paper's.
            cbam: Whether CBAM refines the three features in the forward path.
        """
        super().__init__()
        channels = _CHANNELS * width // 64
        self.backbone = backbone
        self.cbam_backbone = CBAM(backbone.channels_deep) if cbam else nn.Identity()
        # MobileNetV2's bottlenecks are linear by design; ResNet's last ReLU was left out for the methods.
        self.relu: nn.Module = nn.Identity() if backbone.ends_linear else nn.ReLU()
        self.aspp = ASPP(backbone.channels_deep, channels)
        self.cbam_aspp = CBAM(channels) if cbam else nn.Identity()
        self.dropout_aspp = nn.Dropout(0.5)
        self.decoder = Decoder(backbone.channels_low, max(1, _CHANNELS_LOW * width // 64), channels)
        self.cbam_decoder = CBAM(channels) if cbam else nn.Identity()
        self.dropout_decoder = nn.Dropout(0.1)
        self.classifier = nn.Conv2d(channels, classes, 1)
        # The heads alone: a backbone has initial or pretrained weights of its own.
        for head in (self.aspp, self.decoder, self.classifier):
            for module in head.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, classes, H, W)."""
        low, deep = self.backbone(x)  # (N, C, H/4, W/4), (N, C', H/16, W/16)
        deep = self.relu(self.cbam_backbone(deep))
        deep = self.dropout_aspp(self.cbam_aspp(self.aspp(deep)))
        decoded = self.dropout_decoder(self.cbam_decoder(self.decoder(deep, low)))
        return _enlarge(self.classifier(decoded), x.shape[2:])


def _norm_relu(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU())


def _enlarge(x: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
