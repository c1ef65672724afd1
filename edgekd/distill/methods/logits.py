"""Output distillation: the task's loss, plus the distance from the student's output to the teacher's.

Formula: L = task * criterion(S(x), y) + alpha * d(S(x), T(x)), where d is the criterion itself for pictures, and
tau² * KL(softmax(T(x) / tau) || softmax(S(x) / tau)) for classes.
Source: G. Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, section 2 (classes); the
"Logits-KD" baseline of super-resolution, Z. He et al., "FAKD: Feature-affinity based knowledge distillation for
efficient image super-resolution", ICIP 2020, eq. 1 without its affinity terms (pictures).
Differs from the paper: nothing; alpha is 1, as in the DUKD configurations of the baseline.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from edgekd.distill.method import OUTPUT, Features, LossContext, check_positive, output_distance

NEEDS_TEACHER = True


@dataclass(frozen=True, slots=True)
class Config:
    """Weights of the two terms; a weight of 0 removes its term.

    Attributes:
        task: Weight of the task's own loss.
        alpha: Weight of the distance to the teacher's output.
        temperature: tau; has no effect on pictures.
    """

    task: float = 1.0
    alpha: float = 1.0
    temperature: float = 4.0

    def __post_init__(self) -> None:
        check_positive(self, "temperature")


def make_loss(config: Config, context: LossContext) -> nn.Module:
    """Return the loss; see ``method.Loss``."""
    return _Loss(config, context)


class _Loss(nn.Module):
    def __init__(self, config: Config, context: LossContext) -> None:
        super().__init__()
        self.config, self.criterion = config, context.criterion
        self.distance = output_distance(context, config.temperature)

    def forward(self, student: Features, teacher: Features, target: Tensor, progress: float) -> dict[str, Tensor]:
        terms = {}
        if self.config.task:
            terms["task"] = self.config.task * self.criterion(student[OUTPUT], target)
        if self.config.alpha:
            terms["teacher"] = self.config.alpha * self.distance(student[OUTPUT], teacher[OUTPUT])
        return terms
