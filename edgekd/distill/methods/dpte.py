"""DPTE-Net's distillation for dehazing: ground truth, the teacher's picture and its hint, and a critic.

Formula: L = recon * (TA(J_s, J) + P(J_s, J)) + d * soft * (TA(J_s, J_t) + P(J_s, J_t))
    + d * hint * mean((adapt(F_s) - F_t)^2) + adversarial * mean(D(J_s)),
TA(a, b) = mean((W * (a - b))^2), P(a, b) = mean((phi(a) - phi(b))^2), phi = VGG16's block3_conv3 after its ReLU.
J is the clear picture, J_t and J_s are the networks' outputs, W = 1 - t of the haze map, d is the remaining share of
the teacher's terms, and means are over all elements. adapt is a pooling transformer block, a 1x1 convolution and
LeakyReLU(0.1). The critic D is trained alongside to make mean(D(J)) - mean(D(J_s)) small; its outputs are 0..1, and
there is neither clipping nor gradient penalty.
Decay: "linear" is d = 1 - progress, the released schedule; "two_stage" is d = max(0, 1 - 2 * progress), stage 1 with
the teacher and stage 2 with ground truth only, the schedule of the authors' sister network SDDN; "constant" is d = 1.

Source: L. Tran, D. Park, "Distilled Pooling Transformer Encoder for Efficient Realistic Image Dehazing", arXiv
2412.14220 (2024), its section on distillation, with the weights and schedules of its released code.
Differs from the paper: progress advances each step, not each epoch. The critic's fakes are this step's own outputs, in
train mode, not a second pass in inference mode. VGG16's weights are torchvision's, not Keras's (caffe's); the input
is -1..1 in both. perceptual = "pyramid" replaces phi by a Laplacian pyramid (P. Burt, E. Adelson, IEEE Transactions on
Communications 31(4), 1983; box filters for its Gaussians), where no VGG16 weights are available.
Floor: where student and teacher give the same picture the soft terms are 0; the hint's is not, because its adaptor
starts at random, nor are the terms of the ground truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.core.errors import InputError, RecipeError
from edgekd.distill.method import INPUT, OUTPUT, Features, LossContext, check_not_negative, check_positive
from edgekd.networks.checkpoint import read_state

NEEDS_TEACHER = True
HINT = "hint"  # the name that the hint must have in feature_layers
# torchvision's vgg16.features up to block3_conv3: (index of the convolution, its output channels).
_VGG_CONVOLUTIONS = ((0, 64), (2, 64), (5, 128), (7, 128), (10, 256), (12, 256), (14, 256))
_VGG_POOLED = (2, 7)  # a max-pool follows these convolutions
_EXPANSION = 4  # of the transformer block's two 1x1 convolutions
_SLOPE = 0.1  # of LeakyReLU
_PYRAMID_LEVELS = 3


@dataclass(frozen=True, slots=True)
class Config:
    """Weights of the terms, and how they are made; a weight of 0 removes its term.

    Attributes:
        recon, hint, soft, adversarial: As in the formula; the defaults are the last release's.
        pixel, perceptual_weight: Weights of TA and of P within ``recon`` and ``soft``.
        transmission_aware: Weight pixels by the haze; if false, W is 1 everywhere.
        perceptual: "vgg16" needs ``vgg16``; "pyramid" replaces it; "none" removes P.
        vgg16: Path of torchvision's vgg16 weights, a .safetensors or .pt state dict.
        decay: Of the teacher's terms, ``hint`` and ``soft``.
        critic_width: Channels of the critic's first level.
        critic_steps: The critic's steps before each step of the student, each on real and on fake pictures.
        critic_learning_rate: Of its Adam (betas 0.9, 0.999).
    """

    recon: float = 30.0
    hint: float = 10.0
    soft: float = 10.0
    adversarial: float = 1.0
    pixel: float = 1.0
    perceptual_weight: float = 1.0
    transmission_aware: bool = True
    perceptual: Literal["vgg16", "pyramid", "none"] = "vgg16"
    vgg16: str = ""
    decay: Literal["linear", "two_stage", "constant"] = "linear"
    critic_width: int = 16
    critic_steps: int = 5
    critic_learning_rate: float = 1e-4

    def __post_init__(self) -> None:
        check_not_negative(self, "recon", "hint", "soft", "adversarial", "pixel", "perceptual_weight")
        check_positive(self, "critic_width", "critic_steps", "critic_learning_rate")

    @property
    def has_perceptual_term(self) -> bool:
        """Whether P has a part in the loss."""
        return self.perceptual != "none" and self.perceptual_weight > 0 and (self.recon > 0 or self.soft > 0)


def make_loss(config: Config, context: LossContext) -> Dpte:
    """Return the loss; see ``method.Loss``.

    Raises:
        RecipeError: VGG16's weights are needed and no file is named, outputs are not pictures of one size, the input
            has no haze map, or the feature "hint" is missing or differs in size.
        InputError: The file of VGG16's weights cannot be used.
    """
    _check(config, context)
    return Dpte(config, context)


class Dpte(nn.Module):
    """The loss, with the adaptor that is trained with the student and the critic that it trains itself."""

    def __init__(self, config: Config, context: LossContext) -> None:
        super().__init__()
        self.config = config
        self.adaptor: nn.Module | None = None
        if config.hint:
            self.adaptor = adaptor(context.student_shapes[HINT][1], context.teacher_shapes[HINT][1])
        self.perceptual: nn.Module | None = None
        if config.has_perceptual_term:
            self.perceptual = Pyramid() if config.perceptual == "pyramid" else VGG16(Path(config.vgg16))
        self.critic: Critic | None = None
        self._optimizers: list[torch.optim.Optimizer] = []
        if config.adversarial:
            # Gradients only in ``prepare``: the student's step must leave the critic alone.
            self.critic = Critic(config.critic_width).requires_grad_(False)
            self._optimizers = [torch.optim.Adam(self.critic.parameters(), lr=config.critic_learning_rate)]

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Return the critic's optimizer; see ``method.HasOptimizers``."""
        return self._optimizers

    def prepare(self, student: Features, teacher: Features, target: Tensor) -> None:
        """Train the critic on this step's pictures; see ``method.PreparesStep``.

        Args:
            student: "output" (N, 3, H, W) float32.
            teacher: Not used.
            target: (N, 3, H, W) float32, clear pictures.
        """
        if self.critic is None:
            return
        self.critic.requires_grad_(True)
        for _ in range(self.config.critic_steps):
            for sign, pictures in ((1.0, target), (-1.0, student[OUTPUT].detach())):
                self._optimizers[0].zero_grad()
                (sign * self.critic(pictures).mean()).backward()
                self._optimizers[0].step()
        self._optimizers[0].zero_grad()
        self.critic.requires_grad_(False)

    def forward(self, student: Features, teacher: Features, target: Tensor, progress: float) -> dict[str, Tensor]:
        """Return the loss terms, each a scalar (), of images (N, 3, H, W) float32; see ``method.Loss``."""
        config, output = self.config, student[OUTPUT]
        teacher_share = remaining_share(config.decay, progress)
        haze = 1 - transmission(student[INPUT]) if config.transmission_aware else torch.ones_like(output[:, :1])
        # Both picture terms need the output's perceptual features; VGG16 is most of the step, so it runs once.
        perceptual_s = self.perceptual(output) if self.perceptual is not None else None
        goals = {"recon": (config.recon, target), "soft": (teacher_share * config.soft, teacher[OUTPUT])}
        terms: dict[str, Tensor] = {}
        for name, (weight, goal) in goals.items():
            if not getattr(config, name):
                continue
            if config.pixel:
                terms[name] = weight * config.pixel * transmission_aware(output, goal, haze)
            if self.perceptual is not None and perceptual_s is not None:
                perceptual_error = functional.mse_loss(perceptual_s, self.perceptual(goal))
                terms[f"{name}_perceptual"] = weight * config.perceptual_weight * perceptual_error
        if self.adaptor is not None:
            hint_error = functional.mse_loss(self.adaptor(student[HINT]), teacher[HINT])
            terms["hint"] = teacher_share * config.hint * hint_error
        if self.critic is not None:
            terms["adversarial"] = config.adversarial * self.critic(output).mean()
        return terms


def transmission(network_input: Tensor) -> Tensor:
    """Return t, (N, 1, H, W), from the haze map 2 * (t - 0.5) in channel 3 of (N, 4, H, W) float32."""
    return network_input[:, 3:4] / 2 + 0.5


def transmission_aware(a: Tensor, b: Tensor, haze: Tensor) -> Tensor:
    """Return mean((W * (a - b))^2), in which dense haze counts more.

    Args:
        a: (N, 3, H, W) float32.
        b: (N, 3, H, W) float32.
        haze: (N, 1, H, W) float32, W = 1 - t.
    """
    return (haze * (a - b)).square().mean()


def remaining_share(decay: str, progress: float) -> float:
    """Return d, the share of the teacher's terms that remains at ``progress`` 0..1; see the module."""
    if decay == "constant":
        return 1.0
    return max(0.0, 1 - (2 if decay == "two_stage" else 1) * progress)


class _Block(nn.Module):
    """The network's pooling transformer block, here the first part of the adaptor."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # eps and momentum are Keras's defaults; its momentum 0.99 is torch's 0.01.
        self.norm1 = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
        self.norm2 = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
        self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.expand = nn.Conv2d(channels, _EXPANSION * channels, 1)
        self.reduce = nn.Conv2d(_EXPANSION * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pool(self.norm1(x))
        mixed: Tensor = self.reduce(functional.silu(self.expand(self.norm2(x))))
        return x + mixed


def adaptor(channels_s: int, channels_t: int) -> nn.Sequential:
    """Return the module that turns (N, channels_s, H, W) of the student into (N, channels_t, H, W)."""
    module = nn.Sequential(_Block(channels_s), nn.Conv2d(channels_s, channels_t, 1), nn.LeakyReLU(_SLOPE))
    return module.apply(_he_normal)


class Critic(nn.Module):
    """(N, 3, H, W) → (N, 1), 0..1: five levels of two 3x3 convolutions with max-pools between, mean, two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for level in range(5):
            level_channels = width * 2**level
            if level:
                layers.append(nn.MaxPool2d(2))
            layers += [nn.Conv2d(channels, level_channels, 3, padding=1), nn.ReLU()]
            layers += [nn.Conv2d(level_channels, level_channels, 3, padding=1), nn.ReLU()]
            if level >= 3:  # the two deepest levels have most of the parameters
                layers.append(nn.Dropout(0.5))
            channels = level_channels
        self.levels = nn.Sequential(*layers)
        self.judge = nn.Sequential(nn.Linear(channels, 128), nn.LeakyReLU(_SLOPE), nn.Linear(128, 1), nn.Sigmoid())
        self.apply(_he_normal)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32 → (N, 1) float32."""
        score: Tensor = self.judge(self.levels(x).mean(dim=(2, 3)))
        return score


class VGG16(nn.Module):
    """(N, 3, H, W) -1..1 → (N, 256, H/4, W/4): VGG16 up to block3_conv3 and its ReLU, frozen."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        # A state dict of the whole network or of ``vgg16.features`` alone.
        state = {key.removeprefix("features."): tensor for key, tensor in read_state(path).items()}
        channels_in = 3
        for layer, channels_out in _VGG_CONVOLUTIONS:
            shapes = {"weight": (channels_out, channels_in, 3, 3), "bias": (channels_out,)}
            for part, shape in shapes.items():
                found = state.get(f"{layer}.{part}")
                if found is None or tuple(found.shape) != shape:
                    what = "nothing" if found is None else list(found.shape)
                    raise InputError(
                        f"{path} has {what} at features.{layer}.{part}, {list(shape)} was expected: the state dict of "
                        "torchvision's vgg16"
                    )
                # Not persistent: a training's checkpoints need no copy of a file that is there.
                self.register_buffer(f"{part}{layer}", found.float(), persistent=False)
            channels_in = channels_out

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32 → (N, 256, H/4, W/4) float32."""
        for layer, _channels in _VGG_CONVOLUTIONS:
            weight, bias = self.get_buffer(f"weight{layer}"), self.get_buffer(f"bias{layer}")
            x = functional.relu(functional.conv2d(x, weight, bias, padding=1))
            if layer in _VGG_POOLED:
                x = functional.max_pool2d(x, 2)
        return x


class Pyramid(nn.Module):
    """(N, 3, H, W) → (N, F): the detail that each of three halvings of the picture loses, and the rest.

    Each level is scaled by the root of (all values / levels / its own values), so that the mean of the squared error is
    the mean over levels of each level's own.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32 → (N, F) float32."""
        levels: list[Tensor] = []
        for _ in range(_PYRAMID_LEVELS):
            half = functional.avg_pool2d(x, 2, ceil_mode=True)  # ceil_mode keeps an odd last row and column
            levels.append((x - functional.interpolate(half, size=x.shape[2:], mode="nearest")).flatten(1))
            x = half
        levels.append(x.flatten(1))
        total = sum(level.shape[1] for level in levels)
        return torch.cat([level * (total / (len(levels) * level.shape[1])) ** 0.5 for level in levels], dim=1)


def _he_normal(module: nn.Module) -> None:
    """Initialise as the authors do; with torch's own initialisation a critic this deep has almost constant outputs."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _check(config: Config, context: LossContext) -> None:
    if config.perceptual == "vgg16" and config.has_perceptual_term and not config.vgg16:
        raise RecipeError(
            'options.perceptual = "vgg16" and options.vgg16 = ""; the path of torchvision\'s vgg16 weights was '
            'expected: set it, or choose perceptual = "pyramid" (detail at several scales instead) or "none"'
        )
    output_s, output_t = context.student_shapes[OUTPUT], context.teacher_shapes[OUTPUT]
    if context.is_classification or output_s != output_t or len(output_s) != 4:
        raise RecipeError(
            f"method 'dpte' compares pictures; the student's output is {list(output_s)}, the teacher's "
            f"{list(output_t)}; pictures of one size were expected: choose another method, or equal sizes"
        )
    network_input = context.student_shapes[INPUT]
    if config.transmission_aware and (network_input[1] != 4 or network_input[2:] != output_s[2:]):
        raise RecipeError(
            f"method 'dpte' weights pixels by the haze map, and the input is {list(network_input)} for an output of "
            f"{list(output_s)}; four channels of equal height and width were expected: set "
            "options.transmission_aware = false"
        )
    if config.hint:
        names = context.require_features("dpte")
        if HINT not in names:
            raise RecipeError(
                f"method 'dpte' compares the feature {HINT!r} and found {', '.join(names)}; name it "
                f'feature_layers.{HINT} = {{student = "hint", teacher = "hint"}}, or set options.hint = 0'
            )
        context.map_shapes(HINT)
