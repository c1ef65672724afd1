"""Features of a hooked network, runs from a replaced feature, and messages about paths that do not exist."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekd.core.errors import InputError, UnknownName
from edgekd.distill.features import FeatureExtractor


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))


def test_features_are_the_outputs_and_inputs_of_modules(network: nn.Module) -> None:
    x = torch.randn(1, 3, 5, 5)
    features = FeatureExtractor(network, {"after": "1", "before": "1:input"}, "student")(x)
    assert list(features) == ["input", "before", "after", "output"]
    assert torch.equal(features["input"], x)
    assert torch.equal(features["before"], network[0](x))
    assert torch.equal(features["after"], features["before"].relu())
    assert torch.equal(features["output"], network(x))


def test_without_feature_layers_there_are_input_and_output(network: nn.Module) -> None:
    assert list(FeatureExtractor(network, {}, "student")(torch.randn(1, 3, 5, 5))) == ["input", "output"]


@pytest.mark.parametrize("start", ["1", "1:input"])
def test_a_network_runs_from_the_value_it_is_given(network: nn.Module, start: str) -> None:
    extractor = FeatureExtractor(network, {"start": start, "end": "2:input"}, "student")
    extractor(torch.randn(1, 3, 5, 5))
    value = torch.randn(1, 4, 5, 5, requires_grad=True)
    expected = value if start == "1" else value.relu()
    assert torch.equal(extractor.run_from("start", value, "end"), expected)
    output = extractor.run_from("start", value, "output")
    assert torch.equal(output, network[2](expected))
    output.sum().backward()
    assert value.grad is not None
    assert value.grad.abs().sum() > 0


def test_a_replaced_value_takes_the_features_dtype(network: nn.Module) -> None:
    # Features are handed to methods as float32, and the network may run in another precision.
    extractor = FeatureExtractor(network.double(), {"first": "0"}, "student")
    extractor(torch.randn(1, 3, 5, 5, dtype=torch.float64))
    assert extractor.run_from("first", torch.zeros(1, 4, 5, 5), "output").dtype == torch.float64


def test_running_from_a_feature_changes_nothing_of_the_next_step(network: nn.Module) -> None:
    extractor = FeatureExtractor(network, {"first:0": "0", "second": "1:input"}, "student")
    x = torch.randn(1, 3, 5, 5)
    before = extractor(x)
    extractor.run_from("second", torch.zeros(1, 4, 5, 5), "output")
    after = extractor(x)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_failed_run_leaves_no_replacement_behind(network: nn.Module) -> None:
    extractor = FeatureExtractor(network, {"first": "0"}, "student")
    x = torch.randn(1, 3, 5, 5)
    before = extractor(x)["output"]
    with pytest.raises(RuntimeError):
        extractor.run_from("first", torch.zeros(1, 7, 5, 5), "output")  # seven channels where four are expected
    assert torch.equal(extractor(x)["output"], before)


def test_a_tuple_counts_by_its_first_tensor() -> None:
    class Pair(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
            return 2 * x, 7

    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair = Pair()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.pair(x)[0]

    features = FeatureExtractor(Around(), {"pair": "pair"}, "student")(torch.ones(1))
    assert features["pair"].item() == 2


@pytest.mark.parametrize("path", ["backbone.layer5", "backbone.layer5:input", ""])
def test_unknown_path_offers_the_nearest(path: str) -> None:
    network = nn.ModuleDict({"backbone": nn.ModuleDict({"layer4": nn.Identity()})})
    with pytest.raises(UnknownName, match=r"teacher.*backbone\.layer4"):
        FeatureExtractor(network, {"last": path}, "teacher")


@pytest.mark.parametrize("name", ["input", "output"])
def test_a_feature_cannot_take_the_name_of_one_that_always_exists(network: nn.Module, name: str) -> None:
    with pytest.raises(InputError, match=f"'{name}' always exists"):
        FeatureExtractor(network, {name: "1"}, "student")


def test_module_that_returns_no_tensor_is_refused() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"x": x}

    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.odd = Odd()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.odd(x)["x"]

    with pytest.raises(InputError, match="'odd' of the student is a dict"):
        FeatureExtractor(Around(), {"odd": "odd"}, "student")(torch.zeros(1))
