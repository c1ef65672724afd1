"""AttnFD: terms computed by hand, gradients, and every way to refine the teacher's features."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from edgekd.core.errors import RecipeError
from edgekd.distill.method import LossContext
from edgekd.distill.methods import attnfd
from edgekd.networks.cbam import CBAM, parameter_free_cbam
from tests.unit.distill.loss_inputs import context_of, detached, draw, draw_labels

CLASSES = 3


def make_context(channels_s=4, channels_t=4, features=("deep",), size=(4, 4)) -> LossContext:
    ends = {"input": (2, 3, 8, 8), "output": (2, CLASSES, 8, 8)}
    shapes_s = {**ends, **dict.fromkeys(features, (2, channels_s, *size))}
    shapes_t = {**ends, **dict.fromkeys(features, (2, channels_t, *size))}
    return context_of(shapes_s, shapes_t)


def tensors(context: LossContext):
    student = draw(context.student_shapes, 0, requires_grad=True)
    return student, draw(context.teacher_shapes, 1), draw_labels(CLASSES, (2, 8, 8))


def with_identity_connectors(loss: Any) -> Any:
    """Make every connector the identity for features of mean 0 and variance 1: terms can be computed by hand."""
    for level in loss.levels:
        nn.init.dirac_(level.connector[0].weight)
    return loss


def test_term_is_the_squared_distance_of_directions() -> None:
    context = make_context(1, 1, size=(2, 2))
    config = attnfd.Config(task=0.0, weight=2.0, student_attention="none")
    loss = with_identity_connectors(attnfd.make_loss(config, context))
    # Mean 0 and variance 1, which batch norm leaves alone: 8 values of ±1, and a teacher that agrees on 6 of them,
    # three times as long: cos = (6 - 2) / 8 = 0.5, so the term is 2 * 2 * (1 - 0.5).
    student = torch.tensor([1.0, -1, 1, -1, 1, -1, 1, -1]).view(2, 1, 2, 2)
    signs = torch.tensor([1.0, 1, 1, 1, 1, 1, 1, 1])
    signs[:2] = -1
    terms = loss({"deep": student}, {"deep": 3 * student * signs.view(2, 1, 2, 2)}, torch.zeros(0), 0.0)
    assert list(terms) == ["attention_deep"]
    assert terms["attention_deep"].item() == pytest.approx(2.0, rel=1e-4)


def test_one_norm_is_over_the_whole_batch() -> None:
    context = make_context(1, 1, size=(1, 2))
    loss = with_identity_connectors(
        attnfd.make_loss(attnfd.Config(task=0.0, weight=1.0, student_attention="none"), context)
    )
    student = torch.tensor([1.0, -1, 1, -1]).view(2, 1, 1, 2)
    # Each sample alone points the same way; over the batch it does not: cos = (1 + 1 + 3 + 3) / sqrt(4 * 20).
    teacher = torch.tensor([1.0, -1, 3, -3]).view(2, 1, 1, 2)
    found = loss({"deep": student}, {"deep": teacher}, torch.zeros(0), 0.0)["attention_deep"].item()
    assert found == pytest.approx(2 * (1 - 8 / math.sqrt(80)), rel=1e-4)


def test_a_student_that_its_connector_aligns_with_its_teacher_has_the_tasks_loss_alone() -> None:
    context = make_context(1, 1, size=(2, 2))
    loss = with_identity_connectors(attnfd.make_loss(attnfd.Config(student_attention="none"), context))
    same = torch.tensor([1.0, -1, 1, -1, 1, -1, 1, -1]).view(2, 1, 2, 2)
    _, teacher, target = tensors(context)
    output = teacher["output"]
    terms = loss({"output": output, "deep": same}, {"output": output, "deep": same}, target, 0.0)
    assert terms["attention_deep"].item() == pytest.approx(0.0, abs=1e-6)
    assert terms["task"] == context.criterion(output, target)


def test_student_equal_to_teacher_has_no_more_than_the_floor() -> None:
    context = make_context(features=("a", "b"))
    config = attnfd.Config(levels={"b": 0.5})
    student, _, target = tensors(context)
    terms = attnfd.make_loss(config, context)(student, detached(student), target, 0.0)
    assert 0 <= terms["attention_a"].item() <= 4 * 2
    assert 0 <= terms["attention_b"].item() <= 4 * 2 * 0.5


@pytest.mark.parametrize("teacher_attention", ["in_path", "free", "random"])
def test_the_student_and_its_adaptors_learn_and_the_teacher_never(teacher_attention) -> None:
    torch.manual_seed(0)
    context = make_context(4, 6)
    loss = attnfd.make_loss(attnfd.Config(teacher_attention=teacher_attention), context)
    student, teacher, target = tensors(context)
    teacher["deep"].requires_grad_()
    loss(student, detached(teacher), target, 0.0)["attention_deep"].backward()
    assert student["deep"].grad.abs().sum() > 0
    assert teacher["deep"].grad is None
    for name, parameter in loss.named_parameters():
        assert (parameter.grad is None) == ("cbam_t" in name), name


def test_the_teachers_refinement_follows_its_option() -> None:
    context = make_context(4, 6)
    found = {}
    student, teacher, target = tensors(context)
    for way in ("in_path", "free", "random"):
        torch.manual_seed(0)
        loss = attnfd.make_loss(attnfd.Config(teacher_attention=way, task=0.0), context)
        found[way] = loss(student, teacher, target, 0.0)["attention_deep"].item()
    assert len(set(found.values())) == 3
    torch.manual_seed(0)
    in_path = attnfd.make_loss(attnfd.Config(task=0.0), context)
    refined = {**teacher, "deep": parameter_free_cbam(teacher["deep"])}
    assert in_path(student, refined, target, 0.0)["attention_deep"].item() == pytest.approx(found["free"])


def test_a_random_teacher_cbam_stays_as_it_was_made() -> None:
    context = make_context()
    loss = attnfd.make_loss(attnfd.Config(teacher_attention="random"), context).train()
    before = {k: v.clone() for k, v in loss.state_dict().items() if "cbam_t" in k}
    loss(*tensors(context), 0.0)
    assert before
    assert not any(p.requires_grad for k, p in loss.named_parameters() if "cbam_t" in k)
    for name, value in before.items():
        torch.testing.assert_close(loss.state_dict()[name], value)


def test_parameter_free_cbam_by_hand() -> None:
    # One channel, mean 1, max 2: weighed by sigmoid(3), then each place by the sigmoid of twice itself.
    x = torch.tensor([0.0, 2.0]).view(1, 1, 1, 2)
    after = 2 / (1 + math.exp(-3))
    expected = torch.tensor([0.0, after / (1 + math.exp(-2 * after))]).view(1, 1, 1, 2)
    torch.testing.assert_close(parameter_free_cbam(x), expected)


def test_cbam_by_hand() -> None:
    module = CBAM(1).eval()
    for parameter in module.parameters():
        nn.init.ones_(parameter)
    nn.init.zeros_(module.channel[0].bias)
    nn.init.zeros_(module.channel[2].bias)
    nn.init.zeros_(module.spatial[1].bias)
    x = torch.tensor([0.0, 2.0]).view(1, 1, 1, 2)
    # The channel: mean 1 and max 2 through a perceptron of ones. Then everything lies inside one 7x7 window, which adds
    # up the max and the mean over channels, the value itself, of both places.
    after = 2 / (1 + math.exp(-3))
    weight = 1 / (1 + math.exp(-2 * after / math.sqrt(1 + 1e-5)))
    torch.testing.assert_close(module(x), torch.tensor([0.0, after * weight]).view(1, 1, 1, 2))


@pytest.mark.parametrize(
    ("options", "terms"),
    [
        ({}, {"task", "attention_a", "attention_b"}),
        ({"task": 0.0}, {"attention_a", "attention_b"}),
        ({"weight": 0.0}, {"task"}),
        ({"levels": {"a": 0.0}}, {"task", "attention_b"}),
    ],
)
def test_weight_0_removes_its_term(options, terms) -> None:
    context = make_context(features=("a", "b"))
    loss = attnfd.make_loss(attnfd.Config(**options), context)
    assert set(loss(*tensors(context), 0.0)) == terms
    assert len(loss.levels) == len(terms - {"task"})


def test_student_attention_and_its_channel_part_can_be_turned_off() -> None:
    context = make_context()
    none = attnfd.make_loss(attnfd.Config(student_attention="none"), context)
    assert not [module for module in none.modules() if isinstance(module, CBAM)]
    frozen = attnfd.make_loss(attnfd.Config(channel_attention="frozen"), context)
    assert {k for k, p in frozen.named_parameters() if not p.requires_grad} == {
        f"levels.0.cbam.channel.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")
    }


def test_connectors_of_the_first_epoch_learn_alone_and_then_not_at_all() -> None:
    context = make_context()
    loss = attnfd.make_loss(attnfd.Config(connectors="first_epoch", first_share=0.1), context)
    student, teacher, target = tensors(context)

    def trained(progress: float) -> set[str]:
        loss.zero_grad()
        for value in student.values():
            value.grad = None
        torch.stack(list(loss(student, teacher, target, progress).values())).sum().backward()
        found = {name.split(".")[2] for name, parameter in loss.named_parameters() if parameter.grad is not None}
        return found | {name for name, value in student.items() if value.grad is not None}

    assert trained(0.09) == {"connector"}
    assert trained(0.1) == {"cbam", "output", "deep"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": -1.0}, r"weight = -1\.0"),
        ({"levels": {"deep": -1.0}}, r"levels\.deep = -1\.0"),
        ({"first_share": 1.0}, r"first_share = 1\.0"),
    ],
)
def test_options_out_of_range_are_refused(options, message) -> None:
    with pytest.raises(RecipeError, match=message):
        attnfd.Config(**options)


def test_features_that_cannot_be_compared_are_refused_by_name() -> None:
    context = make_context()
    other = context_of(context.student_shapes, {**context.teacher_shapes, "deep": (2, 4, 2, 2)})
    with pytest.raises(RecipeError, match=r"'deep' is \[2, 4, 4, 4\] in the student and \[2, 4, 2, 2\]"):
        attnfd.make_loss(attnfd.Config(), other)
    with pytest.raises(RecipeError, match=r"levels\.depe .*did you mean 'deep'"):
        attnfd.make_loss(attnfd.Config(levels={"depe": 1.0}), context)
    with pytest.raises(RecipeError, match="found 0 feature_layers"):
        attnfd.make_loss(attnfd.Config(), make_context(features=()))
