"""Hybrid distillation: terms computed by hand, both readings of attention, both upsamplings, gradients."""

from __future__ import annotations

import math

import pytest
import torch

from edgekd.core.errors import RecipeError
from edgekd.distill.method import criterion_named
from edgekd.distill.methods import hybrid
from tests.unit.distill.loss_inputs import context_of, detached, draw

CROSS_ENTROPY = criterion_named("cross_entropy")[0]
OUTPUTS = {"input": (2, 3, 16, 16), "output": (2, 3)}


def _loss(shape_s=(2, 4, 4, 4), shape_t=(2, 6, 4, 4), **options):
    context = context_of({**OUTPUTS, "deep": shape_s}, {**OUTPUTS, "deep": shape_t})
    torch.manual_seed(0)
    return hybrid.make_loss(hybrid.Config(**options), context).train()


def _features(shape, seed=0):
    return draw({**OUTPUTS, "deep": shape}, seed, requires_grad=True)


TARGET = torch.tensor([0, 2])


def test_logit_terms_computed_by_hand():
    # Student: odds 1:1:2 softened at T = 1, teacher 1:2:1; the target is class 2.
    student = {"output": torch.log(torch.tensor([[1.0, 1.0, 2.0]]))}
    teacher = {"output": torch.log(torch.tensor([[1.0, 2.0, 1.0]]))}
    terms = _loss(temperature=1.0, gamma=0.0)(student, teacher, torch.tensor([2]), 0.0)
    assert terms["task"].item() == pytest.approx(0.5 * math.log(2))
    assert terms["logits"].item() == pytest.approx(0.5 * (0.5 * math.log(2) - 0.25 * math.log(2)))
    # T = 2 halves the logits: odds become square roots; T² = 4 stands before the sum.
    root = math.sqrt(2)
    terms = _loss(temperature=2.0, gamma=0.0, beta=1.0)(student, teacher, torch.tensor([2]), 0.0)
    assert terms["logits"].item() == pytest.approx(4 * (root - 1) / (2 + root) * math.log(root), rel=1e-5)


@pytest.mark.parametrize(("attention", "channels"), [("activation", 3), ("self", 1)])
def test_attention_computed_by_hand(attention, channels):
    # Student values ±1 stay ±1 (but for a factor) through a 1x1 convolution of one channel and batch norm, so its map
    # is flat: Q_s = 1/4 at 16 positions. The teacher attends to one position: Q_t = 1 there. 15/16 + (3/4)² = 1.5.
    module = _loss((2, 1, 4, 4), (2, channels, 4, 4), attention=attention, gamma=10.0)
    signs = torch.tensor([1.0, -1.0]).repeat(2, 1, 4, 2)
    focus = torch.zeros(2, channels, 4, 4)
    focus[0, :, 1, 2], focus[1, :, 3, 0] = 5.0, 0.1
    outputs = {"output": torch.zeros(2, 3)}
    terms = module({**outputs, "deep": signs}, {**outputs, "deep": focus}, TARGET, 0.0)
    assert terms["attention"].item() == pytest.approx(10 * 1.5, rel=1e-5)


def test_activation_is_squared_and_self_attention_is_not():
    values = torch.tensor([3.0, 4.0]).view(1, 1, 1, 2).expand(2, 1, 1, 2)
    signs = torch.tensor([1.0, -1.0]).view(1, 1, 1, 2).expand(2, 1, 1, 2)
    outputs = {"output": torch.zeros(2, 3)}
    for attention, (a, b) in (("self", (0.6, 0.8)), ("activation", (9.0, 16.0))):
        module = _loss((2, 1, 1, 2), (2, 1, 1, 2), attention=attention, gamma=1.0)
        found = module({**outputs, "deep": signs}, {**outputs, "deep": values}, TARGET, 0.0)["attention"].item()
        assert found == pytest.approx(2 - math.sqrt(2) * (a + b) / math.hypot(a, b), rel=1e-4)


def test_feature_layers_are_averaged():
    shapes = {**OUTPUTS, "a": (2, 1, 1, 2), "b": (2, 1, 1, 2)}
    module = hybrid.make_loss(hybrid.Config(gamma=1.0), context_of(shapes, shapes)).train()
    signs = torch.tensor([1.0, -1.0]).view(1, 1, 1, 2).expand(2, 1, 1, 2)
    one = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2).expand(2, 1, 1, 2)
    outputs = {"output": torch.zeros(2, 3)}
    student, teacher = {**outputs, "a": signs, "b": signs}, {**outputs, "a": signs, "b": one}
    found = module(student, teacher, TARGET, 0.0)["attention"].item()
    # The distance is 0 at a and 2 - sqrt(2) at b.
    assert found == pytest.approx((2 - math.sqrt(2)) / 2, rel=1e-4)


def test_a_student_equal_to_its_teacher_reaches_the_floor():
    module = _loss((2, 6, 4, 4))
    features = detached(_features((2, 6, 4, 4)))
    terms = module(features, features, TARGET, 0.0)
    assert terms["logits"].item() == pytest.approx(0, abs=1e-6)
    assert terms["task"].item() == pytest.approx(0.5 * CROSS_ENTROPY(features["output"], TARGET).item())
    with torch.no_grad():
        convolution, norm = module.alignments[0]
        convolution.weight.copy_(torch.eye(6)[..., None, None])
        deep = features["deep"]
        norm.weight.copy_((deep.var(dim=(0, 2, 3), correction=0) + norm.eps).sqrt())
        norm.bias.copy_(deep.mean(dim=(0, 2, 3)))
    assert module(features, features, TARGET, 0.0)["attention"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("upsample", ["bilinear", "transposed"])
@pytest.mark.parametrize("size", [(4, 4), (8, 8), (12, 12), (16, 4)])
@pytest.mark.parametrize("attention", ["activation", "self"])
def test_gradient_reaches_student_and_projections_and_never_the_teacher(upsample, size, attention):
    shape_t = (2, 1 if attention == "self" else 6, *size)
    module = _loss(shape_t=shape_t, upsample=upsample, attention=attention)
    student, teacher = _features((2, 4, 4, 4), 1), _features(shape_t, 2)
    torch.stack(list(module(student, detached(teacher), TARGET, 0.5).values())).sum().backward()
    assert all(student[name].grad.abs().sum() > 0 for name in ("output", "deep"))
    assert all(value.grad is None for value in teacher.values())
    # A bias before batch norm moves nothing; all that is left learns.
    assert all(p.grad.abs().sum() > 0 for name, p in module.named_parameters() if not name.endswith("0.0.bias"))
    # A layer enlarges where the sizes differ, and only there.
    enlarging = [m for m in module.modules() if isinstance(m, (torch.nn.ConvTranspose2d, torch.nn.Upsample))]
    assert len(enlarging) == (size != (4, 4))
    aligned = module.alignments[0](student["deep"])
    assert aligned.shape == (2, 4 if attention == "self" else 6, *size)


def test_bilinear_takes_any_ratio():
    module = _loss(shape_t=(2, 6, 7, 9))
    assert module.alignments[0](torch.randn(2, 4, 4, 4)).shape == (2, 6, 7, 9)


@pytest.mark.parametrize(("option", "term"), [("alpha", "task"), ("beta", "logits"), ("gamma", "attention")])
def test_a_weight_of_0_leaves_its_term_out(option, term):
    features = detached(_features((2, 4, 4, 4)))
    everything = set(_loss(shape_t=(2, 4, 4, 4))(features, features, TARGET, 0.0))
    assert everything == {"task", "logits", "attention"}
    assert set(_loss(shape_t=(2, 4, 4, 4), **{option: 0.0})(features, features, TARGET, 0.0)) == everything - {term}


def test_feature_layers_are_needed_for_attention_alone():
    bare = context_of(OUTPUTS, OUTPUTS)
    assert list(hybrid.make_loss(hybrid.Config(gamma=0.0), bare).parameters()) == []
    with pytest.raises(RecipeError, match=r"'hybrid' .* found 0 feature_layers"):
        hybrid.make_loss(hybrid.Config(), bare)


@pytest.mark.parametrize(
    ("options", "shape_s", "shape_t", "message"),
    [
        ({}, (2, 4, 16), (2, 6, 4, 4), r"\[2, 4, 16\] in the student and \[2, 6, 4, 4\] in the teacher"),
        ({}, (2, 4, 8, 8), (2, 6, 4, 4), r"\[2, 4, 8, 8\] in the student and \[2, 6, 4, 4\] in the teacher"),
        ({"attention": "self"}, (2, 4, 4, 4), (2, 6, 4, 4), r"\[2, 6, 4, 4\] in the teacher.*\[2, 1, H, W\]"),
        ({"attention": "self"}, (2, 4, 4, 4), (8, 1, 4, 4), r"\[8, 1, 4, 4\] in the teacher.*\[2, 1, H, W\]"),
        ({"upsample": "transposed"}, (2, 4, 4, 4), (2, 6, 7, 8), r"\[2, 4, 4, 4\] .* \[2, 6, 7, 8\].*bilinear"),
    ],
)
def test_shapes_that_cannot_be_aligned_are_refused_with_both(options, shape_s, shape_t, message):
    with pytest.raises(RecipeError, match=message):
        _loss(shape_s, shape_t, **options)


def test_a_task_of_pictures_is_refused():
    pictures = context_of(OUTPUTS, OUTPUTS, "l1")
    with pytest.raises(RecipeError, match="'hybrid' compares classes"):
        hybrid.make_loss(hybrid.Config(gamma=0.0), pictures)


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"alpha": -1.0}, {"beta": -0.5}, {"gamma": -1.0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(RecipeError, match=rf"{next(iter(options))} = -?[\d.]+;"):
        hybrid.Config(**options)
