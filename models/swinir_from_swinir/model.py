"""SwinIR: residual groups of shifted-window attention. Teacher 180 channels x 6 groups x 6, student 60 x 4 x 6.

Source: J. Liang et al., "SwinIR: Image Restoration Using Swin Transformer", ICCV workshops 2021, arXiv 2108.10257,
with the classical pixel-shuffle head; Z. Liu et al., "Swin Transformer", arXiv 2103.14030, eq. 3 and 4 (relative
position bias, shifted windows); the student's size is that of S. Li et al., arXiv 2404.02573. State-dict keys are
BasicSR's and the authors' (both are the same), so that published checkpoints load: ``image_size`` must then be the
checkpoint's training patch, because ``attn_mask`` is stored for that size. Masks of other sizes are computed.
Differs from the paper: no stochastic depth in training (the authors' code skips up to 10 % of the layers).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.core.errors import InputError
from edgekd.networks.pixel_shuffle import RGB_MEAN, upsampler

# Channels of the head, for every width of the body, as in the authors' code.
HEAD_CHANNELS = 64
HEADS, MLP_RATIO = 6, 2
# Added to the logits between pixels that only the cyclic shift made neighbours; exp(-100) is 0 in effect.
MASKED = -100.0


def windows_of(x: Tensor, window: int) -> Tensor:
    """(N, H, W, C) → (N*H/w*W/w, w*w, C)."""
    n, h, w, c = x.shape
    tiles = x.view(n, h // window, window, w // window, window, c).transpose(2, 3)
    return tiles.reshape(-1, window * window, c)


def from_windows(tiles: Tensor, window: int, size: tuple[int, int]) -> Tensor:
    """Undo ``windows_of``: (N*H/w*W/w, w*w, C) → (N, H, W, C) for ``size`` = (H, W)."""
    h, w = size
    grid = tiles.view(-1, h // window, w // window, window, window, tiles.shape[-1])
    return grid.transpose(2, 3).reshape(-1, h, w, tiles.shape[-1])


def shift_mask(size: tuple[int, int], window: int, shift: int) -> Tensor:
    """Return the mask between pixels from opposite borders in shifted windows: (H/w*W/w, w*w, w*w), 0 or -100."""
    bands = []
    for length in size:
        # In the shifted image, the last window holds two bands that are not neighbours in the image itself.
        position = torch.arange(length)
        bands.append((position >= length - window).long() + (position >= length - shift).long())
    region = (bands[0][:, None] * 3 + bands[1][None, :])[None, :, :, None]  # (1, H, W, 1), numbered 0..8
    tiles = windows_of(region, window)[..., 0]
    return torch.where(tiles[:, None, :] == tiles[:, :, None], 0.0, MASKED)


def relative_index(window: int) -> Tensor:
    """Return the row of the bias table for each pair of pixels of a window: (w*w, w*w) int64."""
    y, x = (axis.flatten() for axis in torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij"))
    down, right = y[:, None] - y[None, :], x[:, None] - x[None, :]
    return (down + window - 1) * (2 * window - 1) + right + window - 1


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows, with a learned bias for each relative position."""

    relative_position_index: Tensor

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.factor = heads, (channels // heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", relative_index(window))
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, tiles: Tensor, mask: Tensor | None) -> Tensor:
        """Attend within each window.

        Args:
            tiles: (N*windows, w*w, C) float32.
            mask: (windows, w*w, w*w) float32, added to the logits, or None.

        Returns:
            As ``tiles``.
        """
        count, pixels, channels = tiles.shape
        q, k, v = self.qkv(tiles).view(count, pixels, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.relative_position_bias_table[self.relative_position_index.flatten()]
        bias = bias.view(pixels, pixels, self.heads).permute(2, 0, 1)
        logits = (q * self.factor) @ k.transpose(-2, -1) + bias
        if mask is not None:
            # (N, windows, heads, w*w, w*w): the mask depends on the window, not on image or head.
            masked = logits.view(-1, mask.shape[0], self.heads, pixels, pixels) + mask[:, None]
            logits = masked.view(-1, self.heads, pixels, pixels)
        attended = (logits.softmax(dim=-1) @ v).transpose(1, 2).reshape(count, pixels, channels)
        projected: Tensor = self.proj(attended)
        return projected


class Mlp(nn.Module):
    """Two linear layers with a GELU in between."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) → (..., C)."""
        output: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return output


class Layer(nn.Module):
    """One Swin layer: window attention and MLP, each with a norm before it and a shortcut around it."""

    attn_mask: Tensor | None

    def __init__(self, channels: int, window: int, shift: int, image_size: int) -> None:
        super().__init__()
        self.window, self.shift, self.stored_size = window, shift, (image_size, image_size)
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, HEADS, window)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, MLP_RATIO * channels)
        self.register_buffer("attn_mask", shift_mask(self.stored_size, window, shift) if shift else None)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(N, H, W, C) → (N, H, W, C); ``mask`` is ``shift_mask`` of (H, W) where that is not ``image_size``."""
        size = (int(x.shape[1]), int(x.shape[2]))
        tiles = self.norm1(x)
        if self.shift:
            tiles = torch.roll(tiles, (-self.shift, -self.shift), (1, 2))
            mask = self.attn_mask if size == self.stored_size else mask
        attended = self.attn(windows_of(tiles, self.window), mask if self.shift else None)
        attended = from_windows(attended, self.window, size)
        if self.shift:
            attended = torch.roll(attended, (self.shift, self.shift), (1, 2))
        x = x + attended
        output: Tensor = x + self.mlp(self.norm2(x))
        return output


class LayerStack(nn.Module):
    """Layers in sequence, every second one with shifted windows; a module of its own for its state-dict key."""

    def __init__(self, channels: int, layers: int, window: int, image_size: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Layer(channels, window, (i % 2) * (window // 2), image_size) for i in range(layers))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        x = x.permute(0, 2, 3, 1)
        for block in self.blocks:
            x = block(x, mask)
        return x.permute(0, 3, 1, 2)


class Group(nn.Module):
    """RSTB: layers, a convolution, plus the group's input."""

    def __init__(self, channels: int, layers: int, window: int, image_size: int) -> None:
        super().__init__()
        self.residual_group = LayerStack(channels, layers, window, image_size)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        residual: Tensor = self.conv(self.residual_group(x, mask))
        return x + residual


class ChannelNorm(nn.Module):
    """Layer norm over the channels of an image; a module of its own for its state-dict key."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        normed: Tensor = self.norm(x.permute(0, 2, 3, 1))
        return normed.permute(0, 3, 1, 2)


class SwinIR(nn.Module):
    """Super-resolution: (N, 3, H, W) float32 0..1 → (N, 3, scale*H, scale*W), not clipped, for any H and W."""

    mean: Tensor

    def __init__(self, channels: int, groups: int, layers: int, window: int, scale: int, image_size: int) -> None:
        super().__init__()
        _check(channels, window, image_size)
        self.window, self.scale, self.stored_size = window, scale, (image_size, image_size)
        self.conv_first = nn.Conv2d(3, channels, 3, padding=1)
        self.patch_embed = ChannelNorm(channels)
        self.layers = nn.ModuleList(Group(channels, layers, window, image_size) for _ in range(groups))
        self.norm = nn.LayerNorm(channels)
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_before_upsample = nn.Sequential(nn.Conv2d(channels, HEAD_CHANNELS, 3, padding=1), nn.LeakyReLU())
        self.upsample = upsampler(HEAD_CHANNELS, scale)
        self.conv_last = nn.Conv2d(HEAD_CHANNELS, 3, 3, padding=1)
        # Not in the state dict: BasicSR's checkpoints do not contain it.
        self.register_buffer("mean", torch.tensor(RGB_MEAN).view(1, 3, 1, 1), persistent=False)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 3, scale*H, scale*W); padded to whole windows, and cropped again."""
        # int(): exporters then trace constants instead of arithmetic on shapes.
        height, width = int(x.shape[2]), int(x.shape[3])
        below, right = -height % self.window, -width % self.window
        if below or right:
            # A reflection cannot be longer than the image.
            mode = "reflect" if below < height and right < width else "replicate"
            x = functional.pad(x, (0, right, 0, below), mode)
        shallow = self.conv_first(x - self.mean)
        deep = self.conv_after_body(self._body(shallow)) + shallow
        enlarged: Tensor = self.conv_last(self.upsample(self.conv_before_upsample(deep))) + self.mean
        return enlarged[:, :, : height * self.scale, : width * self.scale] if below or right else enlarged

    def _body(self, x: Tensor) -> Tensor:
        size = (int(x.shape[2]), int(x.shape[3]))
        mask = None if size == self.stored_size else shift_mask(size, self.window, self.window // 2).to(x.device)
        x = self.patch_embed(x)
        for group in self.layers:
            x = group(x, mask)
        normed: Tensor = self.norm(x.permute(0, 2, 3, 1))
        return normed.permute(0, 3, 1, 2)


def _check(channels: int, window: int, image_size: int) -> None:
    if channels % HEADS:
        raise InputError(f"channels = {channels} in [network]; a multiple of SwinIR's {HEADS} heads was expected")
    if window < 2 or window % 2 or image_size % window or image_size < window:
        raise InputError(
            f"window = {window}, image_size = {image_size} in [network]; an even window, and an image_size that is a "
            "multiple of it, were expected"
        )


def _initialise(module: nn.Module) -> None:
    """Draw the initial weights of a linear layer as the authors do."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


def teacher(
    channels: int = 180, groups: int = 6, layers: int = 6, window: int = 8, scale: int = 2, image_size: int = 48
) -> nn.Module:
    """SwinIR, 180 channels, 6 groups of 6 layers: 11.8 M parameters at x2.

    Args:
        channels: Of each feature; a multiple of the 6 heads.
        groups: Residual groups.
        layers: In each group.
        window: Side of an attention window, LR pixels.
        scale: 2, 3 or 4.
        image_size: Side of the training patch, LR pixels; ``attn_mask`` is stored for this size.
    """
    return SwinIR(channels, groups, layers, window, scale, image_size)


def student(
    channels: int = 60, groups: int = 4, layers: int = 6, window: int = 8, scale: int = 2, image_size: int = 48
) -> nn.Module:
    """SwinIR, 60 channels, 4 groups of 6 layers: 1.2 M parameters at x2. Arguments as ``teacher``'s."""
    return SwinIR(channels, groups, layers, window, scale, image_size)
