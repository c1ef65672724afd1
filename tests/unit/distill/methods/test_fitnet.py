"""FitNet: hints computed by hand, gradients, joint and in two stages, terms with weight 0, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from edgekd.core.errors import RecipeError
from edgekd.distill.method import LossContext
from edgekd.distill.methods import fitnet
from tests.unit.distill.loss_inputs import context_of, detached, draw, draw_labels

CLASSES = 3


def make_context(channels_s=4, channels_t=4, features=("deep",)) -> LossContext:
    ends = {"input": (2, 3, 8, 8), "output": (2, CLASSES, 8, 8)}
    shapes_s = {**ends, **dict.fromkeys(features, (2, channels_s, 4, 4))}
    shapes_t = {**ends, **dict.fromkeys(features, (2, channels_t, 4, 4))}
    return context_of(shapes_s, shapes_t)


def tensors(context: LossContext):
    student = draw(context.student_shapes, 0, requires_grad=True)
    return student, draw(context.teacher_shapes, 1), draw_labels(CLASSES, (2, 8, 8))


def test_hint_through_a_regressor_computed_by_hand() -> None:
    context = make_context(1, 2, features=("a", "b"))
    loss: Any = fitnet.make_loss(fitnet.Config(task=0.0, hint=10.0), context)
    for regressor in loss.regressors:
        torch.nn.init.constant_(regressor.weight, 2.0)
        torch.nn.init.zeros_(regressor.bias)
    # The regressors make 2 of a student's 1; the teacher has 3 and 1.5: half the squares, 0.5 and 0.125.
    student = {name: torch.ones(2, 1, 4, 4) for name in ("a", "b")}
    teacher = {"a": torch.full((2, 2, 4, 4), 3.0), "b": torch.full((2, 2, 4, 4), 1.5)}
    student["output"] = teacher["output"] = torch.zeros(2, CLASSES, 8, 8)
    terms = loss(student, teacher, torch.zeros(0), 0.0)
    assert {k: v.item() for k, v in terms.items()} == pytest.approx({"hint": 10 * 0.625})


def test_student_equal_to_teacher_has_the_tasks_loss_alone() -> None:
    context = make_context(features=("a", "b"))
    student, _, target = tensors(context)
    loss = fitnet.make_loss(fitnet.Config(alpha=1.0), context)
    terms = loss(student, detached(student), target, 0.0)
    assert terms["task"] == context.criterion(student["output"], target)
    assert terms["hint"].item() == 0.0
    assert terms["logits"].item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("channels_t", "adaptors"), [(4, 0), (6, 4 * 6 + 6)])
def test_the_student_and_its_regressors_learn_and_the_teacher_never(channels_t, adaptors) -> None:
    context = make_context(4, channels_t)
    loss = fitnet.make_loss(fitnet.Config(), context)
    student, teacher, target = tensors(context)
    assert sum(parameter.numel() for parameter in loss.parameters()) == adaptors
    loss(student, teacher, target, 0.0)["hint"].backward()
    assert student["deep"].grad.abs().sum() > 0
    assert all(value.grad is None for value in teacher.values())
    assert all(parameter.grad is not None for parameter in loss.parameters())


@pytest.mark.parametrize("name", ["task", "hint", "alpha"])
def test_weight_0_removes_its_term(name) -> None:
    context = make_context(4, 6)
    loss = fitnet.make_loss(fitnet.Config(**{"alpha": 1.0, name: 0.0}), context)
    assert set(loss(*tensors(context), 0.0)) == {"task", "hint", "logits"} - {"logits" if name == "alpha" else name}
    assert len(loss.regressors) == (name != "hint")


def test_two_stages_are_hints_alone_and_then_everything_else() -> None:
    context = make_context()
    loss = fitnet.make_loss(fitnet.Config(alpha=1.0, stages="two", first_share=0.5), context)
    joint = fitnet.make_loss(fitnet.Config(alpha=1.0), context)(*tensors(context), 0.0)
    first, second = loss(*tensors(context), 0.49), loss(*tensors(context), 0.5)
    assert {k: v.item() for k, v in first.items()} == {"hint": joint["hint"].item(), "task": 0.0, "logits": 0.0}
    assert {k: v.item() for k, v in second.items()} == {
        "hint": 0.0,
        "task": joint["task"].item(),
        "logits": joint["logits"].item(),
    }


def test_what_cannot_be_compared_is_refused_by_name() -> None:
    context = make_context()
    other = context_of(context.student_shapes, {**context.teacher_shapes, "deep": (2, 16)})
    with pytest.raises(RecipeError, match=r"'deep' is \[2, 4, 4, 4\] in the student and \[2, 16\]"):
        fitnet.make_loss(fitnet.Config(), other)
    with pytest.raises(RecipeError, match="found 0 feature_layers"):
        fitnet.make_loss(fitnet.Config(), make_context(features=()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hint": -1.0}, r"hint = -1\.0"),
        ({"temperature": 0.0}, r"temperature = 0\.0"),
        ({"first_share": 1.0}, r"first_share = 1\.0"),
        ({"stages": "two", "task": 0.0}, 'stages = "two" with hint = 1'),
        ({"stages": "two", "hint": 0.0}, 'stages = "two" with hint = 0'),
    ],
)
def test_options_out_of_range_are_refused(options, message) -> None:
    with pytest.raises(RecipeError, match=message):
        fitnet.Config(**options)
