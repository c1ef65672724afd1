"""Taps: what a hooked network keeps, how it goes on from a replaced value, and what is said of a path that is not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekd.core.errors import InputError, UnknownName
from edgekd.distill.features import Tapped


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))


def test_taps_are_what_modules_give_and_take(network: nn.Module) -> None:
    x = torch.randn(1, 3, 5, 5)
    found = Tapped(network, {"after": "1", "before": "1:input"}, "student")(x)
    assert list(found) == ["input", "before", "after", "output"]
    assert torch.equal(found["before"], network[0](x))
    assert torch.equal(found["after"], found["before"].relu())
    assert torch.equal(found["output"], network(x))


def test_a_resumed_network_goes_on_from_the_value_it_is_given(network: nn.Module) -> None:
    tapped = Tapped(network, {"first": "0", "second": "1"}, "student")
    tapped(torch.randn(1, 3, 5, 5))
    value = torch.randn(1, 4, 5, 5, requires_grad=True)
    assert torch.equal(tapped.resume("first", value, "second"), value.relu())
    output = tapped.resume("first", value, "output")
    assert torch.equal(output, network[2](value.relu()))
    output.sum().backward()
    assert value.grad is not None
    assert value.grad.abs().sum() > 0


def test_resuming_leaves_the_taps_of_the_step_alone(network: nn.Module) -> None:
    tapped = Tapped(network, {"first:0": "0", "second": "1:input"}, "student")
    x = torch.randn(1, 3, 5, 5)
    before = tapped(x)
    tapped.resume("second", torch.zeros(1, 4, 5, 5), "output")
    after = tapped(x)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_unknown_path_offers_the_nearest() -> None:
    network = nn.ModuleDict({"backbone": nn.ModuleDict({"layer4": nn.Identity()})})
    with pytest.raises(UnknownName, match=r"tap of the teacher.*backbone\.layer5.*backbone\.layer4"):
        Tapped(network, {"last": "backbone.layer5"}, "teacher")


def test_tap_may_not_take_the_name_of_what_is_always_there(network: nn.Module) -> None:
    with pytest.raises(InputError, match="'output' is always there"):
        Tapped(network, {"output": "1"}, "student")


def test_module_that_gives_no_tensor_is_refused() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"x": x}

    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.odd = Odd()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.odd(x)["x"]

    with pytest.raises(InputError, match="tap 'odd' of the student gives dict"):
        Tapped(Around(), {"odd": "odd"}, "student")(torch.zeros(1))
