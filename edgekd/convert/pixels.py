"""The camera's bytes ↔ channels of floats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Preprocess = Callable[[NDArray[np.uint8], Mapping[str, Any]], NDArray[np.float32]]


def channels(picture: Tensor) -> Tensor:
    """(1, H, W, 3) uint8 → (1, 3, H, W) float32 0..255."""
    return picture.to(torch.float32).permute(0, 3, 1, 2)


def pixels(image: Tensor) -> Tensor:
    """(1, 3, H, W) float32 0..1 → (1, H, W, 3) uint8, clipped and rounded half up as the tasks' pictures are."""
    grey = torch.floor(torch.clamp(image, 0.0, 1.0) * 255.0 + 0.5)
    return grey.permute(0, 2, 3, 1).to(torch.uint8)


def plane(values: NDArray[np.float64]) -> Tensor:
    """(3,) float64, one number a channel → (1, 3, 1, 1) float32."""
    return torch.from_numpy(values.astype(np.float32)).reshape(1, -1, 1, 1)


class Channels(nn.Module):
    """(1, H, W, 3) uint8 → (1, 3, H, W) float32: each channel times a factor, plus an offset."""

    factor: Tensor
    offset: Tensor

    def __init__(self, preprocess: Preprocess, options: Mapping[str, Any]) -> None:
        """Read factor and offset off a task's ``preprocess``, which normalises each channel by itself.

        Args:
            preprocess: (H, W, 3) uint8 → (3, H, W) float32.
            options: The recipe's ``[task]``.

        Raises:
            InputError: An option is wrong.
        """
        super().__init__()
        ends = np.array([[[0] * 3, [255] * 3]], np.uint8)
        black, white = preprocess(ends, options)[:, 0].astype(np.float64).T
        self.register_buffer("factor", plane((white - black) / 255), persistent=False)
        self.register_buffer("offset", plane(black), persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        """(1, H, W, 3) uint8 → (1, 3, H, W) float32."""
        return channels(picture) * self.factor + self.offset
