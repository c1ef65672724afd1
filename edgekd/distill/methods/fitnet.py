"""FitNet hints: the student's features, through a regressor, are to equal the teacher's, at every feature layer.

Formula: L = task * criterion(S(x), y) + hint * sum_j 1/2 * mean((F_t^j - r_j(F_s^j))²) + alpha * d(S(x), T(x)), r_j a
1x1 convolution; d is the criterion for pictures, or tau² * KL(softmax(T(x) / tau) || softmax(S(x) / tau)) for classes.
Source: A. Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv 1412.6550, eq. 3 (hint) and eq. 2
(soft targets).
Differs from the paper: the mean over elements instead of their sum; any number of feature layers instead of one; hints
throughout the training by default, where the paper trains hints first and the rest after (stages = "two"); the
regressor is a 1x1 convolution, and is left out where the channels are equal. The last term is off by default.
Floor: a student equal to its teacher has a loss of task * criterion; the other terms are 0.
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
    check_not_negative,
    check_positive,
    output_distance,
)

NEEDS_TEACHER = True


@dataclass(frozen=True, slots=True)
class Config:
    """Weights of the terms, and when each applies; a weight of 0 removes its term.

    Attributes:
        task: Weight of the task's own loss.
        hint: Weight of every feature layer's hint.
        alpha: Weight of the outputs' distance.
        temperature: tau of that distance; has no effect on pictures.
        stages: "two" trains hints alone for ``first_share`` of the training, then the other terms without them.
        first_share: Share of the training in the first stage, between 0 and 1.
    """

    task: float = 1.0
    hint: float = 1.0
    alpha: float = 0.0
    temperature: float = 4.0
    stages: Literal["joint", "two"] = "joint"
    first_share: float = 0.5

    def __post_init__(self) -> None:
        check_positive(self, "temperature")
        check_not_negative(self, "task", "hint", "alpha")
        if not 0 < self.first_share < 1:
            raise RecipeError(f"first_share = {self.first_share}; a share between 0 and 1 was expected")
        if self.stages == "two" and not (self.hint and (self.task or self.alpha)):
            raise RecipeError(
                f'stages = "two" with hint = {self.hint}, task = {self.task}, alpha = {self.alpha}; a hint and another '
                'term above 0 were expected: set stages = "joint"'
            )


def make_loss(config: Config, context: LossContext) -> nn.Module:
    """Return the loss; see ``method.Loss``.

    Raises:
        RecipeError: There are no feature layers, or a feature differs in size between the networks.
    """
    return _Loss(config, context)


class _Loss(nn.Module):
    def __init__(self, config: Config, context: LossContext) -> None:
        super().__init__()
        self.config, self.criterion = config, context.criterion
        self.distance = output_distance(context, config.temperature)
        self.feature_names = context.require_features("fitnet") if config.hint else ()
        self.regressors = nn.ModuleList()
        for name in self.feature_names:
            shape_s, shape_t = context.map_shapes(name)
            channels_s, channels_t = shape_s[1], shape_t[1]
            regressor = nn.Identity() if channels_s == channels_t else nn.Conv2d(channels_s, channels_t, 1)
            self.regressors.append(regressor)  # trained with the student, dropped afterwards

    def forward(self, student: Features, teacher: Features, target: Tensor, progress: float) -> dict[str, Tensor]:
        config, terms = self.config, {}
        # Stage 1: hints alone. Stage 2: everything else.
        has_stages, is_first = config.stages == "two", progress < config.first_share
        if config.hint and (is_first or not has_stages):
            terms["hint"] = config.hint * 0.5 * self._hint_distance(student, teacher)
        if config.task and not (has_stages and is_first):
            terms["task"] = config.task * self.criterion(student[OUTPUT], target)
        if config.alpha and not (has_stages and is_first):
            terms["logits"] = config.alpha * self.distance(student[OUTPUT], teacher[OUTPUT])
        # A stage reports 0 for the other stage's terms: the log has one set of columns.
        weights = {"hint": config.hint, "task": config.task, "logits": config.alpha}
        zero = student[OUTPUT].new_zeros(())
        return {name: terms.get(name, zero) for name, weight in weights.items() if weight}

    def _hint_distance(self, student: Features, teacher: Features) -> Tensor:
        distances = []
        for name, regressor in zip(self.feature_names, self.regressors, strict=True):
            distances.append(functional.mse_loss(regressor(student[name]), teacher[name]))
        return torch.stack(distances).sum()
