"""Contexts, features and targets that the tests of distillation methods share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from edgekd.distill.method import LossContext, RunFrom, Shape, criterion_named

Tensors = dict[str, Tensor]


def context_of(
    shapes_s: Mapping[str, Shape],
    shapes_t: Mapping[str, Shape],
    criterion: str = "cross_entropy",
    run_from: RunFrom | None = None,
) -> LossContext:
    """Return the context of a task with this criterion."""
    function, is_classification = criterion_named(criterion)
    return LossContext(function, is_classification, shapes_s, shapes_t, run_from)


def draw(shapes: Mapping[str, Shape], seed: int, *, requires_grad: bool = False) -> Tensors:
    """Draw a tensor of every shape from a normal distribution, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {name: tensor.requires_grad_(requires_grad) for name, tensor in tensors.items()}


def detached(tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the tensors without their graph, as the training loop hands over the teacher's."""
    return {name: tensor.detach() for name, tensor in tensors.items()}


def draw_labels(classes: int, shape: Shape, seed: int = 0) -> Tensor:
    """Draw labels 0 to ``classes`` - 1 of this shape, int64."""
    return torch.randint(0, classes, shape, generator=torch.Generator().manual_seed(seed))


class ConstantRest:
    """Stands for the rest of a network: a later feature plus the mean of the value that was replaced."""

    def __init__(self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> None:
        self.features = {"student": student, "teacher": teacher}

    def __call__(self, role: str, start: str, value: Tensor, end: str) -> Tensor:
        return self.features[role][end].detach() + value.mean()
