"""Channel-wise distillation: golden divergences over positions, gradients, switches, refusals."""

from __future__ import annotations

import math

import pytest
import torch

from edgekd.core.errors import RecipeError
from edgekd.distill.method import Setting, criterion_named
from edgekd.distill.methods import channel_wise

CLASSES = 3


def setting(channels_s=4, channels_t=4, taps=("deep",)) -> Setting:
    output = (2, CLASSES, 8, 8)
    shapes = [
        {"input": (2, 3, 8, 8), "output": output, **dict.fromkeys(taps, (2, c, 4, 4))} for c in (channels_s, channels_t)
    ]
    return Setting(criterion_named("cross_entropy")[0], True, *shapes)


def tensors(given: Setting, seed=0):
    generator = torch.Generator().manual_seed(seed)
    student = {k: torch.randn(v, generator=generator, requires_grad=True) for k, v in given.student.items()}
    teacher = {k: torch.randn(v, generator=generator) for k, v in given.teacher.items()}
    return student, teacher, torch.randint(0, CLASSES, (2, 8, 8), generator=generator)


def test_golden_divergence_over_two_positions() -> None:
    shapes = {"output": (1, 2, 1, 2), "deep": (1, 2, 1, 2)}
    given = Setting(criterion_named("cross_entropy")[0], True, shapes, shapes)
    config = channel_wise.Config(task=0.0, feature=1.0, logits=10.0, temperature=2.0)
    # The first channel of the teacher is 3:1 at temperature 2, the student's 1:1; the second channels are equal.
    teacher = torch.tensor([2 * math.log(3.0), 0.0, 5.0, 5.0]).view(1, 2, 1, 2)
    student = torch.tensor([1.0, 1.0, 7.0, 7.0]).view(1, 2, 1, 2)
    divergence = 2.0**2 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)) / 2
    taps_s, taps_t = ({"output": value, "deep": value} for value in (student, teacher))
    terms = channel_wise.make_loss(config, given)(taps_s, taps_t, torch.zeros(0), 0.0)
    assert {k: v.item() for k, v in terms.items()} == pytest.approx({"feature": divergence, "logits": 10 * divergence})


def test_student_equal_to_teacher_pays_the_task_alone() -> None:
    given = setting(taps=("a", "b"))
    student, _, target = tensors(given)
    terms = channel_wise.make_loss(channel_wise.Config(), given)(
        student, {k: v.detach() for k, v in student.items()}, target, 0.0
    )
    assert terms["task"] == given.criterion(student["output"], target)
    assert terms["feature"].item() == pytest.approx(0.0, abs=1e-6)
    assert terms["logits"].item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("channels_t", "adaptors"), [(4, 0), (6, 4 * 6 + 6)])
def test_the_student_and_its_adaptors_learn_and_the_teacher_never(channels_t, adaptors) -> None:
    given = setting(4, channels_t)
    loss = channel_wise.make_loss(channel_wise.Config(), given)
    student, teacher, target = tensors(given)
    assert sum(parameter.numel() for parameter in loss.parameters()) == adaptors
    terms = loss(student, teacher, target, 0.0)
    (terms["feature"] + terms["logits"]).backward()
    assert student["deep"].grad.abs().sum() > 0
    assert student["output"].grad.abs().sum() > 0
    assert all(value.grad is None for value in teacher.values())
    assert not loss.parameters() or all(p.grad is not None for p in loss.parameters())


@pytest.mark.parametrize("name", ["task", "feature", "logits"])
def test_each_term_has_a_switch(name) -> None:
    given = setting(4, 6)
    loss = channel_wise.make_loss(channel_wise.Config(**{name: 0.0}), given)
    assert set(loss(*tensors(given), 0.0)) == {"task", "feature", "logits"} - {name}
    assert len(loss.adaptors) == (name != "feature")


def test_what_cannot_be_compared_is_refused_by_name() -> None:
    given = setting()
    other = Setting(given.criterion, True, given.student, {**given.teacher, "deep": (2, 4, 2, 2)})
    with pytest.raises(RecipeError, match=r"tap 'deep' is \(2, 4, 4, 4\) in the student and \(2, 4, 2, 2\)"):
        channel_wise.make_loss(channel_wise.Config(), other)
    flat = {"output": (2, 3)}
    with pytest.raises(RecipeError, match=r"the output is \(2, 3\)"):
        channel_wise.make_loss(channel_wise.Config(feature=0.0), Setting(given.criterion, True, flat, flat))
    with pytest.raises(RecipeError, match="found 0 taps"):
        channel_wise.make_loss(channel_wise.Config(), setting(taps=()))
    with pytest.raises(RecipeError, match=r"temperature = 0\.0"):
        channel_wise.Config(temperature=0.0)
    with pytest.raises(RecipeError, match=r"feature = -1\.0"):
        channel_wise.Config(feature=-1.0)
