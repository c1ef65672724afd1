"""FAKD: the student's features are to be alike, pixel by pixel, where the teacher's are.

Formula: L = task * criterion(S(x), y) + teacher * |S(x) - T(x)| + affinity * sum over taps of mean |A(F_s) - A(F_t)|,
A(F) = F'^T F', F' = F as (C, H*W) with each pixel's vector of length 1: (H*W, H*W) cosines.
Source: Z. He et al., "FAKD: Feature-affinity based knowledge distillation for efficient image super-resolution",
ICIP 2020, the spatial affinity; affinity = 10 as in the DUKD configurations of the method.
Differs from the paper: nothing of the formula. A published implementation wraps these terms in a new tensor before it
adds them up, which cuts their gradient and leaves output distillation; here the gradient reaches the student.
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
    """Weights of the terms; a weight of 0 leaves its term out."""

    task: float = 1.0
    teacher: float = 1.0
    affinity: float = 10.0


def make_loss(config: Config, setting: Setting) -> FAKD:
    """Return the loss. Raises RecipeError where there are no taps or their sizes differ."""
    return FAKD(config, setting)


class FAKD(nn.Module):
    """The terms of the module's formula; it learns nothing itself."""

    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__()
        self.config, self.criterion, self.distance = config, setting.criterion, soft_distance(setting)
        self.names = setting.need_features("fakd") if config.affinity else ()
        for name in self.names:
            _check(name, setting)

    def forward(self, student: Taps, teacher: Taps, target: Tensor, progress: float) -> dict[str, Tensor]:
        """See ``_setting.Loss``."""
        config, terms = self.config, {}
        if config.task:
            terms["task"] = config.task * self.criterion(student[OUTPUT], target)
        if config.teacher:
            terms["teacher"] = config.teacher * self.distance(student[OUTPUT], teacher[OUTPUT])
        if config.affinity:
            apart = [functional.l1_loss(affinity(student[name]), affinity(teacher[name])) for name in self.names]
            terms["affinity"] = config.affinity * torch.stack(apart).sum()
        return terms


def affinity(feature: Tensor) -> Tensor:
    """(N, C, H, W) float32 → (N, H*W, H*W) float32: the cosine between each two pixels' vectors."""
    unit = functional.normalize(feature.flatten(2), dim=1)
    return unit.transpose(1, 2) @ unit


def _check(name: str, setting: Setting) -> None:
    shape_s, shape_t = setting.student[name], setting.teacher[name]
    if len(shape_s) != 4 or len(shape_t) != 4 or shape_s[2:] != shape_t[2:]:
        raise RecipeError(
            f"tap {name!r} is {list(shape_s)} in the student and {list(shape_t)} in the teacher; method 'fakd' "
            "expected (N, C, H, W) in both with equal H and W; choose modules at the same depth"
        )
