"""Hybrid attention and logit distillation: a student's aligned attention maps, a softened KL, and cross-entropy.

Formula: L = alpha * CE(z_s, y) + beta * T² * KL(softmax(z_t / T) || softmax(z_s / T)) + gamma * L_att,
L_att = (1 / K) * sum_k ||Q_s^k - Q_t^k||_2², mean over the batch, where k runs over the feature layers and
Q = vec(A) / ||vec(A)||_2; A_s = mean_c P(F_s)², P = upsampling to the teacher's size, 1x1 convolution, batch norm;
A_t = mean_c F_t² (attention = "activation"), or the softmax attention itself, mean over heads and queries
(attention = "self").
Source: S. Mugisha, R. Kisitu, F. Tushabe, "Hybrid Knowledge Transfer through Attention and Logit Distillation for
On-Device Vision Systems in Agricultural IoT", arXiv 2504.16128 (2025): adaptive attention alignment (learnable
upsampling, channel projection, normalisation), temperature KL on logits, spatial attention loss.
Differs from the paper: it publishes neither code nor values, so this is our reading of it. Ours are the distance (the
squared one of normalised maps), T = 4, alpha = beta = 0.5 and gamma = 100; L_att lies in 0..2 as maps are not negative,
so gamma is worth a scan from 50 to 1000. Both readings of "attention" are here. Maps of equal size need no upsampling
layer and have none.
Floor: a student equal to its teacher has a loss of alpha * CE, plus gamma * L_att until its projections have learnt to
be the identity; the KL is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.core.errors import RecipeError
from edgekd.distill.method import (
    OUTPUT,
    Features,
    LossContext,
    Shape,
    check_not_negative,
    check_positive,
    output_distance,
)

NEEDS_TEACHER = True


@dataclass(frozen=True, slots=True)
class Config:
    """What is compared, and the weights of the terms; a weight of 0 removes its term.

    Attributes:
        attention: "activation" takes features (N, C, H, W) of the teacher; "self" takes its attention as maps
            (N, 1, H, W), as ``models/mobilenetv3_from_swin`` has it at ``layers.S.blocks.B.attn.attn_drop.map``.
        upsample: "transposed" is one transposed convolution, for whole multiples; "bilinear" is bilinear upsampling
            and a 3x3 convolution, for any ratio.
        temperature: T of the KL.
        alpha, beta, gamma: Weights of the cross-entropy, the KL and L_att.
    """

    attention: Literal["activation", "self"] = "activation"
    upsample: Literal["bilinear", "transposed"] = "bilinear"
    temperature: float = 4.0
    alpha: float = 0.5
    beta: float = 0.5
    gamma: float = 100.0

    def __post_init__(self) -> None:
        check_positive(self, "temperature")
        check_not_negative(self, "alpha", "beta", "gamma")


def make_loss(config: Config, context: LossContext) -> nn.Module:
    """Return the loss; see ``method.Loss``.

    Raises:
        RecipeError: The task is no classification, there are no feature layers, or a feature's two shapes cannot be
            aligned.
    """
    if not context.is_classification:
        raise RecipeError(
            "method 'hybrid' compares classes, and this task's outputs are pictures; a task whose criterion is "
            "'cross_entropy' was expected: choose another method"
        )
    return _Loss(config, context)


class _Loss(nn.Module):
    def __init__(self, config: Config, context: LossContext) -> None:
        super().__init__()
        self.config, self.criterion = config, context.criterion
        self.divergence = output_distance(context, config.temperature)
        self.feature_names = context.require_features("hybrid") if config.gamma else ()
        self.alignments = nn.ModuleList(_alignment(name, config, context) for name in self.feature_names)

    def forward(self, student: Features, teacher: Features, target: Tensor, progress: float) -> dict[str, Tensor]:
        config, terms = self.config, {}
        if config.alpha:
            terms["task"] = config.alpha * self.criterion(student[OUTPUT], target)
        if config.beta:
            terms["logits"] = config.beta * self.divergence(student[OUTPUT], teacher[OUTPUT])
        if config.gamma:
            distances = []
            for name, align in zip(self.feature_names, self.alignments, strict=True):
                distances.append(self._attention_distance(align(student[name]), teacher[name]))
            terms["attention"] = config.gamma * torch.stack(distances).mean()
        return terms

    def _attention_distance(self, aligned_s: Tensor, feature_t: Tensor) -> Tensor:
        attention_s = aligned_s.square().mean(dim=1)  # (N, H, W)
        attention_t = feature_t if self.config.attention == "self" else feature_t.square().mean(dim=1)
        squared_distance = (_unit(attention_s) - _unit(attention_t)).square().sum(dim=1)  # (N,)
        return squared_distance.mean()


def _unit(attention: Tensor) -> Tensor:
    """(N, ...) → (N, H * W), each row of length 1."""
    return functional.normalize(attention.flatten(1), dim=1)  # also takes the (N, 1, H, W) of attention maps


def _alignment(name: str, config: Config, context: LossContext) -> nn.Module:
    """Return P, (N, C_s, h, w) → (N, C_t, H, W); C_t is C_s where the teacher's feature is an attention map."""
    shape_s, shape_t = context.map_shapes(name, same_size=False)
    where = f"feature {name!r} is {list(shape_s)} in the student and {list(shape_t)} in the teacher; "
    if config.attention == "self" and (shape_t[1] != 1 or shape_t[0] != shape_s[0]):
        raise RecipeError(
            f"{where}with attention = 'self', [{shape_s[0]}, 1, H, W] was expected in the teacher: name its attention "
            "maps in feature_layers"
        )
    if shape_s[2] > shape_t[2] or shape_s[3] > shape_t[3]:
        raise RecipeError(
            f"{where}a student's feature no larger than the teacher's was expected, because maps are upsampled: choose "
            "other modules in feature_layers"
        )
    layers = [] if shape_s[2:] == shape_t[2:] else _upsampling(where, config, shape_s, shape_t)
    channels = shape_s[1] if config.attention == "self" else shape_t[1]
    # No bias before batch norm, which subtracts it again.
    return nn.Sequential(*layers, nn.Conv2d(shape_s[1], channels, 1, bias=False), nn.BatchNorm2d(channels))


def _upsampling(where: str, config: Config, shape_s: Shape, shape_t: Shape) -> list[nn.Module]:
    (_, channels, height_s, width_s), (_, _, height_t, width_t) = shape_s, shape_t
    if config.upsample == "bilinear":
        # Bilinear upsampling has no parameters; the convolution is what can be learnt.
        bilinear = nn.Upsample(size=(height_t, width_t), mode="bilinear", align_corners=False)
        return [bilinear, nn.Conv2d(channels, channels, 3, padding=1)]
    if height_t % height_s or width_t % width_s:
        raise RecipeError(
            f"{where}with upsample = 'transposed', whole multiples of the student's height and width were expected: "
            "set upsample = 'bilinear', or choose other modules in feature_layers"
        )
    factors = height_t // height_s, width_t // width_s
    # A kernel of two strides (one less where that is odd) gives every pixel the same number of contributions.
    kernel = (2 * factors[0] - factors[0] % 2, 2 * factors[1] - factors[1] % 2)
    padding = (factors[0] // 2, factors[1] // 2)
    return [nn.ConvTranspose2d(channels, channels, kernel, stride=factors, padding=padding)]
