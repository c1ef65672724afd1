"""Learning rates by step, and which parameter gets which."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from edgekd.core.config import TrainConfig
from edgekd.core.errors import RecipeError
from edgekd.distill.schedule import learning_rate, optimizer_of

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


def test_rates_are_factors_by_the_longest_prefix() -> None:
    config = dataclasses.replace(CONFIG, rates={"decoder": 10.0, "decoder.bias": 0.5, "adaptors": 3.0})
    adaptor = nn.Parameter(torch.zeros(1))
    groups = optimizer_of(_network(), [adaptor], config).param_groups
    factor = {id(parameter): group["factor"] for group in groups for parameter in group["params"]}
    assert sorted(factor.values()) == [0.5, 1.0, 1.0, 3.0, 10.0]
    assert factor[id(adaptor)] == 3.0


def test_rate_of_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match="rates names decodr"):
        optimizer_of(_network(), [], dataclasses.replace(CONFIG, rates={"decodr": 10.0}))


def test_adamw_decays_matrices_alone() -> None:
    config = dataclasses.replace(CONFIG, optimizer="adamw", weight_decay=0.05)
    for group in optimizer_of(_network(), [], config).param_groups:
        assert group["weight_decay"] == (0.05 if group["params"][0].ndim > 1 else 0.0)


def test_sgd_has_nesterovs_momentum() -> None:
    config = dataclasses.replace(CONFIG, optimizer="sgd", momentum=0.9, weight_decay=5e-4)
    group = optimizer_of(_network(), [], config).param_groups[0]
    assert (group["nesterov"], group["momentum"], group["weight_decay"]) == (True, 0.9, 5e-4)
