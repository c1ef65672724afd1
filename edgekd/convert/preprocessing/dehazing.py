"""Dehazing in the graph: the haze map of the dark channel prior is computed by the engine.

The formula is that of ``edgekd/tasks/dehazing.py``, in float32, by pooling: the minimum over a square is -MaxPool(-x)
along each axis (MaxPool's padding never wins), the mean over a box is AveragePool along each axis of the mirrored map.
Running sums would be faster, but lose digits that the guided filter's differences of squares need.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.convert.pixels import channels_from_image, image_from_channels, per_channel
from edgekd.core.errors import InputError
from edgekd.tasks.dehazing import STRIDE, options_of

# The guided filter divides by a variance of 1e-4 and more, which magnifies float32's rounding.
TOLERANCE = 5e-4

# The task's own constants; the contract test compares the two implementations.
_OMEGA, _EPSILON = 0.95, 1e-4
_LUMA = np.array([0.299, 0.587, 0.114])
_MAX_TOP_K = 3840  # TensorRT's TopK layer supports no larger k


class Preprocess(nn.Module):
    """(1, H, W, 3) uint8 → (1, 4, H, W) float32: RGB and haze map, -1..1 (the map is not clipped)."""

    luma: Tensor
    reading_order: Tensor

    def __init__(self, options: Mapping[str, Any], size: tuple[int, int]) -> None:
        """Take the recipe's ``[task]`` and the image's (H, W).

        Raises:
            InputError: An option is wrong, or the image is too large, or too small for the guided filter's box.
        """
        super().__init__()
        checked, (height, width) = options_of(options), size
        if height % STRIDE or width % STRIDE:
            raise InputError(f"export.shape is of {width}x{height} pixels; multiples of {STRIDE} were expected")
        if checked.box // 2 >= min(size):
            raise InputError(
                f"task.box = {checked.box} for export.shape's {width}x{height} pixels; less than {2 * min(size)} was "
                "expected, since the image is mirrored once: set a smaller box or a larger shape"
            )
        # The airlight is the mean over the haziest 0.1 % of the pixels; see the task about the one left out of the sum.
        self.count = max(height * width // 1000, 1)
        self.summed = max(self.count - 1, 1)
        if self.summed > _MAX_TOP_K:
            raise InputError(
                f"export.shape is of {width}x{height} pixels, of which the {self.summed} haziest are averaged; "
                f"TensorRT finds at most {_MAX_TOP_K}: set a smaller shape, or export.include_preprocessing = false"
            )
        self.window, self.box = checked.window, checked.box
        self.register_buffer("luma", per_channel(_LUMA / 255), persistent=False)
        reading_order = torch.arange(height * width, 0, -1, dtype=torch.float32)  # (H*W,), 1 at the last pixel
        self.register_buffer("reading_order", reading_order, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(1, H, W, 3) uint8 → (1, 4, H, W) float32."""
        rgb = channels_from_image(image)  # (1, 3, H, W), 0..255
        airlight = self._airlight(rgb).clamp(min=1.0)  # one grey level: a black image must not divide by zero
        rough = 1.0 - _OMEGA * self._dark_channel(rgb / airlight)  # (1, 1, H, W) transmission
        grey = (rgb * self.luma).sum(dim=1, keepdim=True)  # (1, 1, H, W), 0..1
        transmission = self._guided_filter(grey, rough)
        return torch.cat([(rgb - 127.5) / 127.5, 2.0 * (transmission - 0.5)], dim=1)

    def _dark_channel(self, rgb: Tensor) -> Tensor:
        """(1, 3, H, W) → (1, 1, H, W): minimum over the channels and a window."""
        negated = -rgb.amin(dim=1, keepdim=True)
        return -_sliding_max(_sliding_max(negated, self.window, 0), self.window, 1)

    def _airlight(self, rgb: Tensor) -> Tensor:
        """(1, 3, H, W) 0..255 → (1, 3, 1, 1): mean colour where the dark channel is brightest.

        Of equal pixels the first in reading order count, and most are equal, since whole windows share one value.
        Engines break ties as they like. So all pixels above the k-th value are summed, and of those equal to it the
        first are found by a key that no two pixels share.
        """
        dark, colours = self._dark_channel(rgb).flatten(), rgb.flatten(2)[0]  # (H*W,), (3, H*W)
        kth = torch.topk(dark, self.summed).values[-1:]
        above = (dark > kth).to(torch.float32)
        missing = self.summed - above.sum(dim=0, keepdim=True)  # how many of the equal pixels still count
        first = torch.topk((dark == kth).to(torch.float32) * self.reading_order, self.summed).indices
        counts = (torch.arange(self.summed, device=dark.device).to(torch.float32) < missing).to(torch.float32)
        at_kth = torch.index_select(colours, 1, first) * counts  # (3, summed)
        return (((colours * above).sum(dim=1) + at_kth.sum(dim=1)) / self.count).reshape(1, 3, 1, 1)

    def _guided_filter(self, guide: Tensor, rough: Tensor) -> Tensor:
        """(1, 1, H, W) twice → (1, 1, H, W): ``rough`` smoothed along the edges of ``guide`` (He et al. 2013, 4-8)."""
        mean_guide, mean_rough = self._box_mean(guide), self._box_mean(rough)
        covariance = self._box_mean(guide * rough) - mean_guide * mean_rough
        variance = self._box_mean(guide * guide) - mean_guide * mean_guide
        a = covariance / (variance + _EPSILON)
        b = mean_rough - a * mean_guide
        return self._box_mean(a) * guide + self._box_mean(b)

    def _box_mean(self, image: Tensor) -> Tensor:
        """(1, 1, H, W) → (1, 1, H, W): mean over a box, mirrored at the border without repeating the border pixel."""
        before, after = self.box // 2, self.box - 1 - self.box // 2
        mirrored = functional.pad(image, (before, after, before, after), mode="reflect")
        rows = functional.avg_pool2d(mirrored, (self.box, 1), stride=1)
        return functional.avg_pool2d(rows, (1, self.box), stride=1)


class Postprocess(nn.Module):
    """(1, 3, H, W) float32 -1..1 → (1, H, W, 3) uint8."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Take the recipe's ``[task]``. Raises InputError where an option is wrong."""
        super().__init__()
        options_of(options)

    def forward(self, output: Tensor) -> Tensor:
        """(1, 3, H, W) float32 → (1, H, W, 3) uint8."""
        return image_from_channels(output / 2.0 + 0.5)


def _sliding_max(image: Tensor, window: int, axis: int) -> Tensor:
    """(1, 1, H, W) → (1, 1, H, W): maximum over ``window`` positions along rows (axis 0) or columns (axis 1)."""
    kernel, padding = [1, 1], [0, 0]
    kernel[axis], padding[axis] = window, window // 2
    pooled = functional.max_pool2d(image, kernel, stride=1, padding=padding)
    # An even window reaches one position further back than forward, and pools one position too many at the end.
    return pooled if window % 2 else pooled[:, :, : image.shape[2], : image.shape[3]]
