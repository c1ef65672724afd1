"""Torch operations between images, (1, H, W, 3) uint8, and a network's channels of floats, (1, 3, H, W)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

PreprocessFunction = Callable[[NDArray[np.uint8], Mapping[str, Any]], NDArray[np.float32]]


def channels_from_image(image: Tensor) -> Tensor:
    """(1, H, W, 3) uint8 → (1, 3, H, W) float32 0..255."""
    return image.to(torch.float32).permute(0, 3, 1, 2)


def image_from_channels(channels: Tensor) -> Tensor:
    """(1, 3, H, W) float32 0..1 → (1, H, W, 3) uint8, clipped, and rounded half up as the tasks' ``picture`` rounds."""
    rounded = torch.floor(torch.clamp(channels, 0.0, 1.0) * 255.0 + 0.5)
    return rounded.permute(0, 2, 3, 1).to(torch.uint8)


def per_channel(values: NDArray[np.float64]) -> Tensor:
    """(3,) float64, one number a channel → (1, 3, 1, 1) float32, ready to broadcast."""
    return torch.from_numpy(values.astype(np.float32)).reshape(1, -1, 1, 1)


class Normalize(nn.Module):
    """(1, H, W, 3) uint8 → (1, 3, H, W) float32: each channel times a factor, plus an offset."""

    factor: Tensor
    offset: Tensor

    def __init__(self, preprocess: PreprocessFunction, options: Mapping[str, Any]) -> None:
        """Derive factor and offset from a task's ``preprocess``, which must be linear in each channel.

        Args:
            preprocess: (H, W, 3) uint8 → (3, H, W) float32.
            options: The recipe's ``[task]``.

        Raises:
            InputError: An option is wrong.
        """
        super().__init__()
        # Two points define a line: the darkest and the brightest pixel, (1, 2, 3).
        extremes = np.array([[[0] * 3, [255] * 3]], np.uint8)
        black, white = preprocess(extremes, options)[:, 0].astype(np.float64).T  # (3,) each
        self.register_buffer("factor", per_channel((white - black) / 255), persistent=False)
        self.register_buffer("offset", per_channel(black), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(1, H, W, 3) uint8 → (1, 3, H, W) float32."""
        return channels_from_image(image) * self.factor + self.offset
