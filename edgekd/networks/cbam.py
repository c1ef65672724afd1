"""CBAM: attention that weights a feature by channel, then by position; learned, or without any parameters.

Source: S. Woo et al., "CBAM: Convolutional Block Attention Module", ECCV 2018, arXiv 1807.06521, equations 2 and 3.
Differs from the paper: batch norm after the 7x7 convolution, as in its authors' code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

REDUCTION = 16
_KERNEL = 7
_MOMENTUM = 0.01  # of the spatial batch norm, as in the authors' code


class CBAM(nn.Module):
    """M_s(M_c(F) * F) * (M_c(F) * F) for a feature F of ``channels``; the shape does not change."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // REDUCTION)
        self.channel = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.spatial = nn.Sequential(
            nn.Conv2d(2, 1, _KERNEL, padding=_KERNEL // 2, bias=False), nn.BatchNorm2d(1, momentum=_MOMENTUM)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        channel_scores = self.channel(x.mean(dim=(2, 3))) + self.channel(x.amax(dim=(2, 3)))  # (N, C), eq. 2
        x = x * torch.sigmoid(channel_scores)[:, :, None, None]
        pooled = torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)  # (N, 2, H, W), eq. 3
        weighted: Tensor = x * torch.sigmoid(self.spatial(pooled))
        return weighted


def parameter_free_cbam(x: Tensor) -> Tensor:
    """Weight (N, C, H, W) by M_c = sigmoid(mean + max over positions), then M_s = sigmoid(max + mean over channels)."""
    x = x * torch.sigmoid(x.mean(dim=(2, 3), keepdim=True) + x.amax(dim=(2, 3), keepdim=True))
    return x * torch.sigmoid(x.amax(dim=1, keepdim=True) + x.mean(dim=1, keepdim=True))
