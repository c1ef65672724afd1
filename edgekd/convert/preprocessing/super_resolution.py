"""Super-resolution in the graph: image to 0..1 and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from edgekd.convert.pixels import channels_from_image, image_from_channels
from edgekd.tasks.super_resolution import scale_of

TOLERANCE = 0.0  # one division, rounded as numpy rounds it


class Preprocess(nn.Module):
    """(1, H, W, 3) uint8 → (1, 3, H, W) float32 0..1."""

    def __init__(self, options: Mapping[str, Any], size: tuple[int, int]) -> None:
        """Take the recipe's ``[task]`` and the image's (H, W). Raises InputError where an option is wrong."""
        super().__init__()
        scale_of(options)

    def forward(self, image: Tensor) -> Tensor:
        """(1, H, W, 3) uint8 → (1, 3, H, W) float32."""
        return channels_from_image(image) / 255.0


class Postprocess(nn.Module):
    """(1, 3, s*H, s*W) float32 → (1, s*H, s*W, 3) uint8, ``s`` being the scale."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Take the recipe's ``[task]``. Raises InputError where an option is wrong."""
        super().__init__()
        scale_of(options)

    def forward(self, output: Tensor) -> Tensor:
        """(1, 3, s*H, s*W) float32 → (1, s*H, s*W, 3) uint8."""
        return image_from_channels(output)
