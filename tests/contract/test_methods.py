"""What every distillation method promises, checked on every file of edgekd/distill/methods/ and on one that is new."""

from __future__ import annotations

import dataclasses
import itertools
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgekd.core import family
from edgekd.core.errors import RecipeError
from edgekd.core.recipe import load_recipe
from edgekd.core.schema import parse
from edgekd.distill import methods, train
from edgekd.distill.method import OUTPUT, HasOptimizers, PreparesStep
from tests.unit.distill.loss_inputs import ConstantRest, Tensors, context_of, detached, draw
from tests.unit.distill.tiny_pair import job_of, make_pair, read_log

METHODS = family.names("distill.methods")
CLASSES = 3
# Past the first stage of a method that trains in two, in which the student may rest.
PROGRESS = 0.5


def shapes(channels: int) -> dict[str, tuple[int, ...]]:
    """Two features, of which one is called as the methods that need a name call it; four input channels for haze."""
    feature = (2, channels, 4, 4)
    return {"input": (2, 4, 32, 32), "hint": feature, "deep": feature, OUTPUT: (2, CLASSES, 32, 32)}


SHAPES_S, SHAPES_T = shapes(6), shapes(8)


@dataclasses.dataclass(frozen=True)
class Case:
    """A method with options, and a kind of task."""

    module: ModuleType
    options: dict[str, Any]
    criterion: str

    def loss(self, student: Tensors, teacher: Tensors) -> nn.Module:
        torch.manual_seed(0)
        rest = ConstantRest(student, teacher)
        shapes_t = SHAPES_T if self.module.NEEDS_TEACHER else {}
        context = context_of(SHAPES_S, shapes_t, self.criterion, rest)
        loss: nn.Module = self.module.make_loss(parse(self.module.Config, self.options, "options"), context)
        return loss.train()

    def target(self) -> Tensor:
        if self.criterion == "cross_entropy":
            return torch.zeros(2, 32, 32, dtype=torch.long)
        return torch.zeros(2, CLASSES, 32, 32)

    def terms(self, student: Tensors, teacher: Tensors) -> dict[str, Tensor]:
        loss, given = self.loss(student, teacher), teacher if self.module.NEEDS_TEACHER else {}
        if isinstance(loss, PreparesStep):
            loss.prepare(detached(student), given, self.target())
        terms: dict[str, Tensor] = loss(student, given, self.target(), PROGRESS)
        return terms

    def is_possible(self) -> bool:
        """Whether the method takes these options for this kind of task, without files of its own."""
        try:
            self.loss(draw(SHAPES_S, 0), draw(SHAPES_T, 1))
        except RecipeError:
            return False
        return True


def variants(config: type) -> Iterator[dict[str, Any]]:
    """Yield the defaults, and each other value of every option that has a closed list of values."""
    yield {}
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        if typing.get_origin(hints[field.name]) is typing.Literal:
            yield from ({field.name: value} for value in typing.get_args(hints[field.name]) if value != field.default)
        elif hints[field.name] is bool:
            yield {field.name: not field.default}


def cases(module: ModuleType) -> list[Case]:
    """Return every possible case of a method."""
    every = itertools.product(variants(module.Config), ("l1", "cross_entropy"))
    return [case for options, criterion in every if (case := Case(module, options, criterion)).is_possible()]


def has_a_case(module: ModuleType) -> None:
    assert cases(module), "no options make a loss, of pictures or of classes, without files"


def terms_are_finite_scalars_with_a_graph(module: ModuleType) -> None:
    for case in cases(module):
        terms = case.terms(draw(SHAPES_S, 0, requires_grad=True), draw(SHAPES_T, 1))
        assert terms, case
        for name, term in terms.items():
            assert term.shape == (), (case, name)
            assert torch.isfinite(term), (case, name)
        assert sum(terms.values()).requires_grad, case


def gradient_reaches_the_student_and_never_the_teacher(module: ModuleType) -> None:
    for case in cases(module):
        student, teacher = draw(SHAPES_S, 0, requires_grad=True), draw(SHAPES_T, 1, requires_grad=True)
        torch.stack(list(case.terms(student, detached(teacher)).values())).sum().backward()
        assert student[OUTPUT].grad is not None, case
        assert student[OUTPUT].grad.abs().sum() > 0, case
        assert all(tensor.grad is None for tensor in teacher.values()), case


def a_teacher_adds_a_term_to_the_tasks(module: ModuleType) -> None:
    for case in cases(module):
        terms = case.terms(draw(SHAPES_S, 0, requires_grad=True), draw(SHAPES_T, 1))
        assert len(terms) > (1 if module.NEEDS_TEACHER else 0), case


def equal_seeds_give_equal_terms(module: ModuleType) -> None:
    # The loop seeds every step: whatever a method draws, a resumed run draws again.
    for case in cases(module):
        first, again = (case.terms(draw(SHAPES_S, 0, requires_grad=True), draw(SHAPES_T, 1)) for _ in range(2))
        assert {name: term.item() for name, term in first.items()} == {n: t.item() for n, t in again.items()}, case


def own_optimizers_hold_only_parameters_of_the_loss(module: ModuleType) -> None:
    for case in cases(module):
        loss = case.loss(draw(SHAPES_S, 0), draw(SHAPES_T, 1))
        if isinstance(loss, HasOptimizers):
            groups = [group for optimizer in loss.optimizers() for group in optimizer.param_groups]
            held = {id(parameter) for group in groups for parameter in group["params"]}
            assert held <= {id(parameter) for parameter in loss.parameters()}, case


def docstring_has_formula_and_source(module: ModuleType) -> None:
    text = module.__doc__ or ""
    assert "Formula" in text
    assert not module.NEEDS_TEACHER or ("Source:" in text and "Differs from the paper:" in text)


CONTRACT: list[Callable[[ModuleType], None]] = [
    has_a_case,
    terms_are_finite_scalars_with_a_graph,
    gradient_reaches_the_student_and_never_the_teacher,
    a_teacher_adds_a_term_to_the_tasks,
    equal_seeds_give_equal_terms,
    own_optimizers_hold_only_parameters_of_the_loss,
    docstring_has_formula_and_source,
]


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("method", METHODS)
def test_method_keeps(method: str, promise: Callable[[ModuleType], None]) -> None:
    promise(family.load("distill.methods", method))


NEW_METHOD = '''"""The student's output is to have the teacher's mean.

Formula: L = criterion(S(x), y) + weight * (mean(S(x)) - mean(T(x)))².
Source: none; it stands for a method that somebody adds.
Differs from the paper: there is none.
"""

from dataclasses import dataclass

from torch import nn

NEEDS_TEACHER = True


@dataclass(frozen=True, slots=True)
class Config:
    """Weight of the second term."""

    weight: float = 2.0


def make_loss(config, context):
    """Return the loss."""
    return _Loss(config, context.criterion)


class _Loss(nn.Module):
    def __init__(self, config, criterion):
        super().__init__()
        self.config, self.criterion = config, criterion

    def forward(self, student, teacher, target, progress):
        difference = student["output"].mean() - teacher["output"].mean()
        task = self.criterion(student["output"], target)
        return {"task": task, "mean": self.config.weight * difference.square()}
'''


@pytest.fixture
def new_method(tmp_path: Path) -> Iterator[str]:
    """Write a method into a folder of its own and put that on the family's path; no other file is touched."""
    folder = tmp_path / "methods"
    folder.mkdir()
    (folder / "mean_matching.py").write_text(NEW_METHOD)
    methods.__path__.append(str(folder))
    yield "mean_matching"
    methods.__path__.remove(str(folder))
    sys.modules.pop(f"{methods.__name__}.mean_matching", None)


def test_new_file_is_a_member_and_keeps_the_contract(new_method: str) -> None:
    assert family.names("distill.methods") == sorted([*METHODS, new_method])
    module = family.load("distill.methods", new_method)
    for promise in CONTRACT:
        promise(module)


def test_new_file_is_trained_with_by_its_name_alone(new_method: str, tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    overrides = (f"distill.student.method={new_method}", "distill.student.options.weight=0.5")
    train.run(job_of(pair, "out"), load_recipe(pair / "recipe.toml", overrides))
    assert read_log(pair.parent / "out")[0] == ["step", "task", "mean", "learning_rate"]


def test_new_files_option_is_checked_by_its_own_config(new_method: str, tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    overrides = (f"distill.student.method={new_method}", "distill.student.options.wait=1")
    with pytest.raises(RecipeError, match=r"options\.wait .*weight"):
        train.run(job_of(pair, "out"), load_recipe(pair / "recipe.toml", overrides))
