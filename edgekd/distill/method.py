"""What a method is given: the taps' names and shapes, the task's own loss, and a way to go on from a tap.

A method is one file with four names: ``NEEDS_TEACHER``, ``Config`` (its options in the recipe), and
``make_loss(config, setting)``, which returns a module: (student taps, teacher taps, target, progress) → named terms
that the loop adds up. What the module learns (adaptors, projections, decoders) is trained with the student and is no
part of the student's weights. A method that trains something by itself, such as a critic, has two more on its module:
``optimizers()``, over parameters that the loop then leaves alone, and ``prepare(student, teacher, target)``, called
once a step before the loss, with taps that carry no graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.core.errors import RecipeError

Taps = Mapping[str, Tensor]
Criterion = Callable[[Tensor, Tensor], Tensor]
Shape = tuple[int, ...]
# Always there, and not in the recipe: what the networks were given, and what they answered.
INPUT, OUTPUT = "input", "output"
IGNORED_LABEL = 255


class Resume(Protocol):
    """Runs a network again with one tap's value replaced."""

    def __call__(self, role: str, at: str, value: Tensor, until: str) -> Tensor:
        """Return tap ``until`` of the ``role``'s network on this step's input, tap ``at`` being ``value``.

        Gradients flow through the network to ``value`` and, for the student, to its own weights as well; ``until``
        may be "output".
        """


class Loss(Protocol):
    """What ``make_loss`` returns, an ``nn.Module``."""

    def __call__(self, student: Taps, teacher: Taps, target: Tensor, progress: float) -> dict[str, Tensor]:
        """Return the terms of one step's loss, each a scalar, already weighed.

        Args:
            student: Tap → (N, ...) float32, with the graph that leads to the student's weights.
            teacher: The same names, without a graph; empty where the method needs no teacher.
            target: (N, 3, H, W) float32 pictures, (N,) int64 classes or (N, H, W) int64 labels.
            progress: Share of the training that is done, 0 up to, not including, 1.
        """


@dataclass(frozen=True, slots=True)
class Setting:
    """What a method may know when it is made.

    Attributes:
        criterion: The task's own loss.
        classes: Whether outputs are logits over axis 1; they are pictures otherwise.
        student, teacher: Tap → shape of a batch of this process, "input" and "output" among them; the teacher's is
            empty without one.
        resume: For a method that runs parts of a network itself.
    """

    criterion: Criterion
    classes: bool
    student: Mapping[str, Shape]
    teacher: Mapping[str, Shape] = field(default_factory=dict)
    resume: Resume | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """The taps of the recipe in its order, without "input" and "output"."""
        return tuple(name for name in self.student if name not in (INPUT, OUTPUT))

    def need_features(self, method: str, count: int = 1) -> tuple[str, ...]:
        """Return ``features``. Raises RecipeError where there are fewer than ``count``."""
        if len(self.features) < count:
            raise RecipeError(
                f"method {method!r} compares features and found {len(self.features)} taps, {count} or more were "
                'expected; name them: taps.NAME = {student = "MODULE.PATH", teacher = "MODULE.PATH"}'
            )
        return self.features


def soft_distance(setting: Setting, temperature: float = 1.0) -> Criterion:
    """Return how far a student's output is from a teacher's: KL of softened classes; for pictures the task's own loss.

    The KL is T² * KL(softmax(z_t / T) || softmax(z_s / T)), mean over samples and positions (G. Hinton et al.,
    "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, section 2).
    """
    if not setting.classes:
        return setting.criterion

    def kl(output_s: Tensor, output_t: Tensor) -> Tensor:
        log_s = functional.log_softmax(output_s / temperature, dim=1)
        log_t = functional.log_softmax(output_t / temperature, dim=1)
        apart: Tensor = (log_t.exp() * (log_t - log_s)).sum(dim=1).mean()
        return apart * temperature**2

    return kl


def criterion_named(name: str) -> tuple[Criterion, bool]:
    """Return a task's loss by the name in its ``CRITERION``, and whether outputs are logits over axis 1.

    Raises:
        RecipeError: There is no such loss.
    """
    if name not in _CRITERIA:
        raise RecipeError(f"criterion {name!r} is not there; there is: {', '.join(_CRITERIA)}")
    return _CRITERIA[name]


def _cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Mean over what is labelled; 0 where nothing of the batch is."""
    summed = functional.cross_entropy(output, target, ignore_index=IGNORED_LABEL, reduction="sum")
    return summed / torch.clamp((target != IGNORED_LABEL).sum(), min=1)


_CRITERIA: dict[str, tuple[Criterion, bool]] = {
    "l1": (functional.l1_loss, False),
    "mse": (functional.mse_loss, False),
    "cross_entropy": (_cross_entropy, True),
}
