"""Channel-wise distillation: divergences computed by hand, gradients, terms with weight 0, refusals."""

from __future__ import annotations

import math

import pytest
import torch

from edgekd.core.errors import RecipeError
from edgekd.distill.method import LossContext
from edgekd.distill.methods import channel_wise
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


def test_divergence_over_two_positions_computed_by_hand() -> None:
    shapes = {"output": (1, 2, 1, 2), "deep": (1, 2, 1, 2)}
    context = context_of(shapes, shapes)
    config = channel_wise.Config(task=0.0, feature=1.0, logits=10.0, temperature=2.0)
    # The first channel of the teacher is 3:1 at temperature 2, the student's 1:1; the second channels are equal.
    teacher = torch.tensor([2 * math.log(3.0), 0.0, 5.0, 5.0]).view(1, 2, 1, 2)
    student = torch.tensor([1.0, 1.0, 7.0, 7.0]).view(1, 2, 1, 2)
    divergence = 2.0**2 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)) / 2
    features_s, features_t = ({"output": value, "deep": value} for value in (student, teacher))
    terms = channel_wise.make_loss(config, context)(features_s, features_t, torch.zeros(0), 0.0)
    assert {k: v.item() for k, v in terms.items()} == pytest.approx({"feature": divergence, "logits": 10 * divergence})


def test_student_equal_to_teacher_has_the_tasks_loss_alone() -> None:
    context = make_context(features=("a", "b"))
    student, _, target = tensors(context)
    terms = channel_wise.make_loss(channel_wise.Config(), context)(student, detached(student), target, 0.0)
    assert terms["task"] == context.criterion(student["output"], target)
    assert terms["feature"].item() == pytest.approx(0.0, abs=1e-6)
    assert terms["logits"].item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("channels_t", "adaptors"), [(4, 0), (6, 4 * 6 + 6)])
def test_the_student_and_its_adaptors_learn_and_the_teacher_never(channels_t, adaptors) -> None:
    context = make_context(4, channels_t)
    loss = channel_wise.make_loss(channel_wise.Config(), context)
    student, teacher, target = tensors(context)
    assert sum(parameter.numel() for parameter in loss.parameters()) == adaptors
    terms = loss(student, teacher, target, 0.0)
    (terms["feature"] + terms["logits"]).backward()
    assert student["deep"].grad.abs().sum() > 0
    assert student["output"].grad.abs().sum() > 0
    assert all(value.grad is None for value in teacher.values())
    assert not loss.parameters() or all(p.grad is not None for p in loss.parameters())


@pytest.mark.parametrize("name", ["task", "feature", "logits"])
def test_weight_0_removes_its_term(name) -> None:
    context = make_context(4, 6)
    loss = channel_wise.make_loss(channel_wise.Config(**{name: 0.0}), context)
    assert set(loss(*tensors(context), 0.0)) == {"task", "feature", "logits"} - {name}
    assert len(loss.adaptors) == (name != "feature")


def test_what_cannot_be_compared_is_refused_by_name() -> None:
    context = make_context()
    other = context_of(context.student_shapes, {**context.teacher_shapes, "deep": (2, 4, 2, 2)})
    with pytest.raises(RecipeError, match=r"'deep' is \[2, 4, 4, 4\] in the student and \[2, 4, 2, 2\]"):
        channel_wise.make_loss(channel_wise.Config(), other)
    flat = {"output": (2, 3)}
    with pytest.raises(RecipeError, match=r"'output' is \[2, 3\]"):
        channel_wise.make_loss(channel_wise.Config(feature=0.0), context_of(flat, flat))
    with pytest.raises(RecipeError, match="found 0 feature_layers"):
        channel_wise.make_loss(channel_wise.Config(), make_context(features=()))
    with pytest.raises(RecipeError, match=r"temperature = 0\.0"):
        channel_wise.Config(temperature=0.0)
    with pytest.raises(RecipeError, match=r"feature = -1\.0"):
        channel_wise.Config(feature=-1.0)
