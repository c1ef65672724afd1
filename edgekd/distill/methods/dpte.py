"""DPTE-Net's distillation for dehazing: ground truth, the teacher's picture and its hint, and a critic.

Formula: L = recon * (TA(J_s, J) + P(J_s, J)) + d * soft * (TA(J_s, J_t) + P(J_s, J_t))
    + d * hint * mean((adapt(F_s) - F_t)^2) + adversarial * mean(D(J_s)),
TA(a, b) = mean((W * (a - b))^2), P(a, b) = mean((phi(a) - phi(b))^2), phi = VGG16's block3_conv3 after its ReLU.
J is the clear picture, J_t and J_s are what the networks give, W = 1 - t of the haze map, d is the share left to the
teacher, and means are over all elements. adapt is a pooling transformer block, a 1x1 convolution and LeakyReLU(0.1).
The critic D is trained beside it to make mean(D(J)) - mean(D(J_s)) small; its answers are 0..1, and there is neither
clipping nor gradient penalty.
Decay: "linear" is d = 1 - progress, the released schedule; "two_stage" is d = max(0, 1 - 2 * progress), stage 1 with
the teacher and stage 2 with ground truth only, the schedule of the authors' sister network SDDN; "constant" is d = 1.

Source: L. Tran, D. Park, "Distilled Pooling Transformer Encoder for Efficient Realistic Image Dehazing", arXiv
2412.14220 (2024), its section on distillation, with the weights and schedules of its released code.
Differs from the paper: progress falls each step, not each epoch. The critic's fakes are this step's own pictures, made
in train mode, not a second pass in inference mode. VGG16's weights are torchvision's, not Keras's (caffe's), fed -1..1
alike. perceptual = "pyramid" puts a Laplacian pyramid (P. Burt, E. Adelson, IEEE Transactions on Communications 31(4),
1983; boxes for its Gaussians) in phi's place, for where no VGG16 weights are at hand.
Floor: where student and teacher give the same picture the soft terms are 0; the hint's is not, since its adaptor starts
at random, nor are the terms of the ground truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.core.errors import InputError, RecipeError
from edgekd.distill.method import INPUT, OUTPUT, Setting, Taps
from edgekd.networks.checkpoint import read_state

NEEDS_TEACHER = True
HINT = "hint"
# torchvision's vgg16.features up to block3_conv3: indices of the convolutions, and after which a max-pool follows.
_VGG_CONVS, _VGG_POOLED = (0, 2, 5, 7, 10, 12, 14), (2, 7)
_RATIO, _SLOPE = 4, 0.1
_SCALES = 3


@dataclass(frozen=True, slots=True)
class Config:
    """Weights of the terms (0 leaves a term out) and how they are made.

    Attributes:
        recon, hint, soft, adversarial: As in the formula; the defaults are the last release's.
        pixel, perceptual_weight: Weights of TA and of P within ``recon`` and ``soft``.
        transmission_aware: Off, W is 1 everywhere.
        perceptual: "vgg16" needs ``vgg16``; "pyramid" is the stand-in; "none" leaves P out.
        vgg16: Path of torchvision's vgg16 weights, a .safetensors or .pt state dict.
        decay: Of the teacher's terms, ``hint`` and ``soft``.
        critic_width: Channels of the critic's first level.
        critic_steps: Of the critic, one on real and one on fake pictures each, before a step of the student.
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
        for name in ("recon", "hint", "soft", "adversarial", "pixel", "perceptual_weight"):
            if not getattr(self, name) >= 0:
                raise RecipeError(f"{name} = {getattr(self, name)!r}; a weight of 0 or more was expected")
        for name in ("critic_width", "critic_steps", "critic_learning_rate"):
            if not getattr(self, name) > 0:
                raise RecipeError(f"{name} = {getattr(self, name)!r}; more than 0 was expected")

    @property
    def compares_features(self) -> bool:
        """Whether P has a part in the loss."""
        return self.perceptual != "none" and self.perceptual_weight > 0 and (self.recon > 0 or self.soft > 0)


def make_loss(config: Config, setting: Setting) -> Dpte:
    """Return the loss.

    Raises:
        RecipeError: VGG16's weights are asked for and not given, outputs are no pictures of one size, the input has no
            haze map, or the tap "hint" is missing or differs in size.
        InputError: The file of VGG16's weights is unusable.
    """
    _check(config, setting)
    return Dpte(config, setting)


class Dpte(nn.Module):
    """The loss, with the adaptor it learns beside the student and the critic it trains itself."""

    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__()
        self.config = config
        self.adaptor: nn.Module | None = None
        if config.hint:
            self.adaptor = adaptor(setting.student[HINT][1], setting.teacher[HINT][1])
        self.features: nn.Module | None = None
        if config.compares_features:
            self.features = Pyramid() if config.perceptual == "pyramid" else VGG16(Path(config.vgg16))
        self.critic: Critic | None = None
        self._optimizers: list[torch.optim.Optimizer] = []
        if config.adversarial:
            # No gradients but in ``prepare``: the student's step must leave the critic alone.
            self.critic = Critic(config.critic_width).requires_grad_(False)
            self._optimizers = [torch.optim.Adam(self.critic.parameters(), lr=config.critic_learning_rate)]

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Return the critic's optimizer; the loop trains none of its parameters and checkpoints its state."""
        return self._optimizers

    def prepare(self, student: Taps, teacher: Taps, target: Tensor) -> None:
        """Train the critic on this step's pictures; called once a step, before the loss.

        Args:
            student: "output" (N, 3, H, W) float32; its graph is left alone.
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

    def forward(self, student: Taps, teacher: Taps, target: Tensor, progress: float) -> dict[str, Tensor]:
        """Return the terms of one step's loss; see ``_setting.Loss``."""
        config, output = self.config, student[OUTPUT]
        left = share_left(config.decay, progress)
        haze = 1 - transmission(student[INPUT]) if config.transmission_aware else torch.ones_like(output[:, :1])
        phi = self.features(output) if self.features is not None else None
        terms: dict[str, Tensor] = {}
        for name, weight, truth in (("recon", config.recon, target), ("soft", left * config.soft, teacher[OUTPUT])):
            if not getattr(config, name):
                continue
            if config.pixel:
                terms[name] = weight * config.pixel * transmission_aware(output, truth, haze)
            if self.features is not None and phi is not None:
                apart = functional.mse_loss(phi, self.features(truth))
                terms[f"{name}_perceptual"] = weight * config.perceptual_weight * apart
        if self.adaptor is not None:
            apart = functional.mse_loss(self.adaptor(student[HINT]), teacher[HINT])
            terms["hint"] = left * config.hint * apart
        if self.critic is not None:
            terms["adversarial"] = config.adversarial * self.critic(output).mean()
        return terms


def transmission(network_input: Tensor) -> Tensor:
    """Return t, (N, 1, H, W), of the haze map 2 * (t - 0.5) in channel 3 of (N, 4, H, W) float32."""
    return network_input[:, 3:4] / 2 + 0.5


def transmission_aware(a: Tensor, b: Tensor, haze: Tensor) -> Tensor:
    """Return mean((W * (a - b))^2), which counts dense haze more.

    Args:
        a: (N, 3, H, W) float32.
        b: (N, 3, H, W) float32.
        haze: (N, 1, H, W) float32, W = 1 - t.
    """
    return (haze * (a - b)).square().mean()


def share_left(decay: str, progress: float) -> float:
    """Return d, the share of the teacher's terms that is left at ``progress`` 0..1; see the module."""
    if decay == "constant":
        return 1.0
    return max(0.0, 1 - (2 if decay == "two_stage" else 1) * progress)


class _Block(nn.Module):
    """The network's pooling transformer block, here as the first part of the adaptation branch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # eps and momentum are Keras's defaults; it counts momentum the other way round.
        self.norm1, self.norm2 = (nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01) for _ in range(2))
        self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.expand = nn.Conv2d(channels, _RATIO * channels, 1)
        self.reduce = nn.Conv2d(_RATIO * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pool(self.norm1(x))
        mixed: Tensor = self.reduce(functional.silu(self.expand(self.norm2(x))))
        return x + mixed


def adaptor(channels_s: int, channels_t: int) -> nn.Sequential:
    """Return the branch that turns (N, channels_s, H, W) of the student into (N, channels_t, H, W)."""
    branch = nn.Sequential(_Block(channels_s), nn.Conv2d(channels_s, channels_t, 1), nn.LeakyReLU(_SLOPE))
    return branch.apply(_he_normal)


class Critic(nn.Module):
    """(N, 3, H, W) → (N, 1), 0..1: five levels of two 3x3 convolutions with max-pools between, mean, two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inward = 3
        for level in range(5):
            outward = width * 2**level
            layers += [nn.MaxPool2d(2)] if level else []
            for channels in (inward, outward):
                layers += [nn.Conv2d(channels, outward, 3, padding=1), nn.ReLU()]
            layers += [nn.Dropout(0.5)] if level >= 3 else []
            inward = outward
        self.levels = nn.Sequential(*layers)
        self.judge = nn.Sequential(nn.Linear(inward, 128), nn.LeakyReLU(_SLOPE), nn.Linear(128, 1), nn.Sigmoid())
        self.apply(_he_normal)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32 → (N, 1) float32."""
        judged: Tensor = self.judge(self.levels(x).mean(dim=(2, 3)))
        return judged


class VGG16(nn.Module):
    """(N, 3, H, W) -1..1 → (N, 256, H/4, W/4): VGG16 up to block3_conv3 and its ReLU, frozen."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        state = {key.removeprefix("features."): tensor for key, tensor in read_state(path).items()}
        inward, widths = 3, (64, 64, 128, 128, 256, 256, 256)
        for layer, outward in zip(_VGG_CONVS, widths, strict=True):
            for part, shape in (("weight", (outward, inward, 3, 3)), ("bias", (outward,))):
                found = state.get(f"{layer}.{part}")
                if found is None or tuple(found.shape) != shape:
                    what = "nothing" if found is None else list(found.shape)
                    raise InputError(
                        f"{path} has {what} at features.{layer}.{part}, {list(shape)} was expected: the state dict of "
                        "torchvision's vgg16"
                    )
                # Buffers that no checkpoint holds: the file they came from is at hand.
                self.register_buffer(f"{part}{layer}", found.float(), persistent=False)
            inward = outward

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32 → (N, 256, H/4, W/4) float32."""
        for layer in _VGG_CONVS:
            weight, bias = self.get_buffer(f"weight{layer}"), self.get_buffer(f"bias{layer}")
            x = functional.relu(functional.conv2d(x, weight, bias, padding=1))
            x = functional.max_pool2d(x, 2) if layer in _VGG_POOLED else x
        return x


class Pyramid(nn.Module):
    """(N, 3, H, W) → (N, F): what each halving of the picture loses, three times, and what is left.

    A level's values are weighed by the root of all levels' count over its own, so that the squared error's mean is
    the mean over levels of each level's own.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32 → (N, F) float32."""
        levels: list[Tensor] = []
        for _ in range(_SCALES):
            half = functional.avg_pool2d(x, 2, ceil_mode=True)
            levels.append((x - functional.interpolate(half, size=x.shape[2:], mode="nearest")).flatten(1))
            x = half
        levels.append(x.flatten(1))
        total = sum(level.shape[1] for level in levels)
        return torch.cat([level * (total / (len(levels) * level.shape[1])) ** 0.5 for level in levels], dim=1)


def _he_normal(module: nn.Module) -> None:
    """As the authors begin; torch's own beginning would leave a critic this deep with nothing to tell apart."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _check(config: Config, setting: Setting) -> None:
    if config.perceptual == "vgg16" and config.compares_features and not config.vgg16:
        raise RecipeError(
            'options.perceptual = "vgg16" and options.vgg16 = ""; the path of torchvision\'s vgg16 weights was '
            'expected: give it, or choose perceptual = "pyramid" (detail of several scales in their place) or "none"'
        )
    output_s, output_t, given = setting.student[OUTPUT], setting.teacher[OUTPUT], setting.student[INPUT]
    if setting.classes or output_s != output_t or len(output_s) != 4:
        raise RecipeError(
            f"method 'dpte' compares pictures; the student gives {list(output_s)}, the teacher {list(output_t)}; "
            "pictures of one size were expected: choose another method, or equal sizes"
        )
    if config.transmission_aware and (given[1] != 4 or given[2:] != output_s[2:]):
        raise RecipeError(
            f"method 'dpte' weighs by the haze map, and the input is {list(given)} for an output of {list(output_s)}; "
            "four channels of equal height and width were expected: set options.transmission_aware = false"
        )
    if not config.hint:
        return
    setting.need_features("dpte")
    if HINT not in setting.student or HINT not in setting.teacher:
        raise RecipeError(
            f"method 'dpte' compares the tap {HINT!r} and found {', '.join(setting.features)}; name it so: "
            f'taps.{HINT} = {{student = "hint", teacher = "hint"}}, or set options.hint = 0'
        )
    hint_s, hint_t = setting.student[HINT], setting.teacher[HINT]
    if len(hint_s) != 4 or len(hint_t) != 4 or hint_s[2:] != hint_t[2:]:
        raise RecipeError(
            f"tap {HINT!r} is {list(hint_s)} of the student and {list(hint_t)} of the teacher; equal heights and "
            "widths were expected: choose modules of one depth"
        )
