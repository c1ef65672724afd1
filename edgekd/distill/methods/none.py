"""No distillation: the task's own loss against the ground truth. Trains teachers, and is every method's control.

Formula: L = criterion(S(x), y).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from edgekd.distill.method import OUTPUT, Setting, Taps

NEEDS_TEACHER = False


@dataclass(frozen=True, slots=True)
class Config:
    """No knobs."""


def make_loss(config: Config, setting: Setting) -> nn.Module:
    """Return the loss; see ``_setting.Loss``."""
    return _Loss(setting)


class _Loss(nn.Module):
    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.criterion = setting.criterion

    def forward(self, student: Taps, teacher: Taps, target: Tensor, progress: float) -> dict[str, Tensor]:
        return {"task": self.criterion(student[OUTPUT], target)}
