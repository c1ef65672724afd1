"""What every distillation method promises, over every file of edgekd/distill/."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from edgekd.core import family

METHODS = family.names("distill")


def _taps(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student = torch.rand(2, 3, 8, 8, generator=generator, requires_grad=True)
    return student, torch.rand(2, 3, 8, 8, generator=generator, requires_grad=True)


def _terms(method: str, student: torch.Tensor, teacher: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
    module = family.load("distill", method)
    loss = module.make_loss(module.Config(), functional.l1_loss)
    terms: dict[str, torch.Tensor] = loss({"output": student}, {"output": teacher.detach()}, target)
    return terms


@pytest.mark.parametrize("method", METHODS)
def test_student_equal_to_teacher_and_truth_costs_nothing(method: str) -> None:
    _, teacher = _taps(0)
    terms = _terms(method, teacher, teacher, teacher.detach())
    assert {name: term.item() for name, term in terms.items()} == dict.fromkeys(terms, 0.0)


@pytest.mark.parametrize("method", METHODS)
def test_gradient_reaches_the_student_and_never_the_teacher(method: str) -> None:
    student, teacher = _taps(1)
    torch.stack(list(_terms(method, student, teacher, torch.zeros(2, 3, 8, 8)).values())).sum().backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


@pytest.mark.parametrize(("method", "expected"), [("none", {"task": 0.5}), ("logits", {"task": 0.5, "teacher": 0.25})])
def test_golden_losses(method: str, expected: dict[str, float]) -> None:
    # Student 0.5 everywhere, truth 0, teacher 0.75: L1 distances one can do in the head.
    student, teacher, target = (torch.full((1, 3, 4, 4), value) for value in (0.5, 0.75, 0.0))
    terms = _terms(method, student, teacher, target)
    assert {name: term.item() for name, term in terms.items()} == expected


@pytest.mark.parametrize("method", METHODS)
def test_docstring_gives_the_formula_and_where_it_is_from(method: str) -> None:
    module = family.load("distill", method)
    text = module.__doc__ or ""
    assert "Formula:" in text
    assert not module.NEEDS_TEACHER or ("Source:" in text and "Differs from the paper:" in text)
