"""Attention transfer: the student's activations are to be strong where the teacher's are, at every feature layer.

Formula: L = task * criterion(S(x), y) + beta * sum_j mean((Q_s^j - Q_t^j)²) + alpha * d(S(x), T(x)),
Q = vec(A) / ||vec(A)||_2, A = sum_c |F|^p, the mean over the batch and the positions of a map; d is the criterion
for pictures, or tau² * KL(softmax(T(x) / tau) || softmax(S(x) / tau)) for classes.
Source: S. Zagoruyko, N. Komodakis, "Paying More Attention to Attention: Improving the Performance of Convolutional
Neural Networks via Attention Transfer", ICLR 2017, arXiv 1612.03928, section 3.1, eq. 1 (F_sum^p) and eq. 2.
Differs from the paper: eq. 2 has beta / 2 times the distance itself; as in the authors' code it is the mean of squares
with beta = 1000, the paper's 10^3 "divided by number of elements in attention map and batch size". The paper
interpolates maps of different size; here the larger map is averaged down. The last term is off by default.
Floor: a student equal to its teacher has a loss of task * criterion; the other terms are 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.core.errors import RecipeError
from edgekd.distill.method import (
    OUTPUT,
    Features,
    LossContext,
    check_not_negative,
    check_positive,
    output_distance,
)

NEEDS_TEACHER = True


@dataclass(frozen=True, slots=True)
class Config:
    """Weights of the terms; a weight of 0 removes its term.

    Attributes:
        task: Weight of the task's own loss.
        beta: Weight of the attention maps' distances.
        power: p of the maps, 1 or more.
        alpha: Weight of the outputs' distance.
        temperature: tau of that distance; has no effect on pictures.
    """

    task: float = 1.0
    beta: float = 1000.0
    power: float = 2.0
    alpha: float = 0.0
    temperature: float = 4.0

    def __post_init__(self) -> None:
        check_positive(self, "temperature")
        check_not_negative(self, "task", "beta", "alpha")
        # Below 1, |F|^p has an infinite gradient at 0, where ReLU puts half of all activations.
        if not self.power >= 1:
            raise RecipeError(f"power = {self.power}; 1 or more was expected")


def make_loss(config: Config, context: LossContext) -> nn.Module:
    """Return the loss; see ``method.Loss``.

    Raises:
        RecipeError: There are no feature layers, or a feature is not (N, C, H, W) in both networks.
    """
    return _Loss(config, context)


class _Loss(nn.Module):
    def __init__(self, config: Config, context: LossContext) -> None:
        super().__init__()
        self.config, self.criterion = config, context.criterion
        self.distance = output_distance(context, config.temperature)
        self.feature_names = context.require_features("attention_transfer") if config.beta else ()
        for name in self.feature_names:
            context.map_shapes(name, same_size=False)

    def forward(self, student: Features, teacher: Features, target: Tensor, progress: float) -> dict[str, Tensor]:
        config, terms = self.config, {}
        if config.task:
            terms["task"] = config.task * self.criterion(student[OUTPUT], target)
        if config.beta:
            distances = [self._attention_distance(student[name], teacher[name]) for name in self.feature_names]
            terms["attention"] = config.beta * torch.stack(distances).sum()
        if config.alpha:
            terms["logits"] = config.alpha * self.distance(student[OUTPUT], teacher[OUTPUT])
        return terms

    def _attention_distance(self, feature_s: Tensor, feature_t: Tensor) -> Tensor:
        (height_s, width_s), (height_t, width_t) = feature_s.shape[2:], feature_t.shape[2:]
        size = min(height_s, height_t), min(width_s, width_t)
        # Averaging down keeps the strength of every pixel; interpolation would skip some.
        return functional.mse_loss(self._attention(feature_s, size), self._attention(feature_t, size))

    def _attention(self, feature: Tensor, size: tuple[int, int]) -> Tensor:
        """(N, C, H, W) → (N, h * w), each row of length 1."""
        strength = feature.abs().pow(self.config.power).sum(dim=1, keepdim=True)  # (N, 1, H, W)
        if tuple(strength.shape[2:]) != size:
            strength = functional.adaptive_avg_pool2d(strength, size)
        return functional.normalize(strength.flatten(1), dim=1)
