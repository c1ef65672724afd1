"""Segmentation in the graph: image to normalised channels, logits to labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.convert.pixels import Normalize
from edgekd.tasks.segmentation import class_names, preprocess

# Two float32 roundings at magnitudes of about 2.5.
TOLERANCE = 2e-6


class Preprocess(Normalize):
    """(1, H, W, 3) uint8 → (1, 3, H, W) float32, mean subtracted and divided by the standard deviation."""

    def __init__(self, options: Mapping[str, Any], size: tuple[int, int]) -> None:
        """Take the recipe's ``[task]`` and the image's (H, W). Raises InputError where an option is wrong."""
        super().__init__(preprocess, options)


class Postprocess(nn.Module):
    """(1, C, H, W) logits → (1, H, W) uint8 labels."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Take the recipe's ``[task]``. Raises InputError where an option is wrong."""
        super().__init__()
        class_names(options)

    def forward(self, output: Tensor) -> Tensor:
        """(1, C, H, W) float32 → (1, H, W) uint8."""
        # TensorRT casts floats to uint8, but not the integers that argmax gives.
        return output.argmax(dim=1).to(torch.float32).to(torch.uint8)
