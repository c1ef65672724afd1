"""AttnFD: golden terms, where gradients go, and every way to refine the teacher's features."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from edgekd.core.errors import RecipeError
from edgekd.distill.method import Setting, criterion_named
from edgekd.distill.methods import attnfd
from edgekd.networks.cbam import CBAM, parameter_free_cbam

CLASSES = 3


def setting(channels_s=4, channels_t=4, taps=("deep",), size=(4, 4)) -> Setting:
    output = (2, CLASSES, 8, 8)
    shapes = [
        {"input": (2, 3, 8, 8), "output": output, **dict.fromkeys(taps, (2, c, *size))}
        for c in (channels_s, channels_t)
    ]
    return Setting(criterion_named("cross_entropy")[0], True, *shapes)


def tensors(given: Setting, seed=0):
    generator = torch.Generator().manual_seed(seed)
    student = {k: torch.randn(v, generator=generator, requires_grad=True) for k, v in given.student.items()}
    teacher = {k: torch.randn(v, generator=generator) for k, v in given.teacher.items()}
    target = torch.randint(0, CLASSES, (2, 8, 8), generator=generator)
    return student, teacher, target


def direct(loss: Any) -> Any:
    """Make every connector pass on what has mean 0 and variance 1, so that terms can be computed by hand."""
    for level in loss.levels:
        nn.init.dirac_(level.connector[0].weight)
    return loss


def test_golden_term_is_the_squared_distance_of_directions() -> None:
    given = setting(1, 1, size=(2, 2))
    config = attnfd.Config(task=0.0, weight=2.0, student_attention="none")
    loss = direct(attnfd.make_loss(config, given))
    # Mean 0 and variance 1, which batch norm leaves alone: 8 values of ±1, and a teacher that agrees on 6 of them,
    # three times as long: cos = (6 - 2) / 8 = 0.5, so the term is 2 * 2 * (1 - 0.5).
    student = torch.tensor([1.0, -1, 1, -1, 1, -1, 1, -1]).view(2, 1, 2, 2)
    signs = torch.tensor([1.0, 1, 1, 1, 1, 1, 1, 1])
    signs[:2] = -1
    terms = loss({"deep": student}, {"deep": 3 * student * signs.view(2, 1, 2, 2)}, torch.zeros(0), 0.0)
    assert list(terms) == ["attention_deep"]
    assert terms["attention_deep"].item() == pytest.approx(2.0, rel=1e-4)


def test_one_norm_is_over_the_whole_batch() -> None:
    given = setting(1, 1, size=(1, 2))
    loss = direct(attnfd.make_loss(attnfd.Config(task=0.0, weight=1.0, student_attention="none"), given))
    student = torch.tensor([1.0, -1, 1, -1]).view(2, 1, 1, 2)
    # Each sample alone points the same way; over the batch it does not: cos = (1 + 1 + 3 + 3) / sqrt(4 * 20).
    teacher = torch.tensor([1.0, -1, 3, -3]).view(2, 1, 1, 2)
    found = loss({"deep": student}, {"deep": teacher}, torch.zeros(0), 0.0)["attention_deep"].item()
    assert found == pytest.approx(2 * (1 - 8 / math.sqrt(80)), rel=1e-4)


def test_a_student_that_its_connector_aligns_with_its_teacher_costs_the_task_alone() -> None:
    given = setting(1, 1, size=(2, 2))
    loss = direct(attnfd.make_loss(attnfd.Config(student_attention="none"), given))
    same = torch.tensor([1.0, -1, 1, -1, 1, -1, 1, -1]).view(2, 1, 2, 2)
    _, teacher, target = tensors(given)
    output = teacher["output"]
    terms = loss({"output": output, "deep": same}, {"output": output, "deep": same}, target, 0.0)
    assert terms["attention_deep"].item() == pytest.approx(0.0, abs=1e-6)
    assert terms["task"] == given.criterion(output, target)


def test_student_equal_to_teacher_pays_no_more_than_the_floor() -> None:
    given = setting(taps=("a", "b"))
    config = attnfd.Config(levels={"b": 0.5})
    student, _, target = tensors(given)
    terms = attnfd.make_loss(config, given)(student, {k: v.detach() for k, v in student.items()}, target, 0.0)
    assert 0 <= terms["attention_a"].item() <= 4 * 2
    assert 0 <= terms["attention_b"].item() <= 4 * 2 * 0.5


@pytest.mark.parametrize("teacher_attention", ["in_path", "free", "random"])
def test_the_student_and_its_adaptors_learn_and_the_teacher_never(teacher_attention) -> None:
    torch.manual_seed(0)
    given = setting(4, 6)
    loss = attnfd.make_loss(attnfd.Config(teacher_attention=teacher_attention), given)
    student, teacher, target = tensors(given)
    teacher["deep"].requires_grad_()
    loss(student, {k: v.detach() for k, v in teacher.items()}, target, 0.0)["attention_deep"].backward()
    assert student["deep"].grad.abs().sum() > 0
    assert teacher["deep"].grad is None
    for name, parameter in loss.named_parameters():
        assert (parameter.grad is None) == ("cbam_t" in name), name


def test_the_teachers_refinement_is_what_the_option_says() -> None:
    given = setting(4, 6)
    found = {}
    student, teacher, target = tensors(given)
    for way in ("in_path", "free", "random"):
        torch.manual_seed(0)
        loss = attnfd.make_loss(attnfd.Config(teacher_attention=way, task=0.0), given)
        found[way] = loss(student, teacher, target, 0.0)["attention_deep"].item()
    assert len(set(found.values())) == 3
    torch.manual_seed(0)
    in_path = attnfd.make_loss(attnfd.Config(task=0.0), given)
    refined = {**teacher, "deep": parameter_free_cbam(teacher["deep"])}
    assert in_path(student, refined, target, 0.0)["attention_deep"].item() == pytest.approx(found["free"])


def test_a_random_teacher_cbam_stays_as_it_was_made() -> None:
    given = setting()
    loss = attnfd.make_loss(attnfd.Config(teacher_attention="random"), given).train()
    before = {k: v.clone() for k, v in loss.state_dict().items() if "cbam_t" in k}
    loss(*tensors(given), 0.0)
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
def test_each_term_has_a_switch(options, terms) -> None:
    given = setting(taps=("a", "b"))
    loss = attnfd.make_loss(attnfd.Config(**options), given)
    assert set(loss(*tensors(given), 0.0)) == terms
    assert len(loss.levels) == len(terms - {"task"})


def test_student_attention_and_its_channel_part_have_switches() -> None:
    given = setting()
    none = attnfd.make_loss(attnfd.Config(student_attention="none"), given)
    assert not [module for module in none.modules() if isinstance(module, CBAM)]
    frozen = attnfd.make_loss(attnfd.Config(channel_attention="frozen"), given)
    assert {k for k, p in frozen.named_parameters() if not p.requires_grad} == {
        f"levels.0.cbam.channel.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")
    }


def test_connectors_of_the_first_epoch_learn_alone_and_then_not_at_all() -> None:
    given = setting()
    loss = attnfd.make_loss(attnfd.Config(connectors="first_epoch", first_share=0.1), given)
    student, teacher, target = tensors(given)

    def learnt(progress: float) -> set[str]:
        loss.zero_grad()
        for value in student.values():
            value.grad = None
        torch.stack(list(loss(student, teacher, target, progress).values())).sum().backward()
        found = {name.split(".")[2] for name, parameter in loss.named_parameters() if parameter.grad is not None}
        return found | {name for name, value in student.items() if value.grad is not None}

    assert learnt(0.09) == {"connector"}
    assert learnt(0.1) == {"cbam", "output", "deep"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weight": -1.0}, r"weight = -1\.0"),
        ({"levels": {"deep": -1.0}}, r"levels\.deep = -1\.0"),
        ({"first_share": 1.0}, r"first_share = 1\.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said) -> None:
    with pytest.raises(RecipeError, match=said):
        attnfd.Config(**options)


def test_features_that_cannot_be_compared_are_refused_by_name() -> None:
    given = setting()
    other = Setting(given.criterion, True, given.student, {**given.teacher, "deep": (2, 4, 2, 2)})
    with pytest.raises(RecipeError, match=r"tap 'deep' is \(2, 4, 4, 4\) in the student and \(2, 4, 2, 2\)"):
        attnfd.make_loss(attnfd.Config(), other)
    with pytest.raises(RecipeError, match=r"levels\.depe \(did you mean 'deep'\?\) is no tap"):
        attnfd.make_loss(attnfd.Config(levels={"depe": 1.0}), given)
    with pytest.raises(RecipeError, match="found 0 taps"):
        attnfd.make_loss(attnfd.Config(), setting(taps=()))
