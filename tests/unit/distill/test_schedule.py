"""Learning rates by step, and the optimizer's parameter groups."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from edgekd.core.config import TrainConfig
from edgekd.core.errors import RecipeError
from edgekd.distill.schedule import learning_rate, make_optimizer

CONFIG = TrainConfig(steps=110, warmup_steps=10, learning_rate=1.0)


def _network() -> nn.Module:
    return nn.ModuleDict({"backbone": nn.Linear(2, 2), "decoder": nn.Linear(2, 2)})


def test_warm_up_is_linear_and_ends_at_the_peak() -> None:
    assert [learning_rate(step, CONFIG) for step in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1.0, 1.0])


@pytest.mark.parametrize(
    ("schedule", "middle", "last"),
    [
        ("cosine", 0.505, 0.01 + 0.99 * 0.000247),
        ("poly", 0.5**0.9, 0.01**0.9),
        ("step", 0.1, 0.01),
        ("constant", 1.0, 1.0),
    ],
)
def test_schedule(schedule: str, middle: float, last: float) -> None:
    config = dataclasses.replace(CONFIG, schedule=schedule)
    assert learning_rate(60, config) == pytest.approx(middle)
    assert learning_rate(109, config) == pytest.approx(last, rel=1e-2)


@pytest.mark.parametrize("schedule", ["cosine", "poly", "step", "constant"])
def test_no_schedule_rises_after_the_warm_up(schedule: str) -> None:
    config = dataclasses.replace(CONFIG, schedule=schedule)
    rates = [learning_rate(step, config) for step in range(10, 110)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0


def test_step_falls_at_its_milestones() -> None:
    config = dataclasses.replace(CONFIG, schedule="step", milestones=(0.5,), warmup_steps=0)
    assert [learning_rate(step, config) for step in (0, 54, 55, 109)] == pytest.approx([1.0, 1.0, 0.1, 0.1])


def test_multipliers_go_by_the_longest_prefix() -> None:
    config = dataclasses.replace(CONFIG, lr_multipliers={"decoder": 10.0, "decoder.bias": 0.5, "adaptors": 3.0})
    adaptor = nn.Parameter(torch.zeros(1))
    groups = make_optimizer(_network(), [adaptor], config).param_groups
    multipliers = {id(parameter): group["lr_multiplier"] for group in groups for parameter in group["params"]}
    assert sorted(multipliers.values()) == [0.5, 1.0, 1.0, 3.0, 10.0]
    assert multipliers[id(adaptor)] == 3.0


def test_every_parameter_is_in_one_group() -> None:
    network, adaptor = _network(), nn.Parameter(torch.zeros(1))
    groups = make_optimizer(network, [adaptor], dataclasses.replace(CONFIG, optimizer="adamw")).param_groups
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in (*network.parameters(), adaptor))


def test_prefix_that_matches_no_parameter_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"lr_multipliers names decodr.*'backbone'"):
        make_optimizer(_network(), [], dataclasses.replace(CONFIG, lr_multipliers={"decodr": 10.0}))


def test_adaptors_may_be_named_where_a_method_has_none() -> None:
    config = dataclasses.replace(CONFIG, lr_multipliers={"adaptors": 10.0})
    assert {group["lr_multiplier"] for group in make_optimizer(_network(), [], config).param_groups} == {1.0}


def test_adamw_decays_matrices_alone() -> None:
    config = dataclasses.replace(CONFIG, optimizer="adamw", weight_decay=0.05)
    for group in make_optimizer(_network(), [], config).param_groups:
        assert group["weight_decay"] == (0.05 if group["params"][0].ndim > 1 else 0.0)


def test_sgd_has_nesterovs_momentum() -> None:
    config = dataclasses.replace(CONFIG, optimizer="sgd", momentum=0.9, weight_decay=5e-4)
    group = make_optimizer(_network(), [], config).param_groups[0]
    assert (group["nesterov"], group["momentum"], group["weight_decay"]) == (True, 0.9, 5e-4)


def test_sgd_without_momentum_is_plain() -> None:
    group = make_optimizer(_network(), [], dataclasses.replace(CONFIG, optimizer="sgd", momentum=0.0)).param_groups[0]
    assert (group["nesterov"], group["momentum"]) == (False, 0.0)
