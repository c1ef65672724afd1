"""Dehazing in the graph: the haze map of the dark channel prior is made where the network runs.

Formula: that of ``edgekd/tasks/dehazing.py``, in float32, by pools: the least over a square is -MaxPool(-x) along each
axis (what a pool pads with never wins), a box's mean is AveragePool along each axis of the mirrored plane. No running
sums: they would lose digits that the guided filter's differences of squares need.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.convert.pixels import channels, pixels, plane
from edgekd.core.errors import InputError
from edgekd.tasks.dehazing import STRIDE, options_of

# The task's own; the parity tests hold the two together.
_OMEGA, _EPSILON = 0.95, 1e-4
_LUMA = np.array([0.299, 0.587, 0.114])
_MOST = 3840  # TensorRT's TopK gives no more


class Before(nn.Module):
    """(1, H, W, 3) uint8 → (1, 4, H, W) float32: RGB and haze map, -1..1 (the map is not clipped)."""

    luma: Tensor
    reading: Tensor

    def __init__(self, options: Mapping[str, Any], size: tuple[int, int]) -> None:
        """Take the recipe's ``[task]`` and the picture's (H, W).

        Raises:
            InputError: An option is wrong, or the picture's size is too large, or too small for its box.
        """
        super().__init__()
        checked, (high, wide) = options_of(options), size
        if high % STRIDE or wide % STRIDE:
            raise InputError(f"export.shape is of {wide}x{high} pixels; multiples of {STRIDE} were expected")
        if checked.box // 2 >= min(size):
            raise InputError(
                f"task.box = {checked.box} for export.shape's {wide}x{high} pixels; less than {2 * min(size)} was "
                "expected, for the picture is mirrored once: give a smaller box or a larger shape"
            )
        self.count = max(high * wide // 1000, 1)
        self.summed = max(self.count - 1, 1)
        if self.summed > _MOST:
            raise InputError(
                f"export.shape is of {wide}x{high} pixels, whose {self.summed} haziest are averaged; TensorRT finds up "
                f"to {_MOST}: give a smaller shape, or export.embed_preprocess = false"
            )
        self.window, self.box = checked.window, checked.box
        self.register_buffer("luma", plane(_LUMA / 255), persistent=False)
        reading = torch.arange(high * wide, 0, -1, dtype=torch.float32)  # 1 at the last pixel
        self.register_buffer("reading", reading, persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        """(1, H, W, 3) uint8 → (1, 4, H, W) float32."""
        image = channels(picture)  # (1, 3, H, W), 0..255
        airlight = self._airlight(image).clamp(min=1.0)  # one grey level is the least that can be told from no light
        rough = 1.0 - _OMEGA * self._dark(image / airlight)
        transmitted = self._guided((image * self.luma).sum(dim=1, keepdim=True), rough)
        return torch.cat([(image - 127.5) / 127.5, 2.0 * (transmitted - 0.5)], dim=1)

    def _dark(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) → (1, 1, H, W): least of the channels over a window."""
        darkest = -image.amin(dim=1, keepdim=True)
        return -_sliding_max(_sliding_max(darkest, self.window, 0), self.window, 1)

    def _airlight(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) 0..255 → (1, 3, 1, 1): mean colour where the dark channel is brightest.

        Of equal pixels the first in reading order are taken, and most are equal: whole windows have one dark value.
        Engines break ties as they like, so the pixels above the last value that counts are summed, and of those at it
        the first are found by a key that no two share.
        """
        dark, colours = self._dark(image).flatten(), image.flatten(2)[0]  # (H*W,), (3, H*W)
        last = torch.topk(dark, self.summed).values[-1:]
        above = (dark > last).to(torch.float32)
        missing = self.summed - above.sum(dim=0, keepdim=True)
        first = torch.topk((dark == last).to(torch.float32) * self.reading, self.summed).indices
        counted = (torch.arange(self.summed, device=dark.device).to(torch.float32) < missing).to(torch.float32)
        at = torch.index_select(colours, 1, first) * counted
        return (((colours * above).sum(dim=1) + at.sum(dim=1)) / self.count).reshape(1, 3, 1, 1)

    def _guided(self, guide: Tensor, rough: Tensor) -> Tensor:
        """(1, 1, H, W) twice → (1, 1, H, W): ``rough`` smoothed along the edges of ``guide``."""
        mean_i, mean_p = self._mean(guide), self._mean(rough)
        covariance = self._mean(guide * rough) - mean_i * mean_p
        variance = self._mean(guide * guide) - mean_i * mean_i
        a = covariance / (variance + _EPSILON)
        b = mean_p - a * mean_i
        return self._mean(a) * guide + self._mean(b)

    def _mean(self, image: Tensor) -> Tensor:
        """(1, 1, H, W) → the same: mean over a box, mirrored at the border without repeating it."""
        before, after = self.box // 2, self.box - 1 - self.box // 2
        mirrored = functional.pad(image, (before, after, before, after), mode="reflect")
        rows = functional.avg_pool2d(mirrored, (self.box, 1), stride=1)
        return functional.avg_pool2d(rows, (1, self.box), stride=1)


class After(nn.Module):
    """(1, 3, H, W) float32 -1..1 → (1, H, W, 3) uint8."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Take the recipe's ``[task]``. Raises InputError where an option is wrong."""
        super().__init__()
        options_of(options)

    def forward(self, output: Tensor) -> Tensor:
        """(1, 3, H, W) float32 → (1, H, W, 3) uint8."""
        return pixels(output / 2.0 + 0.5)


def _sliding_max(image: Tensor, window: int, axis: int) -> Tensor:
    """Largest over ``window`` positions along the rows (0) or columns (1); an even window reaches further back."""
    kernel, padding = [1, 1], [0, 0]
    kernel[axis], padding[axis] = window, window // 2
    pooled = functional.max_pool2d(image, kernel, stride=1, padding=padding)
    return pooled if window % 2 else pooled[:, :, : image.shape[2], : image.shape[3]]
