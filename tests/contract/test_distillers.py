"""What every distillation method promises, over every file of edgekd/distill/methods/."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from edgekd.core import family
from edgekd.core.schema import parse
from edgekd.distill.method import OUTPUT, Setting, criterion_named

METHODS = family.names("distill.methods")
# What a recipe would say where the defaults ask for a file that is not at hand.
OPTIONS = {"dpte": {"perceptual": "pyramid"}}
# Methods of one kind of output; the others are tried on both.
CLASSES = {"hybrid": (True,), "dpte": (False,), "mipkd": (False,), "fakd": (False,), "channel_wise": (True,)}
CASES = [(method, classes) for method in METHODS for classes in CLASSES.get(method, (False, True))]


def _taps(channels: int, seed: int, **kept: bool) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"input": (2, 4, 32, 32), "hint": (2, channels, 4, 4), "deep": (2, channels, 4, 4), OUTPUT: (2, 3, 32, 32)}
    return {name: torch.rand(shape, generator=generator).requires_grad_(**kept) for name, shape in shapes.items()}


def _loss(method: str, classes: bool, student: dict[str, Tensor], teacher: dict[str, Tensor]) -> nn.Module:
    torch.manual_seed(0)
    module = family.load("distill.methods", method)
    shapes = [{name: tuple(tensor.shape) for name, tensor in taps.items()} for taps in (student, teacher)]
    criterion = criterion_named("cross_entropy" if classes else "l1")[0]
    resume = _Resume(student, teacher)
    setting = Setting(criterion, classes, *(shapes if module.NEEDS_TEACHER else (shapes[0], {})), resume)
    loss: nn.Module = module.make_loss(parse(module.Config, OPTIONS.get(method, {}), "options"), setting)
    return loss.train()


class _Resume:
    """The rest of a network, of which a method knows nothing but that a value goes in and a value comes out."""

    def __init__(self, student: dict[str, Tensor], teacher: dict[str, Tensor]) -> None:
        self.taps = {"student": student, "teacher": teacher}

    def __call__(self, role: str, at: str, value: Tensor, until: str) -> Tensor:
        return self.taps[role][until].detach() + value.mean()


def _target(classes: bool) -> Tensor:
    return torch.zeros(2, 32, 32, dtype=torch.long) if classes else torch.zeros(2, 3, 32, 32)


def _terms(method: str, classes: bool, student: dict[str, Tensor], teacher: dict[str, Tensor]) -> dict[str, Tensor]:
    loss = _loss(method, classes, student, teacher)
    if hasattr(loss, "prepare"):
        loss.prepare({name: tap.detach() for name, tap in student.items()}, teacher, _target(classes))
    given = teacher if family.load("distill.methods", method).NEEDS_TEACHER else {}
    found: dict[str, Tensor] = loss(student, given, _target(classes), 0.0)
    return found


@pytest.fixture(params=METHODS)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return family.load("distill.methods", request.param)


@pytest.mark.parametrize(("method", "classes"), CASES)
def test_terms_are_finite_scalars_with_a_graph(method: str, classes: bool) -> None:
    terms = _terms(method, classes, _taps(6, 0, requires_grad=True), _taps(8, 1, requires_grad=False))
    assert terms
    for name, term in terms.items():
        assert term.shape == (), name
        assert torch.isfinite(term), name
        assert term.requires_grad, name


@pytest.mark.parametrize(("method", "classes"), CASES)
def test_gradient_reaches_the_student_and_never_the_teacher(method: str, classes: bool) -> None:
    student, teacher = _taps(6, 0, requires_grad=True), _taps(8, 1, requires_grad=True)
    detached = {name: tap.detach() for name, tap in teacher.items()}
    torch.stack(list(_terms(method, classes, student, detached).values())).sum().backward()
    assert student[OUTPUT].grad is not None
    assert student[OUTPUT].grad.abs().sum() > 0
    assert all(tap.grad is None for tap in teacher.values())


@pytest.mark.parametrize(("method", "classes"), CASES)
def test_options_of_weight_zero_leave_terms_out(method: str, classes: bool) -> None:
    module = family.load("distill.methods", method)
    if not module.NEEDS_TEACHER:
        pytest.skip("a control: it has one term and no options")
    student, teacher = _taps(6, 0, requires_grad=True), _taps(8, 1, requires_grad=False)
    assert len(_terms(method, classes, student, teacher)) >= 2


@pytest.mark.parametrize("classes", [False, True])
def test_student_equal_to_teacher_and_truth_costs_nothing(classes: bool) -> None:
    # The two whose floor is 0 without adaptors; each other method's floor has a test beside its golden values.
    teacher = _taps(8, 1, requires_grad=False)
    student = {name: tap.clone().requires_grad_() for name, tap in teacher.items()}
    assert _terms("logits", classes, student, teacher)["teacher"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("method", "expected"), [("none", {"task": 0.5}), ("logits", {"task": 0.5, "teacher": 0.25})])
def test_golden_losses_of_pictures(method: str, expected: dict[str, float]) -> None:
    # Student 0.5 everywhere, truth 0, teacher 0.75: L1 distances one can do in the head.
    student, teacher = _taps(8, 0, requires_grad=False), _taps(8, 1, requires_grad=False)
    student[OUTPUT], teacher[OUTPUT] = torch.full((2, 3, 32, 32), 0.5), torch.full((2, 3, 32, 32), 0.75)
    terms = _terms(method, False, student, teacher)
    assert {name: term.item() for name, term in terms.items()} == expected


def test_golden_loss_of_classes() -> None:
    # Two classes, T = 1: teacher (1/2, 1/2), student (3/4, 1/4): KL = ln 2 - (ln 3) / 2 = 0.1438.
    criterion, classes = criterion_named("cross_entropy")
    module = family.load("distill.methods", "logits")
    setting = Setting(criterion, classes, {OUTPUT: (1, 2)}, {OUTPUT: (1, 2)})
    loss = module.make_loss(module.Config(temperature=1.0), setting)
    terms = loss({OUTPUT: torch.tensor([[3.0, 1.0]]).log()}, {OUTPUT: torch.zeros(1, 2)}, torch.tensor([0]), 0.0)
    assert terms["task"].item() == pytest.approx(0.28768, abs=1e-5)
    assert terms["teacher"].item() == pytest.approx(0.14384, abs=1e-5)


def test_unlabelled_pixels_cost_nothing() -> None:
    criterion, _ = criterion_named("cross_entropy")
    output = torch.randn(1, 3, 2, 2)
    labels = torch.tensor([[[0, 1], [255, 255]]])
    seen = criterion(output[:, :, :1], labels[:, :1])
    assert criterion(output, labels).item() == pytest.approx(seen.item())
    assert criterion(output, torch.full((1, 2, 2), 255)).item() == 0


def test_docstring_gives_the_formula_and_where_it_is_from(module: ModuleType) -> None:
    text = module.__doc__ or ""
    assert "Formula" in text
    assert not module.NEEDS_TEACHER or ("Source:" in text and "Differs from the paper:" in text)
