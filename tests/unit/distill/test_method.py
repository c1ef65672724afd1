"""What methods share: the context's checks, bounds of options, the outputs' distance, the tasks' losses."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from edgekd.core.errors import RecipeError
from edgekd.distill.method import (
    HasOptimizers,
    PreparesStep,
    check_not_negative,
    check_positive,
    criterion_named,
    output_distance,
)
from tests.unit.distill.loss_inputs import context_of

MAP = (2, 4, 8, 8)
ENDS = {"input": (2, 3, 16, 16), "output": (2, 3)}


def test_feature_names_keep_the_recipes_order() -> None:
    context = context_of({"input": MAP, "late": MAP, "early": MAP, "output": MAP}, {})
    assert context.feature_names == ("late", "early")
    assert context.require_features("fitnet") == ("late", "early")


def test_missing_feature_layers_are_reported_with_the_method_and_an_example() -> None:
    with pytest.raises(RecipeError, match=r"'fitnet' .*feature_layers\.NAME = "):
        context_of(ENDS, ENDS).require_features("fitnet")


def test_map_shapes_are_those_of_both_networks() -> None:
    context = context_of({"deep": MAP}, {"deep": (2, 6, 8, 8)})
    assert context.map_shapes("deep") == (MAP, (2, 6, 8, 8))


@pytest.mark.parametrize("shape_t", [(2, 4, 8), (2, 4), (2, 4, 8, 8, 1)])
@pytest.mark.parametrize("same_size", [True, False])
def test_a_feature_that_is_no_map_is_refused(shape_t: tuple[int, ...], same_size: bool) -> None:
    with pytest.raises(RecipeError, match=r"'deep' is \[2, 4, 8, 8\] in the student and \[2, 4"):
        context_of({"deep": MAP}, {"deep": shape_t}).map_shapes("deep", same_size=same_size)


def test_sizes_may_differ_where_the_method_can_align_them() -> None:
    context = context_of({"deep": MAP}, {"deep": (2, 4, 4, 8)})
    with pytest.raises(RecipeError, match="equal H and W"):
        context.map_shapes("deep")
    assert context.map_shapes("deep", same_size=False) == (MAP, (2, 4, 4, 8))


@dataclass
class Options:
    weight: float


@pytest.mark.parametrize("value", [0.0, 1e-9, 3.0])
def test_weights_of_0_and_more_are_accepted(value: float) -> None:
    check_not_negative(Options(value), "weight")


@pytest.mark.parametrize("value", [-1e-9, -1.0, float("nan")])
def test_negative_weights_and_nan_are_refused(value: float) -> None:
    for check in (check_not_negative, check_positive):
        with pytest.raises(RecipeError, match=f"weight = {value}"):
            check(Options(value), "weight")


def test_0_is_not_positive() -> None:
    check_positive(Options(1e-9), "weight")
    with pytest.raises(RecipeError, match=r"weight = 0\.0"):
        check_positive(Options(0.0), "weight")


def test_pictures_are_as_far_apart_as_the_tasks_loss_says() -> None:
    context = context_of(ENDS, ENDS, "mse")
    assert output_distance(context, 4.0) is context.criterion


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_distance_of_classes_is_the_softened_kl(temperature: float) -> None:
    output_s, output_t = torch.tensor([[1.0, 0.0, -1.0]]), torch.tensor([[0.0, 2.0, 1.0]])
    distance = output_distance(context_of(ENDS, ENDS), temperature)
    softened_s, softened_t = (torch.softmax(output / temperature, dim=1) for output in (output_s, output_t))
    kl = (softened_t * (softened_t / softened_s).log()).sum().item()
    assert distance(output_s, output_t).item() == pytest.approx(temperature**2 * kl, rel=1e-5)
    assert distance(output_t, output_t).item() == pytest.approx(0, abs=1e-6)


def test_unlabelled_pixels_do_not_count() -> None:
    criterion, takes_logits = criterion_named("cross_entropy")
    assert takes_logits
    output = torch.randn(1, 3, 2, 2)
    labels = torch.tensor([[[0, 1], [255, 255]]])
    labelled = criterion(output[:, :, :1], labels[:, :1])
    assert criterion(output, labels).item() == pytest.approx(labelled.item())
    assert criterion(output, torch.full((1, 2, 2), 255)).item() == 0


def test_unknown_criterion_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"'l3'.*l1.*cross_entropy"):
        criterion_named("l3")


def test_hooks_are_recognised_by_their_methods() -> None:
    class WithBoth(torch.nn.Module):
        def optimizers(self) -> list[torch.optim.Optimizer]:
            return []

        def prepare(self, student: object, teacher: object, target: object) -> None:
            pass

    assert isinstance(WithBoth(), HasOptimizers)
    assert isinstance(WithBoth(), PreparesStep)
    assert not isinstance(torch.nn.Identity(), HasOptimizers)
    assert not isinstance(torch.nn.Identity(), PreparesStep)
