"""Attention transfer: maps computed by hand, different sizes, gradients, terms with weight 0."""

from __future__ import annotations

import math

import pytest
import torch

from edgekd.core.errors import RecipeError
from edgekd.distill.method import LossContext, criterion_named
from edgekd.distill.methods import attention_transfer

CROSS_ENTROPY = criterion_named("cross_entropy")[0]
OUTPUTS = {"input": (2, 3, 16, 16), "output": (2, 3)}
TARGET = torch.tensor([0, 2])


def _loss(shape_s=(2, 4, 4, 4), shape_t=(2, 6, 4, 4), **options):
    student, teacher = {**OUTPUTS, "deep": shape_s}, {**OUTPUTS, "deep": shape_t}
    context = LossContext(CROSS_ENTROPY, True, student, teacher)
    return attention_transfer.make_loss(attention_transfer.Config(**options), context).train()


def _features(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    drawn = {**OUTPUTS, "deep": shape}
    return {name: torch.randn(size, generator=generator).requires_grad_() for name, size in drawn.items()}


def _detached(features):
    return {name: value.detach() for name, value in features.items()}


def _attention(student: torch.Tensor, teacher: torch.Tensor, **options) -> float:
    outputs = {"output": torch.zeros(len(student), 3)}
    module = _loss(tuple(student.shape), tuple(teacher.shape), **options)
    terms = module({**outputs, "deep": student}, {**outputs, "deep": teacher}, torch.zeros(len(student)).long(), 0.0)
    return terms["attention"].item()


def _row(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(1, 1, 1, -1)


def test_attention_computed_by_hand():
    # Maps: squares summed over channels, (1, 1) against (0, 4): Q = (1, 1) / sqrt(2) and (0, 1).
    student, teacher = _row(1.0, -1.0), _row(0.0, 2.0)
    distance = (2 - math.sqrt(2)) / 2  # mean over two positions
    assert _attention(student, teacher) == pytest.approx(1000 * distance, rel=1e-5)
    # Channels add up: (3, 0) and (4, 0) are 25 at the first position, 0 at the second.
    assert _attention(torch.cat([_row(3.0, 0.0), _row(4.0, 0.0)], 1), _row(1.0, 0.0)) == pytest.approx(0, abs=1e-6)


def test_the_power_is_the_papers_p():
    student, teacher = _row(3.0, -4.0), _row(1.0, 0.0)
    for power, cosine in ((1.0, 3 / 5), (2.0, 9 / math.hypot(9, 16))):
        found = _attention(student, teacher, power=power, beta=1.0)
        assert found == pytest.approx((2 - 2 * cosine) / 2, rel=1e-5)


def test_the_larger_map_is_averaged_down():
    student, teacher = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2)
    student[0, 0, 0, 0], student[0, 0, 1, 3] = 1.0, 1.0
    teacher[0, 0, 0] = 7.0
    assert _attention(student, teacher) == pytest.approx(0, abs=1e-6)
    assert _attention(teacher, student) == pytest.approx(0, abs=1e-6)
    teacher[0, 0, 0, 1] = 0.0
    assert _attention(student, teacher, beta=1.0) == pytest.approx((2 - math.sqrt(2)) / 4, rel=1e-5)


def test_feature_layers_are_added_up():
    shapes = {**OUTPUTS, "a": (1, 1, 1, 2), "b": (1, 1, 1, 2)}
    module = attention_transfer.make_loss(
        attention_transfer.Config(beta=1.0), LossContext(CROSS_ENTROPY, True, shapes, shapes)
    )
    outputs = {"output": torch.zeros(1, 3)}
    student = {**outputs, "a": _row(1.0, 1.0), "b": _row(1.0, 0.0)}
    teacher = {**outputs, "a": _row(0.0, 1.0), "b": _row(0.0, 1.0)}
    terms = module(student, teacher, torch.tensor([0]), 0.0)
    assert terms["attention"].item() == pytest.approx((2 - math.sqrt(2)) / 2 + 1, rel=1e-5)
    assert terms["task"].item() == pytest.approx(math.log(3))


def test_a_student_equal_to_its_teacher_has_the_tasks_loss_alone():
    features = _detached(_features((2, 4, 4, 4)))
    terms = _loss(shape_t=(2, 4, 4, 4), alpha=1.0)(features, features, TARGET, 0.0)
    assert terms["attention"].item() == 0
    assert terms["logits"].item() == pytest.approx(0, abs=1e-6)
    assert terms["task"].item() == pytest.approx(CROSS_ENTROPY(features["output"], TARGET).item())


@pytest.mark.parametrize("size", [(4, 4), (2, 2), (8, 8), (2, 8)])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_gradient_reaches_the_student_and_never_the_teacher(size, power):
    module = _loss(shape_t=(2, 6, *size), alpha=1.0, power=power)
    student, teacher = _features((2, 4, 4, 4), 1), _features((2, 6, *size), 2)
    torch.stack(list(module(student, _detached(teacher), TARGET, 0.5).values())).sum().backward()
    assert all(student[name].grad.abs().sum() > 0 for name in ("output", "deep"))
    assert all(value.grad is None for value in teacher.values())
    assert list(module.parameters()) == []


@pytest.mark.parametrize(("option", "term"), [("task", "task"), ("beta", "attention"), ("alpha", "logits")])
def test_a_weight_of_0_leaves_its_term_out(option, term):
    features = _detached(_features((2, 4, 4, 4)))
    everything = {"task": 1.0, "beta": 1.0, "alpha": 1.0}
    assert set(_loss(**everything)(features, features, TARGET, 0.0)) == {"task", "attention", "logits"}
    left = _loss(**{**everything, option: 0.0})(features, features, TARGET, 0.0)
    assert set(left) == {"task", "attention", "logits"} - {term}
    assert "logits" not in _loss()(features, features, TARGET, 0.0)


def test_pictures_are_compared_by_the_tasks_own_loss():
    shapes = {"input": (1, 3, 4, 4), "output": (1, 3, 4, 4), "deep": (1, 2, 4, 4)}
    module = attention_transfer.make_loss(
        attention_transfer.Config(alpha=2.0), LossContext(criterion_named("l1")[0], False, shapes, shapes)
    )
    deep = torch.ones(1, 2, 4, 4)
    student, teacher = ({"output": torch.full((1, 3, 4, 4), value), "deep": deep} for value in (0.5, 0.75))
    terms = module(student, teacher, torch.zeros(1, 3, 4, 4), 0.0)
    assert {name: value.item() for name, value in terms.items()} == {"task": 0.5, "attention": 0.0, "logits": 0.5}


def test_a_feature_that_is_no_map_and_no_feature_layers_are_refused():
    with pytest.raises(RecipeError, match=r"'deep' is \[2, 16, 4\] in the student and \[2, 6, 4, 4\] in the teacher"):
        _loss((2, 16, 4))
    bare = LossContext(CROSS_ENTROPY, True, OUTPUTS, OUTPUTS)
    with pytest.raises(RecipeError, match=r"'attention_transfer' .* found 0 feature_layers"):
        attention_transfer.make_loss(attention_transfer.Config(), bare)
    assert attention_transfer.make_loss(attention_transfer.Config(beta=0.0), bare)


@pytest.mark.parametrize(
    "options", [{"temperature": 0.0}, {"power": 0.5}, {"task": -1.0}, {"beta": -1.0}, {"alpha": -1.0}]
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(RecipeError, match=rf"{next(iter(options))} = -?[\d.]+"):
        attention_transfer.Config(**options)
