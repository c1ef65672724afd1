"""FitNet hints: the student's features, through a regressor, are to equal the teacher's, at every tap.

Formula: L = task * criterion(S(x), y) + hint * sum_j 1/2 * mean((F_t^j - r_j(F_s^j))²) + alpha * d(S(x), T(x)), r_j a
1x1 convolution; d is the criterion for pictures, or tau² * KL(softmax(T(x) / tau) || softmax(S(x) / tau)) for classes.
Source: A. Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv 1412.6550, eq. 3 (hint) and eq. 2
(soft targets).
Differs from the paper: the mean over elements instead of their sum; any number of taps instead of one; hints all along
by default, where the paper trains hints first and the rest after (stages = "two"); the regressor is a 1x1 convolution,
and none where the channels are equal. The last term is off by default.
Floor: a student equal to its teacher pays task * criterion; the other terms are 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.core.errors import RecipeError
from edgekd.distill.method import OUTPUT, Setting, Taps, soft_distance

NEEDS_TEACHER = True


@dataclass(frozen=True, slots=True)
class Config:
    """How much each term weighs, and when; a weight of 0 leaves its term out.

    Attributes:
        task: Of the task's own loss.
        hint: Of every tap.
        alpha: Of the outputs' distance; ``temperature`` softens classes in it.
        temperature: See ``alpha``.
        stages: "two" trains hints alone for ``first_share`` of the training, then everything else without them.
        first_share: See ``stages``.
    """

    task: float = 1.0
    hint: float = 1.0
    alpha: float = 0.0
    temperature: float = 4.0
    stages: Literal["joint", "two"] = "joint"
    first_share: float = 0.5

    def __post_init__(self) -> None:
        if self.temperature <= 0 or not 0 < self.first_share < 1:
            raise RecipeError(
                f"temperature = {self.temperature}, first_share = {self.first_share}; more than 0, and a share "
                "between 0 and 1, were expected"
            )
        for name in ("task", "hint", "alpha"):
            if getattr(self, name) < 0:
                raise RecipeError(f"{name} = {getattr(self, name)}; 0 or more was expected")
        if self.stages == "two" and not (self.hint and (self.task or self.alpha)):
            raise RecipeError(
                f'stages = "two" with hint = {self.hint}, task = {self.task}, alpha = {self.alpha}; a hint and another '
                'term above 0 were expected: set stages = "joint"'
            )


def make_loss(config: Config, setting: Setting) -> nn.Module:
    """Return the loss; see ``_setting.Loss``.

    Raises:
        RecipeError: There are no taps, or a tap's features do not lie on one grid.
    """
    return _Loss(config, setting)


class _Loss(nn.Module):
    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__()
        self.config, self.criterion = config, setting.criterion
        self.distance = soft_distance(setting, config.temperature)
        self.taps = setting.need_features("fitnet") if config.hint else ()
        self.regressors = nn.ModuleList()
        for tap in self.taps:
            shape_s, shape_t = setting.student[tap], setting.teacher[tap]
            if len(shape_s) != 4 or len(shape_t) != 4 or shape_s[2:] != shape_t[2:]:
                raise RecipeError(
                    f"tap {tap!r} is {shape_s} in the student and {shape_t} in the teacher; (N, C, H, W) of one H and "
                    "W was expected: name other modules in taps"
                )
            same = shape_s[1] == shape_t[1]
            self.regressors.append(nn.Identity() if same else nn.Conv2d(shape_s[1], shape_t[1], 1))

    def forward(self, student: Taps, teacher: Taps, target: Tensor, progress: float) -> dict[str, Tensor]:
        config, terms = self.config, {}
        two, first = config.stages == "two", progress < config.first_share
        if config.hint and (first or not two):
            pairs = zip(self.taps, self.regressors, strict=True)
            apart = [functional.mse_loss(regress(student[tap]), teacher[tap]) for tap, regress in pairs]
            terms["hint"] = config.hint * 0.5 * torch.stack(apart).sum()
        if config.task and (not two or not first):
            terms["task"] = config.task * self.criterion(student[OUTPUT], target)
        if config.alpha and (not two or not first):
            terms["logits"] = config.alpha * self.distance(student[OUTPUT], teacher[OUTPUT])
        # A stage without a term says 0 for it: a log has one set of columns.
        weights = {"hint": config.hint, "task": config.task, "logits": config.alpha}
        silent = student[OUTPUT].new_zeros(())
        return {name: terms.get(name, silent) for name, weight in weights.items() if weight}
