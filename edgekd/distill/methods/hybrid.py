"""Hybrid attention and logit distillation: a student's aligned attention maps, a softened KL, and cross-entropy.

Formula: L = alpha * CE(z_s, y) + beta * T² * KL(softmax(z_t / T) || softmax(z_s / T)) + gamma * L_att,
L_att = (1 / K) * sum_k ||Q_s^k - Q_t^k||_2², mean over the batch, where k runs over the taps and
Q = vec(A) / ||vec(A)||_2; A_s = mean_c P(F_s)², P = upsampling to the teacher's size, 1x1 convolution, batch norm;
A_t = mean_c F_t² (attention = "activation"), or the softmax attention itself, mean over heads and queries
(attention = "self").
Source: S. Mugisha, R. Kisitu, F. Tushabe, "Hybrid Knowledge Transfer through Attention and Logit Distillation for
On-Device Vision Systems in Agricultural IoT", arXiv 2504.16128 (2025): adaptive attention alignment (learnable
upsampling, channel projection, normalisation), temperature KL on logits, spatial attention loss.
Differs from the paper: it publishes neither code nor values, so this is our reading of it. Ours are the distance (the
squared one of normalised maps), T = 4, alpha = beta = 0.5 and gamma = 100; L_att lies in 0..2 as maps are not negative,
so gamma is worth a scan from 50 to 1000. Both readings of "attention" are here. Where the maps are of one size already
there is no upsampling layer.
Floor: a student equal to its teacher pays alpha * CE, and L_att until its projections have learnt to be the identity;
the KL is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.core.errors import RecipeError
from edgekd.distill.method import OUTPUT, Setting, Shape, Taps, soft_distance

NEEDS_TEACHER = True


@dataclass(frozen=True, slots=True)
class Config:
    """What is compared, and how much each term weighs; 0 leaves a term out.

    Attributes:
        attention: "activation" takes features (N, C, H, W) of the teacher; "self" takes its attention as maps
            (N, 1, H, W), as ``models/mobilenetv3_from_swin`` gives it at ``layers.S.blocks.B.attn.attn_drop.map``.
        upsample: "transposed" is one transposed convolution, for whole multiples; "bilinear" is bilinear enlarging
            and a 3x3 convolution, for any ratio.
        temperature: T of the KL.
        alpha, beta, gamma: Of the cross-entropy, the KL and L_att.
    """

    attention: Literal["activation", "self"] = "activation"
    upsample: Literal["bilinear", "transposed"] = "bilinear"
    temperature: float = 4.0
    alpha: float = 0.5
    beta: float = 0.5
    gamma: float = 100.0

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise RecipeError(f"temperature = {self.temperature}; more than 0 was expected")
        for name in ("alpha", "beta", "gamma"):
            if getattr(self, name) < 0:
                raise RecipeError(f"{name} = {getattr(self, name)}; 0 or more was expected")


def make_loss(config: Config, setting: Setting) -> nn.Module:
    """Return the loss; see ``_setting.Loss``.

    Raises:
        RecipeError: The task has no classes, there are no taps, or a tap's two shapes cannot be aligned.
    """
    if not setting.classes:
        raise RecipeError(
            "method 'hybrid' compares classes and this task's outputs are pictures; a task whose criterion is "
            "'cross_entropy' was expected: choose another method"
        )
    return _Loss(config, setting)


class _Loss(nn.Module):
    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__()
        self.config, self.criterion = config, setting.criterion
        self.divergence = soft_distance(setting, config.temperature)
        self.features = setting.need_features("hybrid") if config.gamma else ()
        self.aligned = nn.ModuleList(
            _alignment(tap, config, setting.student[tap], setting.teacher[tap]) for tap in self.features
        )

    def forward(self, student: Taps, teacher: Taps, target: Tensor, progress: float) -> dict[str, Tensor]:
        config, terms = self.config, {}
        if config.alpha:
            terms["task"] = config.alpha * self.criterion(student[OUTPUT], target)
        if config.beta:
            terms["logits"] = config.beta * self.divergence(student[OUTPUT], teacher[OUTPUT])
        if config.gamma:
            pairs = zip(self.features, self.aligned, strict=True)
            apart = [self._apart(align(student[tap]), teacher[tap]) for tap, align in pairs]
            terms["attention"] = config.gamma * torch.stack(apart).mean()
        return terms

    def _apart(self, aligned_s: Tensor, feature_t: Tensor) -> Tensor:
        attention_t = feature_t if self.config.attention == "self" else feature_t.square().mean(dim=1)
        squared = (_unit(aligned_s.square().mean(dim=1)) - _unit(attention_t)).square().sum(dim=1)
        return squared.mean()


def _unit(attention: Tensor) -> Tensor:
    """(N, ...) → (N, H * W) of length 1."""
    return functional.normalize(attention.flatten(1), dim=1)


def _alignment(tap: str, config: Config, shape_s: Shape, shape_t: Shape) -> nn.Module:
    """Return what turns a student's feature (N, Cs, h, w) into (N, Ct, H, W); Ct is Cs where maps are compared."""
    if len(shape_s) != 4 or len(shape_t) != 4:
        raise RecipeError(f"tap {tap!r} is {shape_s} in the student and {shape_t} in the teacher; (N, C, H, W) {_MEND}")
    if config.attention == "self" and (shape_t[1] != 1 or shape_t[0] != shape_s[0]):
        raise RecipeError(
            f"tap {tap!r} is {shape_t} in the teacher beside {shape_s} in the student; attention = 'self' compares "
            f"maps, so ({shape_s[0]}, 1, H, W) {_MEND}"
        )
    size_s, size_t = shape_s[2:], shape_t[2:]
    if size_s[0] > size_t[0] or size_s[1] > size_t[1]:
        raise RecipeError(
            f"tap {tap!r} is {size_s} pixels in the student and {size_t} in the teacher; maps are enlarged, never "
            f"shrunk, so the student's the smaller {_MEND}"
        )
    layers: list[nn.Module] = [] if size_s == size_t else _upsampling(tap, config, shape_s, size_t)
    channels = shape_s[1] if config.attention == "self" else shape_t[1]
    return nn.Sequential(*layers, nn.Conv2d(shape_s[1], channels, 1, bias=False), nn.BatchNorm2d(channels))


def _upsampling(tap: str, config: Config, shape_s: Shape, size_t: Shape) -> list[nn.Module]:
    channels, high, wide = shape_s[1:]
    if config.upsample == "bilinear":
        enlarge = nn.Upsample(size=tuple(size_t), mode="bilinear", align_corners=False)
        return [enlarge, nn.Conv2d(channels, channels, 3, padding=1)]
    if size_t[0] % high or size_t[1] % wide:
        raise RecipeError(
            f"tap {tap!r} is {(high, wide)} pixels in the student and {size_t} in the teacher; whole multiples "
            f"{_MEND}, or set upsample = 'bilinear'"
        )
    factors = size_t[0] // high, size_t[1] // wide
    # A kernel of two strides (one less where that is odd) gives every pixel the same number of contributions.
    kernel = tuple(2 * factor - factor % 2 for factor in factors)
    padding = tuple(factor // 2 for factor in factors)
    return [nn.ConvTranspose2d(channels, channels, kernel, stride=factors, padding=padding)]  # type: ignore[arg-type]


_MEND = "was expected: name other modules in taps"
