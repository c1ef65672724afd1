"""DeepLabV3+, output stride 16: ResNet-101 teaches ResNet-18. 59.3 M and 16.6 M parameters for 21 classes.

Source: A. Mansourian et al., "Attention-guided Feature Distillation for Semantic Segmentation", arXiv 2403.05451.
State-dict keys under ``backbone.`` are torchvision's, so that its ImageNet weights load there.
"""

from __future__ import annotations

from torch import nn

from edgekd.networks.deeplabv3plus import DeepLabV3Plus
from edgekd.networks.resnet import ResNet


def teacher(classes: int = 21, width: int = 64, cbam: bool = False) -> nn.Module:
    """DeepLabV3+ with ResNet-101; with ``cbam``, CBAM refines its three features in the forward path."""
    return DeepLabV3Plus(ResNet(101, width), classes, width, cbam)


def student(classes: int = 21, width: int = 64) -> nn.Module:
    """DeepLabV3+ with ResNet-18."""
    return DeepLabV3Plus(ResNet(18, width), classes, width)
