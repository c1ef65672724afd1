"""Output distillation: the task's loss, and the distance from the student's output to the teacher's.

Formula: L = criterion(S(x), y) + alpha * |S(x) - T(x)|_1.
Source: the "Logits-KD" baseline of super-resolution distillation, e.g. Z. He et al., "FAKD: Feature-affinity based
knowledge distillation for efficient image super-resolution", ICIP 2020, eq. 1 without its affinity terms.
Differs from the paper: nothing; alpha is 1, as in the DUKD configurations of the baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

NEEDS_TEACHER = True
Criterion = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Config:
    """``alpha`` weighs the teacher's term against the task's (pure number)."""

    alpha: float = 1.0


def make_loss(config: Config, criterion: Criterion) -> Callable[..., dict[str, Tensor]]:
    """Return the loss: (student taps, teacher taps, target) → named terms that the loop adds up."""

    def loss(taps_s: Mapping[str, Tensor], taps_t: Mapping[str, Tensor], target: Tensor) -> dict[str, Tensor]:
        output_s = taps_s["output"]
        return {
            "task": criterion(output_s, target),
            "teacher": config.alpha * functional.l1_loss(output_s, taps_t["output"]),
        }

    return loss
