"""DPTE-Net and EDN-GTM: sizes as published, Keras's paddings, feature layers, and the small recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.core.recipe import load_recipe
from edgekd.distill.methods.dpte import adaptor
from edgekd.networks.checkpoint import network
from tests.unit.models.macs import macs, parameters

PAIR = Path(__file__).resolve().parents[3] / "models" / "dpte_net_from_edn_gtm"
SIZE = (1, 4, 512, 512)


def _meta(role: str, **sizes: int) -> nn.Module:
    with torch.device("meta"):
        return network(PAIR, role, sizes)


def _with_statistics(module: nn.Module) -> int:
    """Count parameters, running means and variances, as Keras does."""
    return parameters(module) + sum(b.numel() for n, b in module.named_buffers() if "running" in n)


def test_student_has_the_published_size() -> None:
    student = _meta("student")
    assert round(_with_statistics(student) / 1e6, 3) == 2.925
    assert round(macs(student, *SIZE) / 1e9, 2) == 18.72


def test_student_with_the_methods_adaptor_has_the_published_size() -> None:
    student = _meta("student")
    with torch.device("meta"):
        branch = adaptor(128, 512)
    assert round((_with_statistics(student) + _with_statistics(branch)) / 1e6, 3) == 3.124
    assert round((macs(student, *SIZE) + macs(branch, 1, 128, 32, 32)) / 1e9, 2) == 18.92


@pytest.mark.parametrize(
    ("sizes", "millions", "giga_macs", "share"),
    [
        ({}, 49.4, 308, 0.01),
        # The authors print 33.26 M; the layers they release for B hold 33.66 M, four times their 8.41 M of S.
        ({"convs": 2}, 33.26, 220, 0.013),
        ({"width": 32, "convs": 2}, 8.41, 56, 0.01),
    ],
)
def test_teachers_have_the_published_sizes(
    sizes: dict[str, int], millions: float, giga_macs: float, share: float
) -> None:
    teacher = _meta("teacher", **sizes)
    assert parameters(teacher) / 1e6 == pytest.approx(millions, rel=share)
    assert macs(teacher, *SIZE) / 1e9 == pytest.approx(giga_macs, rel=0.01)


def test_small_recipe_runs_and_both_feature_layers_are_the_bottlenecks() -> None:
    recipe = load_recipe(PAIR / "small.toml")
    side = recipe.task["size"]
    weights = 0
    for role, channels in (("student", 64), ("teacher", 128)):
        module = network(PAIR, role, getattr(recipe.network, role))
        weights += sum(value.numel() for value in module.state_dict().values())
        path = getattr(recipe.distill.student.feature_layers["hint"], role)
        observed: list[torch.Tensor] = []
        module.get_submodule(path).register_forward_hook(lambda _m, _x, y, observed=observed: observed.append(y))
        with torch.no_grad():
            output = module(torch.rand(1, 4, side, side) * 2 - 1)
        assert output.shape == (1, 3, side, side)
        assert output.abs().max() <= 1
        assert observed[0].shape == (1, channels, side // 16, side // 16)
    assert weights * 2 <= 8e6  # bytes as float16


def test_papers_recipe_names_feature_layers_that_exist() -> None:
    recipe = load_recipe(PAIR / "recipe.toml")
    for role in ("student", "teacher"):
        module = _meta(role, **getattr(recipe.network, role))
        assert getattr(recipe.distill.student.feature_layers["hint"], role) in dict(module.named_modules())


def test_a_2x2_convolution_pads_below_and_right_as_keras_does() -> None:
    student: Any = network(PAIR, "student", {"width": 1})
    pad = student.decoder[0].up[1][0]
    padded = pad(torch.ones(1, 1, 2, 2))
    np.testing.assert_array_equal(padded[0, 0], [[1, 1, 0], [1, 1, 0], [0, 0, 0]])


def test_a_blocks_mean_leaves_out_the_padding() -> None:
    student: Any = network(PAIR, "student", {"width": 1})
    block = student.encoder[0][1]
    for parameter in block.mlp.parameters():
        nn.init.zeros_(parameter)
    block.norm1.eps = 0.0
    x = torch.tensor([[[[0.0, 9.0], [0.0, 0.0]]]])
    # The untrained norm is the identity, so y = x + mean over the four pixels of the image.
    torch.testing.assert_close(block(x), x + 9 / 4)


def test_skip_of_the_fourth_level_is_dropped_out_in_training_alone() -> None:
    student: Any = network(PAIR, "student", {"width": 2, "dropout": 0.5})
    x = torch.rand(1, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(student(x), student(x))
        student.train()
        observed: list[torch.Tensor] = []
        student.decoder[0].register_forward_pre_hook(lambda _m, inputs: observed.append(inputs[1]))
        student(x)
    share = (observed[0] == 0).float().mean().item()
    assert 0.2 < share < 0.8


def test_weights_start_as_keras_he_normal_and_biases_at_0() -> None:
    teacher: Any = network(PAIR, "teacher", {"width": 16})
    conv = teacher.encoder[4][1][0]
    wanted = (2 / (9 * 256)) ** 0.5
    assert conv.weight.std().item() == pytest.approx(wanted, rel=0.02)
    assert conv.weight.abs().max().item() <= 2 * wanted / 0.8796
    assert not conv.bias.any()
