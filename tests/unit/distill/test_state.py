"""The state of a run: what it saves, what it refuses to load, and the moving average of the weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from edgekd.core.config import TrainConfig
from edgekd.core.errors import InputError
from edgekd.distill.state import FREE_FIELDS, TrainState, parameters_of

CONFIG = TrainConfig(steps=10, batch_size=2)
ORIGIN = {"recipe": "r", "data": "d", "teacher": "", "start": ""}


def _state(config: TrainConfig = CONFIG, origin: dict[str, str] = ORIGIN, width: int = 3, seed: int = 0) -> TrainState:
    torch.manual_seed(seed)
    student, adaptor = nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width)), nn.Linear(width, 2)
    optimizer = torch.optim.Adam([*student.parameters(), *adaptor.parameters()], lr=0.1)
    return TrainState(student, adaptor, [optimizer], config, origin)


def _take_step(state: TrainState, seed: int) -> None:
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(seed))
    state.optimizers[0].zero_grad()
    state.loss(state.student(x)).square().mean().backward()
    state.optimizers[0].step()
    state.advance()


def _weights(state: TrainState) -> dict[str, torch.Tensor]:
    modules = {"student": state.student, "loss": state.loss}
    return {f"{part}.{k}": v.clone() for part, module in modules.items() for k, v in module.state_dict().items()}


def test_a_loaded_state_takes_the_next_step_to_the_bit(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, ema=0.9)
    state, path = _state(config), tmp_path / "last.safetensors"
    for seed in (1, 2):
        _take_step(state, seed)
    state.best = 31.25
    state.save(path)
    other = _state(config, seed=5)
    other.load(path)
    assert (other.step, other.best) == (2, 31.25)
    for one in (state, other):
        _take_step(one, 3)
    expected, found = _weights(state), _weights(other)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert all(torch.equal(state.average[name], other.average[name]) for name in state.average)


def test_equal_states_are_equal_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for path in paths:
        state = _state()
        _take_step(state, 1)
        state.save(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("name", FREE_FIELDS)
def test_what_does_not_change_the_result_may_change(tmp_path: Path, name: str) -> None:
    saved = _state()
    _take_step(saved, 1)
    saved.save(tmp_path / "last.safetensors")
    loaded = _state(dataclasses.replace(CONFIG, **{name: 7}))
    loaded.load(tmp_path / "last.safetensors")
    assert loaded.step == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "another seed, another configuration"),
        ({"method": "logits"}, "another method, another configuration"),
        ({"learning_rate": 0.5}, "another configuration"),
    ],
)
def test_another_configuration_is_refused_by_name(tmp_path: Path, changes: dict[str, object], named: str) -> None:
    _state().save(tmp_path / "last.safetensors")
    with pytest.raises(InputError, match=named):
        _state(dataclasses.replace(CONFIG, **changes)).load(tmp_path / "last.safetensors")


@pytest.mark.parametrize("name", ORIGIN)
def test_another_origin_is_refused_by_name(tmp_path: Path, name: str) -> None:
    _state().save(tmp_path / "last.safetensors")
    with pytest.raises(InputError, match=f"another {name}"):
        _state(origin={**ORIGIN, name: "changed"}).load(tmp_path / "last.safetensors")


def test_another_network_is_refused(tmp_path: Path) -> None:
    _state().save(tmp_path / "last.safetensors")
    with pytest.raises(InputError, match="another network"):
        _state(width=4).load(tmp_path / "last.safetensors")


def test_average_starts_at_the_weights_and_follows_them_ever_more_slowly() -> None:
    state = _state(dataclasses.replace(CONFIG, ema=0.15))
    weight = state.student[0].weight
    with torch.no_grad():
        weight.fill_(1.0)
        state.advance()
        assert state.average["0.weight"].unique().tolist() == [1.0]
        weight.fill_(2.0)
        state.advance()  # decay min(0.15, 2 / 11): 0.15 * 1 + 0.85 * 2
    torch.testing.assert_close(state.average["0.weight"], torch.full_like(weight, 1.85))
    assert state.result() is state.average


def test_average_copies_counters() -> None:
    state = _state(dataclasses.replace(CONFIG, ema=0.9))
    for seed in (1, 2):
        _take_step(state, seed)
    assert state.average["1.num_batches_tracked"].item() == 2


def test_without_an_average_the_result_is_the_student() -> None:
    state = _state()
    _take_step(state, 1)
    assert not state.average
    assert all(torch.equal(value, state.student.state_dict()[name]) for name, value in state.result().items())


def test_parameters_are_listed_group_by_group() -> None:
    a, b, c = (nn.Parameter(torch.zeros(1)) for _ in range(3))
    optimizer = torch.optim.SGD([{"params": [a, b]}, {"params": [c], "lr": 0.5}], lr=0.1)
    assert [id(parameter) for parameter in parameters_of(optimizer)] == [id(a), id(b), id(c)]
