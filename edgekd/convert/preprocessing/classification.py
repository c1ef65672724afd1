"""Classification in the graph: bytes to normalised channels, logits to probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.convert.pixels import Channels
from edgekd.tasks.classification import class_names, preprocess


class Before(Channels):
    """(1, H, W, 3) uint8 → (1, 3, H, W) float32, mean taken off and divided by the deviation."""

    def __init__(self, options: Mapping[str, Any], size: tuple[int, int]) -> None:
        """Take the recipe's ``[task]`` and the picture's (H, W). Raises InputError where an option is wrong."""
        super().__init__(preprocess, options)


class After(nn.Module):
    """(1, C) logits → (1, C) float32 probabilities."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Take the recipe's ``[task]``. Raises InputError where an option is wrong."""
        super().__init__()
        class_names(options)

    def forward(self, output: Tensor) -> Tensor:
        """(1, C) float32 → (1, C) float32."""
        return torch.softmax(output, dim=1)
