"""EDSR: the figures of its sizes, BasicSR's keys, its feature layers, and its arguments."""

from __future__ import annotations

import pytest
import torch

from edgekd.core.errors import InputError
from edgekd.core.recipe import load_recipe, pairs_root
from edgekd.networks.checkpoint import network
from tests.unit.models.macs import macs, parameters

PAIR = pairs_root() / "edsr_from_edsr"
# Role, scale → millions of parameters, thousand million MACs for a 1280x720 output.
FIGURES = {
    ("teacher", 2): (40.7, 9385),
    ("teacher", 3): (43.7, 4477),
    ("teacher", 4): (43.1, 2895),
    ("student", 2): (2.55, 588),
    ("student", 3): (2.74, 281),
    ("student", 4): (2.70, 182),
}
TINY = {"channels": 4, "blocks": 2}


@pytest.mark.parametrize(("role", "scale"), FIGURES)
def test_figures_of_the_papers_sizes(role, scale):
    with torch.device("meta"):
        made = network(PAIR, role, {"scale": scale})
    millions, giga_macs = FIGURES[role, scale]
    assert parameters(made) / 1e6 == pytest.approx(millions, rel=0.01)
    assert macs(made, 1, 3, 720 // scale, 1280 // scale) / 1e9 == pytest.approx(giga_macs, rel=0.01)


def test_keys_are_basicsrs():
    def both(*names):
        return [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]

    blocks = both(*(f"body.{i}.conv{j}" for i in range(2) for j in (1, 2)))
    ends = both("conv_first"), both("conv_after_body")
    for scale, places in ((2, (0,)), (3, (0,)), (4, (0, 2))):
        expected = [*ends[0], *blocks, *ends[1], *both(*(f"upsample.{i}" for i in places), "conv_last")]
        assert list(network(PAIR, "student", TINY | {"scale": scale}).state_dict()) == expected


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_it_enlarges_by_its_scale(scale):
    with torch.no_grad():
        found = network(PAIR, "student", TINY | {"scale": scale})(torch.rand(2, 3, 5, 7))
    assert found.shape == (2, 3, 5 * scale, 7 * scale)


def test_a_scale_it_does_not_have_is_refused():
    with pytest.raises(InputError, match=r"scale = 5.*2, 3 or 4"):
        network(PAIR, "student", {"scale": 5})


def test_residuals_are_scaled():
    block = network(PAIR, "teacher", TINY | {"res_scale": 0.25}).body[0]
    x = torch.rand(1, 4, 6, 6)
    with torch.no_grad():
        expected = x + 0.25 * block.conv2(block.conv1(x).clamp(min=0))
        torch.testing.assert_close(block(x), expected)


def test_a_pixel_range_of_255_is_that_of_basicsrs_weights():
    # The same function in other units: biases, and they alone, carry the unit of the pixels.
    one, other = (network(PAIR, "student", TINY | {"pixel_range": r}) for r in (1.0, 255.0))
    state = one.state_dict()
    other.load_state_dict({k: v * 255 if k.endswith("bias") else v for k, v in state.items()})
    x = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(other(x), one(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["recipe.toml", "small.toml"])
def test_recipes_name_feature_layers_that_exist(name):
    recipe = load_recipe(PAIR / name)
    sizes = {"teacher": recipe.network.teacher, "student": recipe.network.student}
    with torch.device("meta"):
        made = {role: dict(network(PAIR, role, sizes[role]).named_modules()) for role in sizes}
    assert len(recipe.distill.student.feature_layers) >= 2
    for layer in recipe.distill.student.feature_layers.values():
        assert layer.student in made["student"]
        assert layer.teacher in made["teacher"]
    assert sizes["teacher"]["scale"] == sizes["student"]["scale"] == recipe.task["scale"]


def test_small_weights_fit_the_repository():
    recipe = load_recipe(PAIR / "small.toml")
    made = [network(PAIR, role, getattr(recipe.network, role)) for role in ("teacher", "student")]
    assert sum(tensor.numel() for one in made for tensor in one.state_dict().values()) * 2 < 8e6
    with torch.no_grad():
        assert made[1](torch.rand(1, 3, 16, 16)).shape == (1, 3, 32, 32)
