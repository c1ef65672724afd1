"""FAKD: affinities by hand, and that their gradient is alive."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from edgekd.core.errors import RecipeError
from edgekd.distill.method import Setting
from edgekd.distill.methods import fakd


def taps(wide: int, seed: int, *, learns: bool = False):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"output": (2, 3, 8, 8), "a": (2, wide, 4, 4), "b": (2, wide, 4, 4)}
    return {k: torch.rand(v, generator=generator).requires_grad_(learns) for k, v in shapes.items()}


def make(taps_s, taps_t, **options):
    shapes = [{name: tuple(tap.shape) for name, tap in taps.items()} for taps in (taps_s, taps_t)]
    return fakd.make_loss(fakd.Config(**options), Setting(functional.l1_loss, False, *shapes))


def test_affinity_is_the_cosine_between_pixels():
    # Three pixels of two channels: along x, along y, and between them.
    feature = torch.tensor([[[[2.0, 0.0, 3.0]], [[0.0, 5.0, 3.0]]]])
    half = math.sqrt(0.5)
    expected = torch.tensor([[[1.0, 0.0, half], [0.0, 1.0, half], [half, half, 1.0]]])
    torch.testing.assert_close(fakd.affinity(feature), expected)


def test_golden_values():
    teacher = {"output": torch.zeros(1, 3, 2, 2), "a": torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])}
    student = {"output": torch.full((1, 3, 2, 2), 0.5), "a": torch.tensor([[[[4.0, 4.0]]]])}
    terms = make(student, teacher)(student, teacher, torch.ones(1, 3, 2, 2), 0.0)
    # The student's two pixels are alike (1), the teacher's are not (0): two of four entries differ by 1, times 10.
    assert {name: term.item() for name, term in terms.items()} == {"task": 0.5, "teacher": 0.5, "affinity": 5.0}


def test_taps_are_added_up():
    student, teacher = taps(4, 0), taps(6, 1)
    both = make(student, teacher)(student, teacher, student["output"], 0.0)["affinity"]
    alone = 0.0
    for name in ("a", "b"):
        one, other = ({k: v for k, v in side.items() if k in ("output", name)} for side in (student, teacher))
        alone += make(one, other)(one, other, student["output"], 0.0)["affinity"].item()
    assert both.item() == pytest.approx(alone)


def test_equal_networks_cost_nothing():
    teacher = taps(6, 1)
    terms = make(teacher, teacher)(teacher, teacher, teacher["output"], 0.0)
    assert [term.item() for term in terms.values()] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("term", "reached"), [("teacher", {"output"}), ("affinity", {"a", "b"})])
def test_the_gradient_is_alive_and_never_the_teachers(term, reached):
    student, teacher = taps(4, 0, learns=True), taps(6, 1)
    make(student, teacher)(student, teacher, torch.ones(2, 3, 8, 8), 0.0)[term].backward()
    assert {name for name, tap in student.items() if tap.grad is not None and tap.grad.abs().sum() > 0} == reached
    assert all(tap.grad is None for tap in teacher.values())


def test_a_black_feature_has_a_finite_gradient():
    student, teacher = taps(4, 0, learns=True), taps(6, 1)
    student["a"] = torch.zeros(2, 4, 4, 4, requires_grad=True)
    make(student, teacher)(student, teacher, torch.ones(2, 3, 8, 8), 0.0)["affinity"].backward()
    assert torch.isfinite(student["a"].grad).all()


@pytest.mark.parametrize("name", ["task", "teacher", "affinity"])
def test_each_term_switches_off(name):
    student, teacher = taps(4, 0), taps(6, 1)
    terms = make(student, teacher, **{name: 0.0})(student, teacher, student["output"], 0.0)
    assert set(terms) == {"task", "teacher", "affinity"} - {name}


def test_taps_of_other_sizes_are_refused():
    student, teacher = taps(4, 0), taps(6, 1)
    teacher["b"] = torch.rand(2, 6, 2, 4)
    with pytest.raises(RecipeError, match=r"tap 'b' is \[2, 4, 4, 4\] in the student and \[2, 6, 2, 4\]"):
        make(student, teacher)
    assert set(make(student, teacher, affinity=0.0)(student, teacher, student["output"], 0.0)) == {"task", "teacher"}


def test_no_taps_are_refused():
    only = {"output": torch.rand(1, 3, 4, 4)}
    with pytest.raises(RecipeError, match="found 0 taps"):
        make(only, only)
