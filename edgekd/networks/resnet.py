"""ResNet 18 and 101 as dense feature extractors: output stride 16, and the last stage's output before its ReLU.

Source: K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv 1512.03385; output stride by
dilation after L. Chen et al., arXiv 1706.05587. State-dict keys are torchvision's, so that its ImageNet weights load
(``conv1``, ``bn1``, ``layer1`` to ``layer4``); its ``fc`` is left out.
Differs from the paper: the last batch norm of each residual branch starts at 0 (P. Goyal et al., "Accurate, Large
Minibatch SGD", 2017, section 5.1), without which 101 layers hardly train from scratch; the last stage has stride 1 and
dilation 2 instead of stride 2.
"""

from __future__ import annotations

from torch import Tensor, nn

_BLOCKS = {18: (2, 2, 2, 2), 101: (3, 4, 23, 3)}  # of each stage; He et al., table 1


class _Block(nn.Module):
    """Shared by both blocks: the residual branch plus the shortcut, and a last ReLU that can be replaced."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        # A module of its own, so that the last block's can become an identity.
        self.relu_out: nn.Module = nn.ReLU()
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != channels_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', H / stride, W / stride)."""
        # 1x1 convolution where channels or size change, else the input itself.
        shortcut = x if self.downsample is None else self.downsample(x)
        activated: Tensor = self.relu_out(self.residual(x) + shortcut)
        return activated

    def residual(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', H / stride, W / stride), which is added to the shortcut."""
        raise NotImplementedError


class BasicBlock(_Block):
    """Two 3x3 convolutions."""

    EXPANSION = 1

    def __init__(self, channels_in: int, channels: int, stride: int, dilation: int) -> None:
        super().__init__(channels_in, channels, stride)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, dilation, dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.bn2.weight)

    def residual(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', H / stride, W / stride)."""
        x = self.relu(self.bn1(self.conv1(x)))
        branch: Tensor = self.bn2(self.conv2(x))
        return branch


class Bottleneck(_Block):
    """1x1, 3x3, 1x1 convolutions; the 3x3 one carries the stride, as in torchvision."""

    EXPANSION = 4

    def __init__(self, channels_in: int, channels: int, stride: int, dilation: int) -> None:
        super().__init__(channels_in, channels * self.EXPANSION, stride)
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, channels * self.EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels * self.EXPANSION)
        nn.init.zeros_(self.bn3.weight)

    def residual(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, 4 C', H / stride, W / stride)."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        branch: Tensor = self.bn3(self.conv3(x))
        return branch


class ResNet(nn.Module):
    """``layers`` is 18 or 101; ``width`` is the number of the stem's channels, 64 in the paper, and scales all others.

    Attributes:
        channels_low, channels_deep: Of the two features that ``forward`` returns.
        ends_linear: Whether the deep feature is meant to be used without an activation.
    """

    ends_linear = False

    def __init__(self, layers: int, width: int = 64) -> None:
        super().__init__()
        block = BasicBlock if layers == 18 else Bottleneck
        self.channels_low, self.channels_deep = width * block.EXPANSION, 8 * width * block.EXPANSION
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels_in = width
        for stage, count in enumerate(_BLOCKS[layers]):
            # Dilation 2 gives the last stage the receptive field that its stride of 2 would have given.
            channels, dilation = width * 2**stage, 2 if stage == 3 else 1
            blocks: list[_Block] = []
            for index in range(count):
                stride = 2 if index == 0 and stage in (1, 2) else 1
                blocks.append(block(channels_in, channels, stride, dilation))
                channels_in = channels * block.EXPANSION
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        blocks[-1].relu_out = nn.Identity()  # methods compare the deep feature before its ReLU
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) → low (N, C, H/4, W/4) after ReLU, deep (N, C', H/16, W/16) before ReLU."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (N, width, H/4, W/4)
        low: Tensor = self.get_submodule("layer1")(x)
        deep: Tensor = low
        for stage in ("layer2", "layer3", "layer4"):
            deep = self.get_submodule(stage)(deep)  # H/8, H/16, H/16
        return low, deep
