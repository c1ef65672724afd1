"""Output distillation: terms computed by hand, of pictures and of classes."""

from __future__ import annotations

import pytest
import torch

from edgekd.core.errors import RecipeError
from edgekd.distill.methods import logits
from tests.unit.distill.loss_inputs import context_of, draw, draw_labels

PICTURES = {"output": (2, 3, 8, 8)}


def test_terms_of_pictures_computed_by_hand() -> None:
    student, teacher = {"output": torch.full((2, 3, 8, 8), 0.5)}, {"output": torch.full((2, 3, 8, 8), 0.75)}
    loss = logits.make_loss(logits.Config(), context_of(PICTURES, PICTURES, "l1"))
    terms = loss(student, teacher, torch.zeros(2, 3, 8, 8), 0.0)
    assert {name: term.item() for name, term in terms.items()} == {"task": 0.5, "teacher": 0.25}


def test_terms_of_classes_computed_by_hand() -> None:
    # Two classes, T = 1: teacher (1/2, 1/2), student (3/4, 1/4): KL = ln 2 - (ln 3) / 2 = 0.1438.
    shapes = {"output": (1, 2)}
    loss = logits.make_loss(logits.Config(temperature=1.0), context_of(shapes, shapes))
    student, teacher = {"output": torch.tensor([[3.0, 1.0]]).log()}, {"output": torch.zeros(1, 2)}
    terms = loss(student, teacher, torch.tensor([0]), 0.0)
    assert terms["task"].item() == pytest.approx(0.28768, abs=1e-5)
    assert terms["teacher"].item() == pytest.approx(0.14384, abs=1e-5)


@pytest.mark.parametrize("criterion", ["l1", "cross_entropy"])
def test_a_student_equal_to_its_teacher_has_the_tasks_loss_alone(criterion: str) -> None:
    context = context_of(PICTURES, PICTURES, criterion)
    features = draw(PICTURES, 0)
    target = draw_labels(3, (2, 8, 8)) if criterion == "cross_entropy" else draw(PICTURES, 1)["output"]
    terms = logits.make_loss(logits.Config(), context)(features, features, target, 0.0)
    assert terms["teacher"].item() == pytest.approx(0, abs=1e-6)
    assert terms["task"] == context.criterion(features["output"], target)


@pytest.mark.parametrize(("option", "term"), [("task", "task"), ("alpha", "teacher")])
def test_weight_0_removes_its_term(option: str, term: str) -> None:
    loss = logits.make_loss(logits.Config(**{option: 0.0}), context_of(PICTURES, PICTURES, "l1"))
    terms = loss(draw(PICTURES, 0), draw(PICTURES, 1), torch.zeros(2, 3, 8, 8), 0.0)
    assert set(terms) == {"task", "teacher"} - {term}


def test_temperature_out_of_range_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"temperature = 0\.0"):
        logits.Config(temperature=0.0)
