"""No distillation: the task's own loss against the ground truth. Trains teachers, and is every method's control.

Formula: L = criterion(S(x), y).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

NEEDS_TEACHER = False
Criterion = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Config:
    """No knobs."""


def make_loss(config: Config, criterion: Criterion) -> Callable[..., dict[str, Tensor]]:
    """Return the loss: (student taps, teacher taps, target) → named terms that the loop adds up."""

    def loss(taps_s: Mapping[str, Tensor], taps_t: Mapping[str, Tensor], target: Tensor) -> dict[str, Tensor]:
        return {"task": criterion(taps_s["output"], target)}

    return loss
