"""No distillation: the task's loss, whatever the teacher is."""

from __future__ import annotations

import torch

from edgekd.distill.methods import none
from tests.unit.distill.loss_inputs import context_of, draw

SHAPES = {"output": (2, 3, 8, 8)}


def test_the_only_term_is_the_tasks_loss() -> None:
    loss = none.make_loss(none.Config(), context_of(SHAPES, {}, "l1"))
    terms = loss({"output": torch.full((2, 3, 8, 8), 0.5)}, {}, torch.zeros(2, 3, 8, 8), 0.0)
    assert {name: term.item() for name, term in terms.items()} == {"task": 0.5}


def test_a_teacher_would_change_nothing() -> None:
    loss = none.make_loss(none.Config(), context_of(SHAPES, {}, "mse"))
    student, target = draw(SHAPES, 0), draw(SHAPES, 1)["output"]
    assert loss(student, draw(SHAPES, 2), target, 0.0) == loss(student, {}, target, 0.9)
    assert not list(loss.parameters())
