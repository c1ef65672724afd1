"""Super-resolution networks that compute at the low resolution and enlarge at the end, by pixel shuffles.

Source: W. Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
Neural Network", CVPR 2016. State-dict keys are BasicSR's: ``conv_first``, ``body``, ``conv_after_body``,
``upsample.N``, ``conv_last``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from edgekd.core.errors import InputError

# DIV2K's mean colour, 0..1, as BasicSR subtracts it.
RGB_MEAN = (0.4488, 0.4371, 0.4040)


class PixelShuffleNet(nn.Module):
    """Super-resolution: (N, 3, H, W) float32 0..1 → (N, 3, scale*H, scale*W), not clipped.

    EDSR and RCAN differ in their bodies alone.
    """

    mean: Tensor

    def __init__(self, channels: int, body: Callable[[], nn.Module], scale: int, pixel_range: float) -> None:
        """Build the network.

        Args:
            channels: Of each feature.
            body: Builds the residual part, (N, C, H, W) → (N, C, H, W).
            scale: 2, 3 or 4.
            pixel_range: Pixels inside the network are 0..``pixel_range``; 255 is BasicSR's.
        """
        super().__init__()
        self.pixel_range = pixel_range
        self.conv_first = nn.Conv2d(3, channels, 3, padding=1)
        self.body = body()
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsample = upsampler(channels, scale)
        self.conv_last = nn.Conv2d(channels, 3, 3, padding=1)
        # Not in the state dict: BasicSR's checkpoints do not contain it.
        self.register_buffer("mean", torch.tensor(RGB_MEAN).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 3, scale*H, scale*W)."""
        centred = x - self.mean
        # A factor of 1 is left out, so that the exported graph has no useless node.
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
