"""Channel-wise distillation: where in the picture each channel is active, compared as a distribution over positions.

Formula: L = task * criterion(S(x), y) + feature * sum_j D(F_t^j, F_s^j) + logits * D(T(x), S(x)),
D(t, s) = tau² / C * sum_c KL(softmax(t_c / tau) || softmax(s_c / tau)), softmax over the H * W positions of a channel,
the mean over the batch.
Source: C. Shu et al., "Channel-wise Knowledge Distillation for Dense Prediction", ICCV 2021, arXiv 2011.13256, eq. 3
and 4 (tau = 4; weight 3 for logits, 50 for features); a 1x1 convolution brings the student's channels to the teacher's
number where they differ.
Differs from the paper: its logits are those before enlargement; here they are the network's output, at full size. Tap
the classifier instead, ``logits`` = 0, for the paper's.
Floor: a student equal to its teacher pays task * criterion; the other terms are 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.core.errors import RecipeError
from edgekd.distill.method import OUTPUT, Setting, Shape, Taps

NEEDS_TEACHER = True


@dataclass(frozen=True, slots=True)
class Config:
    """How much each term weighs, and how soft the distributions are; a weight of 0 leaves its term out.

    Attributes:
        task: Of the task's own loss.
        feature: Of every tap.
        logits: Of the networks' outputs.
        temperature: tau.
    """

    task: float = 1.0
    feature: float = 50.0
    logits: float = 3.0
    temperature: float = 4.0

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise RecipeError(f"temperature = {self.temperature}; more than 0 was expected")
        for name in ("task", "feature", "logits"):
            if getattr(self, name) < 0:
                raise RecipeError(f"{name} = {getattr(self, name)}; 0 or more was expected")


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
        self.taps = setting.need_features("channel_wise") if config.feature else ()
        self.adaptors = nn.ModuleList()
        for tap in self.taps:
            shape_s, shape_t = setting.student[tap], setting.teacher[tap]
            _check(f"tap {tap!r}", shape_s, shape_t)
            same = shape_s[1] == shape_t[1]
            self.adaptors.append(nn.Identity() if same else nn.Conv2d(shape_s[1], shape_t[1], 1))
        if config.logits:
            _check("the output", setting.student[OUTPUT], setting.teacher[OUTPUT])

    def forward(self, student: Taps, teacher: Taps, target: Tensor, progress: float) -> dict[str, Tensor]:
        config, terms = self.config, {}
        if config.task:
            terms["task"] = config.task * self.criterion(student[OUTPUT], target)
        if config.feature:
            adapted = (adapt(student[tap]) for tap, adapt in zip(self.taps, self.adaptors, strict=True))
            apart = [self._apart(map_s, teacher[tap]) for tap, map_s in zip(self.taps, adapted, strict=True)]
            terms["feature"] = config.feature * torch.stack(apart).sum()
        if config.logits:
            terms["logits"] = config.logits * self._apart(student[OUTPUT], teacher[OUTPUT])
        return terms

    def _apart(self, map_s: Tensor, map_t: Tensor) -> Tensor:
        """(N, C, H, W) twice → scalar."""
        log_s, log_t = (functional.log_softmax(m.flatten(2) / self.config.temperature, dim=2) for m in (map_s, map_t))
        divergence: Tensor = (log_t.exp() * (log_t - log_s)).sum(dim=2).mean()
        return divergence * self.config.temperature**2


def _check(what: str, shape_s: Shape, shape_t: Shape) -> None:
    if len(shape_s) != 4 or len(shape_t) != 4 or shape_s[2:] != shape_t[2:]:
        raise RecipeError(
            f"{what} is {shape_s} in the student and {shape_t} in the teacher; (N, C, H, W) of one H and W was "
            "expected: name other modules in taps, or set the term's weight to 0"
        )
