"""FAKD: affinities computed by hand, and their gradient."""

from __future__ import annotations

import math

import pytest
import torch

from edgekd.core.errors import RecipeError
from edgekd.distill.methods import fakd
from tests.unit.distill.loss_inputs import context_of, draw


def features(channels: int, seed: int, *, requires_grad: bool = False):
    shapes = {"output": (2, 3, 8, 8), "a": (2, channels, 4, 4), "b": (2, channels, 4, 4)}
    return draw(shapes, seed, requires_grad=requires_grad)


def make(features_s, features_t, **options):
    shapes_s, shapes_t = (
        {name: tuple(value.shape) for name, value in side.items()} for side in (features_s, features_t)
    )
    return fakd.make_loss(fakd.Config(**options), context_of(shapes_s, shapes_t, "l1"))


def test_affinity_is_the_cosine_between_pixels():
    # Three pixels of two channels: along x, along y, and between them.
    feature = torch.tensor([[[[2.0, 0.0, 3.0]], [[0.0, 5.0, 3.0]]]])
    half = math.sqrt(0.5)
    expected = torch.tensor([[[1.0, 0.0, half], [0.0, 1.0, half], [half, half, 1.0]]])
    torch.testing.assert_close(fakd.affinity(feature), expected)


def test_terms_computed_by_hand():
    teacher = {"output": torch.zeros(1, 3, 2, 2), "a": torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])}
    student = {"output": torch.full((1, 3, 2, 2), 0.5), "a": torch.tensor([[[[4.0, 4.0]]]])}
    terms = make(student, teacher)(student, teacher, torch.ones(1, 3, 2, 2), 0.0)
    # The student's two pixels are alike (1), the teacher's are not (0): two of four entries differ by 1, times 10.
    assert {name: term.item() for name, term in terms.items()} == {"task": 0.5, "teacher": 0.5, "affinity": 5.0}


def test_feature_layers_are_added_up():
    student, teacher = features(4, 0), features(6, 1)
    both = make(student, teacher)(student, teacher, student["output"], 0.0)["affinity"]
    alone = 0.0
    for name in ("a", "b"):
        one, other = ({k: v for k, v in side.items() if k in ("output", name)} for side in (student, teacher))
        alone += make(one, other)(one, other, student["output"], 0.0)["affinity"].item()
    assert both.item() == pytest.approx(alone)


def test_equal_networks_have_no_loss():
    teacher = features(6, 1)
    terms = make(teacher, teacher)(teacher, teacher, teacher["output"], 0.0)
    assert [term.item() for term in terms.values()] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("term", "reached"), [("teacher", {"output"}), ("affinity", {"a", "b"})])
def test_each_term_has_a_gradient_in_the_student_and_none_in_the_teacher(term, reached):
    student, teacher = features(4, 0, requires_grad=True), features(6, 1)
    make(student, teacher)(student, teacher, torch.ones(2, 3, 8, 8), 0.0)[term].backward()
    assert {name for name, value in student.items() if value.grad is not None and value.grad.abs().sum() > 0} == reached
    assert all(value.grad is None for value in teacher.values())


def test_an_all_zero_feature_has_a_finite_gradient():
    student, teacher = features(4, 0, requires_grad=True), features(6, 1)
    student["a"] = torch.zeros(2, 4, 4, 4, requires_grad=True)
    make(student, teacher)(student, teacher, torch.ones(2, 3, 8, 8), 0.0)["affinity"].backward()
    assert torch.isfinite(student["a"].grad).all()


@pytest.mark.parametrize("name", ["task", "teacher", "affinity"])
def test_weight_0_removes_its_term(name):
    student, teacher = features(4, 0), features(6, 1)
    terms = make(student, teacher, **{name: 0.0})(student, teacher, student["output"], 0.0)
    assert set(terms) == {"task", "teacher", "affinity"} - {name}


def test_features_of_different_size_are_refused():
    student, teacher = features(4, 0), features(6, 1)
    teacher["b"] = torch.rand(2, 6, 2, 4)
    with pytest.raises(RecipeError, match=r"'b' is \[2, 4, 4, 4\] in the student and \[2, 6, 2, 4\]"):
        make(student, teacher)
    assert set(make(student, teacher, affinity=0.0)(student, teacher, student["output"], 0.0)) == {"task", "teacher"}


def test_no_feature_layers_are_refused():
    only = {"output": torch.rand(1, 3, 4, 4)}
    with pytest.raises(RecipeError, match="found 0 feature_layers"):
        make(only, only)
