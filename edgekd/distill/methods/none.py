"""No distillation: the task's own loss against ground truth. It trains teachers, and is the control of every method.

Formula: L = criterion(S(x), y).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from edgekd.distill.method import OUTPUT, Features, LossContext

NEEDS_TEACHER = False


@dataclass(frozen=True, slots=True)
class Config:
    """This method has no options."""


def make_loss(config: Config, context: LossContext) -> nn.Module:
    """Return the loss; see ``method.Loss``."""
    return _Loss(context)


class _Loss(nn.Module):
    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.criterion = context.criterion

    def forward(self, student: Features, teacher: Features, target: Tensor, progress: float) -> dict[str, Tensor]:
        return {"task": self.criterion(student[OUTPUT], target)}
