"""Attention transfer: where the student's activations are strong, compared with the teacher's, at every tap.

Formula: L = task * criterion(S(x), y) + beta * sum_j mean((Q_s^j - Q_t^j)²) + alpha * d(S(x), T(x)),
Q = vec(A) / ||vec(A)||_2, A = sum_c |F|^p, the mean over the batch and the positions of a map; d is the criterion
for pictures, or tau² * KL(softmax(T(x) / tau) || softmax(S(x) / tau)) of classes.
Source: S. Zagoruyko, N. Komodakis, "Paying More Attention to Attention: Improving the Performance of Convolutional
Neural Networks via Attention Transfer", ICLR 2017, arXiv 1612.03928, section 3.1, eq. 1 (F_sum^p) and eq. 2.
Differs from the paper: eq. 2 has beta / 2 times the distance itself; as in the authors' code it is the mean of squares
with beta = 1000, the paper's 10^3 "divided by number of elements in attention map and batch size". Maps of unlike size,
which the paper would interpolate, are averaged down to the smaller one. The last term is off by default.
Floor: a student equal to its teacher pays task * criterion; the other terms are 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.core.errors import RecipeError
from edgekd.distill.method import OUTPUT, Setting, Taps, soft_distance

NEEDS_TEACHER = True


@dataclass(frozen=True, slots=True)
class Config:
    """How much each term weighs; 0 leaves it out.

    Attributes:
        task: Of the task's own loss.
        beta: Of the attention maps' distances.
        power: p of the maps, 1 or more.
        alpha: Of the outputs' distance; ``temperature`` softens classes in it.
        temperature: See ``alpha``.
    """

    task: float = 1.0
    beta: float = 1000.0
    power: float = 2.0
    alpha: float = 0.0
    temperature: float = 4.0

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.power < 1:
            raise RecipeError(
                f"temperature = {self.temperature}, power = {self.power}; more than 0, and 1 or more, were expected"
            )
        for name in ("task", "beta", "alpha"):
            if getattr(self, name) < 0:
                raise RecipeError(f"{name} = {getattr(self, name)}; 0 or more was expected")


def make_loss(config: Config, setting: Setting) -> nn.Module:
    """Return the loss; see ``_setting.Loss``.

    Raises:
        RecipeError: There are no taps, or a tap is not (N, C, H, W) in both networks.
    """
    return _Loss(config, setting)


class _Loss(nn.Module):
    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__()
        self.config, self.criterion = config, setting.criterion
        self.distance = soft_distance(setting, config.temperature)
        self.features = setting.need_features("attention_transfer") if config.beta else ()
        for tap in self.features:
            shape_s, shape_t = setting.student[tap], setting.teacher[tap]
            if len(shape_s) != 4 or len(shape_t) != 4:
                raise RecipeError(
                    f"tap {tap!r} is {shape_s} in the student and {shape_t} in the teacher; (N, C, H, W) was expected "
                    "in both: name other modules in taps"
                )

    def forward(self, student: Taps, teacher: Taps, target: Tensor, progress: float) -> dict[str, Tensor]:
        config, terms = self.config, {}
        if config.task:
            terms["task"] = config.task * self.criterion(student[OUTPUT], target)
        if config.beta:
            apart = [self._apart(student[tap], teacher[tap]) for tap in self.features]
            terms["attention"] = config.beta * torch.stack(apart).sum()
        if config.alpha:
            terms["logits"] = config.alpha * self.distance(student[OUTPUT], teacher[OUTPUT])
        return terms

    def _apart(self, feature_s: Tensor, feature_t: Tensor) -> Tensor:
        (high_s, wide_s), (high_t, wide_t) = feature_s.shape[2:], feature_t.shape[2:]
        size = min(high_s, high_t), min(wide_s, wide_t)
        q_s, q_t = (self._attention(feature, size) for feature in (feature_s, feature_t))
        return functional.mse_loss(q_s, q_t)

    def _attention(self, feature: Tensor, size: tuple[int, int]) -> Tensor:
        """(N, C, H, W) → (N, h * w) of length 1."""
        strength = feature.abs().pow(self.config.power).sum(dim=1, keepdim=True)
        if tuple(strength.shape[2:]) != size:
            strength = functional.adaptive_avg_pool2d(strength, size)
        return functional.normalize(strength.flatten(1), dim=1)
