"""The interface of a distillation method: what it is given, what it returns, and the checks that methods share.

A method is one file in ``edgekd/distill/methods/`` with three names:

- ``NEEDS_TEACHER``: whether the training loop runs a teacher for it.
- ``Config``: its options in the recipe, with their defaults and bounds.
- ``make_loss(config, context)``: returns an ``nn.Module`` that satisfies ``Loss``.

The parameters of the returned module (adaptors, projections, decoders) are trained with the student, but are not part
of the student's weights. A method that trains a network of its own, such as a critic, also satisfies ``HasOptimizers``
and ``PreparesStep``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.core.errors import RecipeError

Features = Mapping[str, Tensor]
Criterion = Callable[[Tensor, Tensor], Tensor]
Shape = tuple[int, ...]
# Features that exist without being named in the recipe: each network's input and its output.
INPUT, OUTPUT = "input", "output"
# What the labels of PASCAL VOC and Cityscapes mark as "not labelled"; layouts map their own value to it.
IGNORED_LABEL = 255


class RunFrom(Protocol):
    """Runs part of a network again, from a feature that the method replaces."""

    def __call__(self, role: str, start: str, value: Tensor, end: str) -> Tensor:
        """Run the ``role``'s network on this step's input with one feature replaced, and return a later feature.

        Gradients flow to ``value`` and, in the student, to its weights.

        Args:
            role: "student" or "teacher".
            start: Name of the feature that is replaced.
            value: (N, ...) float32, what replaces it; the shape of the original.
            end: Name of the feature that is returned; may be "output".
        """


class Loss(Protocol):
    """What ``make_loss`` returns; also an ``nn.Module``."""

    def __call__(self, student: Features, teacher: Features, target: Tensor, progress: float) -> dict[str, Tensor]:
        """Return the weighted terms of one step's loss, each a scalar; the training loop adds them up.

        Args:
            student: Feature name → (N, ...) float32, attached to the student's graph.
            teacher: The same names, detached; empty where the method needs no teacher.
            target: (N, 3, H, W) float32 pictures, (N,) int64 classes or (N, H, W) int64 labels.
            progress: Share of the training that is done, from 0 up to, but not including, 1.
        """


@runtime_checkable
class HasOptimizers(Protocol):
    """A loss that trains some of its parameters by itself."""

    def optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """Return the optimizers; the training loop saves their state and leaves their parameters alone."""


@runtime_checkable
class PreparesStep(Protocol):
    """A loss with work to do before each step's forward pass, such as training its critic."""

    def prepare(self, student: Features, teacher: Features, target: Tensor) -> None:
        """Prepare one step.

        Args:
            student: Feature name → (N, ...) float32, detached.
            teacher: The same names, detached; empty where the method needs no teacher.
            target: (N, ...), as ``Loss`` receives it.
        """


@dataclass(frozen=True, slots=True)
class LossContext:
    """What ``make_loss`` may know about the training.

    Attributes:
        criterion: The task's own loss.
        is_classification: Outputs are logits over axis 1; otherwise they are pictures.
        student_shapes: Feature name → its shape for one process's batch, "input" and "output" included.
        teacher_shapes: The same for the teacher; empty where there is none.
        run_from: Runs part of a network again; None where the training cannot.
    """

    criterion: Criterion
    is_classification: bool
    student_shapes: Mapping[str, Shape]
    teacher_shapes: Mapping[str, Shape] = field(default_factory=dict)
    run_from: RunFrom | None = None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The recipe's ``feature_layers`` in their order, without "input" and "output"."""
        return tuple(name for name in self.student_shapes if name not in (INPUT, OUTPUT))

    def require_features(self, method: str) -> tuple[str, ...]:
        """Return ``feature_names``.

        Raises:
            RecipeError: There are none; the message shows how to name one.
        """
        names = self.feature_names
        if not names:
            raise RecipeError(
                f"method {method!r} compares features and found 0 feature_layers; name at least one: "
                'feature_layers.NAME = {student = "MODULE.PATH", teacher = "MODULE.PATH"}'
            )
        return names

    def map_shapes(self, name: str, *, same_size: bool = True) -> tuple[Shape, Shape]:
        """Return the (N, C, H, W) of a feature in the student and in the teacher.

        Args:
            name: The feature, or "output".
            same_size: H and W must be the same in both networks.

        Raises:
            RecipeError: The feature is not (N, C, H, W) in both networks, or its size differs.
        """
        shape_s, shape_t = self.student_shapes[name], self.teacher_shapes[name]
        if len(shape_s) != 4 or len(shape_t) != 4 or (same_size and shape_s[2:] != shape_t[2:]):
            expected = "(N, C, H, W) with equal H and W" if same_size else "(N, C, H, W)"
            raise RecipeError(
                f"feature {name!r} is {list(shape_s)} in the student and {list(shape_t)} in the teacher; {expected} "
                "was expected in both: choose modules at the same depth in feature_layers"
            )
        return shape_s, shape_t


def check_not_negative(config: object, *names: str) -> None:
    """Raise RecipeError where one of a config's numbers is below 0 or not a number."""
    for name in names:
        value = getattr(config, name)
        if not value >= 0:  # also refuses NaN, which no comparison accepts
            raise RecipeError(f"{name} = {value}; 0 or more was expected")


def check_positive(config: object, *names: str) -> None:
    """Raise RecipeError where one of a config's numbers is 0 or less, or not a number."""
    for name in names:
        value = getattr(config, name)
        if not value > 0:
            raise RecipeError(f"{name} = {value}; more than 0 was expected")


def output_distance(context: LossContext, temperature: float = 1.0) -> Criterion:
    """Return the distance between a student's and a teacher's output.

    For classes it is T² * KL(softmax(z_t / T) || softmax(z_s / T)), the mean over samples and positions; for pictures
    it is the task's own loss.

    Source: G. Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, section 2.
    """
    if not context.is_classification:
        return context.criterion

    def softened_kl(output_s: Tensor, output_t: Tensor) -> Tensor:
        log_s = functional.log_softmax(output_s / temperature, dim=1)
        log_t = functional.log_softmax(output_t / temperature, dim=1)
        divergence: Tensor = (log_t.exp() * (log_t - log_s)).sum(dim=1).mean()
        # Gradients of the softened KL shrink with 1 / T²; the factor keeps them comparable to the task's term.
        return divergence * temperature**2

    return softened_kl


def criterion_named(name: str) -> tuple[Criterion, bool]:
    """Return a task's loss by the name in its ``CRITERION``, and whether it takes logits over axis 1.

    Raises:
        RecipeError: There is no such loss.
    """
    if name not in _CRITERIA:
        raise RecipeError(f"unknown criterion {name!r}; one of {', '.join(_CRITERIA)} was expected")
    return _CRITERIA[name]


def _cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean cross-entropy over labelled positions; 0 where the batch has none."""
    total = functional.cross_entropy(output, target, ignore_index=IGNORED_LABEL, reduction="sum")
    # torch's own reduction="mean" divides by zero where every position is ignored.
    return total / torch.clamp((target != IGNORED_LABEL).sum(), min=1)


_CRITERIA: dict[str, tuple[Criterion, bool]] = {
    "l1": (functional.l1_loss, False),
    "mse": (functional.mse_loss, False),
    "cross_entropy": (_cross_entropy, True),
}
