"""FitNet: golden hints, gradients, the two ways in time, switches, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from edgekd.core.errors import RecipeError
from edgekd.distill.method import Setting, criterion_named
from edgekd.distill.methods import fitnet

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


def test_golden_hint_through_a_regressor() -> None:
    given = setting(1, 2, taps=("a", "b"))
    loss: Any = fitnet.make_loss(fitnet.Config(task=0.0, hint=10.0), given)
    for regressor in loss.regressors:
        torch.nn.init.constant_(regressor.weight, 2.0)
        torch.nn.init.zeros_(regressor.bias)
    # The regressors make 2 of a student's 1; teachers say 3 and 1.5: half the squares, 0.5 and 0.125.
    student = {tap: torch.ones(2, 1, 4, 4) for tap in ("a", "b")}
    teacher = {"a": torch.full((2, 2, 4, 4), 3.0), "b": torch.full((2, 2, 4, 4), 1.5)}
    student["output"] = teacher["output"] = torch.zeros(2, CLASSES, 8, 8)
    terms = loss(student, teacher, torch.zeros(0), 0.0)
    assert {k: v.item() for k, v in terms.items()} == pytest.approx({"hint": 10 * 0.625})


def test_student_equal_to_teacher_pays_the_task_alone() -> None:
    given = setting(taps=("a", "b"))
    student, _, target = tensors(given)
    loss = fitnet.make_loss(fitnet.Config(alpha=1.0), given)
    terms = loss(student, {k: v.detach() for k, v in student.items()}, target, 0.0)
    assert terms["task"] == given.criterion(student["output"], target)
    assert terms["hint"].item() == 0.0
    assert terms["logits"].item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("channels_t", "adaptors"), [(4, 0), (6, 4 * 6 + 6)])
def test_the_student_and_its_regressors_learn_and_the_teacher_never(channels_t, adaptors) -> None:
    given = setting(4, channels_t)
    loss = fitnet.make_loss(fitnet.Config(), given)
    student, teacher, target = tensors(given)
    assert sum(parameter.numel() for parameter in loss.parameters()) == adaptors
    loss(student, teacher, target, 0.0)["hint"].backward()
    assert student["deep"].grad.abs().sum() > 0
    assert all(value.grad is None for value in teacher.values())
    assert all(parameter.grad is not None for parameter in loss.parameters())


@pytest.mark.parametrize("name", ["task", "hint", "alpha"])
def test_each_term_has_a_switch(name) -> None:
    given = setting(4, 6)
    loss = fitnet.make_loss(fitnet.Config(**{"alpha": 1.0, name: 0.0}), given)
    assert set(loss(*tensors(given), 0.0)) == {"task", "hint", "logits"} - {"logits" if name == "alpha" else name}
    assert len(loss.regressors) == (name != "hint")


def test_two_stages_are_hints_alone_and_then_everything_else() -> None:
    given = setting()
    loss = fitnet.make_loss(fitnet.Config(alpha=1.0, stages="two", first_share=0.5), given)
    joint = fitnet.make_loss(fitnet.Config(alpha=1.0), given)(*tensors(given), 0.0)
    first, second = loss(*tensors(given), 0.49), loss(*tensors(given), 0.5)
    assert {k: v.item() for k, v in first.items()} == {"hint": joint["hint"].item(), "task": 0.0, "logits": 0.0}
    assert {k: v.item() for k, v in second.items()} == {
        "hint": 0.0,
        "task": joint["task"].item(),
        "logits": joint["logits"].item(),
    }


def test_what_cannot_be_compared_is_refused_by_name() -> None:
    given = setting()
    other = Setting(given.criterion, True, given.student, {**given.teacher, "deep": (2, 16)})
    with pytest.raises(RecipeError, match=r"tap 'deep' is \(2, 4, 4, 4\) in the student and \(2, 16\)"):
        fitnet.make_loss(fitnet.Config(), other)
    with pytest.raises(RecipeError, match="found 0 taps"):
        fitnet.make_loss(fitnet.Config(), setting(taps=()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hint": -1.0}, r"hint = -1\.0"),
        ({"temperature": 0.0}, r"temperature = 0\.0"),
        ({"first_share": 1.0}, r"first_share = 1\.0"),
        ({"stages": "two", "task": 0.0}, 'stages = "two" with hint = 1'),
        ({"stages": "two", "hint": 0.0}, 'stages = "two" with hint = 0'),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said) -> None:
    with pytest.raises(RecipeError, match=said):
        fitnet.Config(**options)
