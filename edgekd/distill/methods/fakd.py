"""FAKD: pixels of the student's features are to be as similar to each other as the same pixels of the teacher's.

Formula: L = task * criterion(S(x), y) + teacher * |S(x) - T(x)| + affinity * sum_j mean |A(F_s^j) - A(F_t^j)|,
A(F) = F'^T F', F' = F as (C, H*W) with each pixel's vector of length 1: (H*W, H*W) cosines.
Source: Z. He et al., "FAKD: Feature-affinity based knowledge distillation for efficient image super-resolution",
ICIP 2020, the spatial affinity; affinity = 10 as in the DUKD configurations of the method.
Differs from the paper: nothing of the formula. A published implementation wraps these terms in a new tensor before it
adds them up, which cuts their gradient and leaves output distillation; here the gradient reaches the student.
Floor: a student equal to its teacher has a loss of task * criterion; the other terms are 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.distill.method import OUTPUT, Features, LossContext, output_distance

NEEDS_TEACHER = True


@dataclass(frozen=True, slots=True)
class Config:
    """Weights of the terms; a weight of 0 removes its term.

    Attributes:
        task: Weight of the task's own loss.
        teacher: Weight of the outputs' distance.
        affinity: Weight of every feature layer's affinities.
    """

    task: float = 1.0
    teacher: float = 1.0
    affinity: float = 10.0


def make_loss(config: Config, context: LossContext) -> nn.Module:
    """Return the loss; see ``method.Loss``.

    Raises:
        RecipeError: There are no feature layers, or a feature differs in size between the networks.
    """
    return _Loss(config, context)


class _Loss(nn.Module):
    def __init__(self, config: Config, context: LossContext) -> None:
        super().__init__()
        self.config, self.criterion, self.distance = config, context.criterion, output_distance(context)
        self.feature_names = context.require_features("fakd") if config.affinity else ()
        for name in self.feature_names:
            context.map_shapes(name)

    def forward(self, student: Features, teacher: Features, target: Tensor, progress: float) -> dict[str, Tensor]:
        config, terms = self.config, {}
        if config.task:
            terms["task"] = config.task * self.criterion(student[OUTPUT], target)
        if config.teacher:
            terms["teacher"] = config.teacher * self.distance(student[OUTPUT], teacher[OUTPUT])
        if config.affinity:
            distances = [
                functional.l1_loss(affinity(student[name]), affinity(teacher[name])) for name in self.feature_names
            ]
            terms["affinity"] = config.affinity * torch.stack(distances).sum()
        return terms


def affinity(feature: Tensor) -> Tensor:
    """Return the cosines between all pixels' vectors: (N, C, H, W) float32 → (N, H*W, H*W) float32."""
    unit = functional.normalize(feature.flatten(2), dim=1)  # (N, C, H*W)
    return unit.transpose(1, 2) @ unit  # (N, H*W, H*W)
