"""RCAN: the figures of its sizes, BasicSR's keys, its feature layers, and its attention by hand."""

from __future__ import annotations

import pytest
import torch

from edgekd.core.errors import InputError
from edgekd.core.recipe import load_recipe, pairs_root
from edgekd.networks.checkpoint import network
from tests.unit.models.macs import macs, parameters

PAIR = pairs_root() / "rcan_from_rcan"
# Role → thousand million MACs for a 1280x720 output at x2, x3, x4.
GIGA_MACS = {"teacher": (3527, 1587, 917), "student": (1149, 530, 322)}
# Role → millions of parameters, of x4: the sources give one figure.
MILLIONS = {"teacher": 15.6, "student": 5.2}
TINY = {"channels": 16, "groups": 2, "blocks": 2}


@pytest.mark.parametrize("role", MILLIONS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_figures_of_the_papers_sizes(role, scale):
    with torch.device("meta"):
        made = network(PAIR, role, {"scale": scale})
    assert macs(made, 1, 3, 720 // scale, 1280 // scale) / 1e9 == pytest.approx(GIGA_MACS[role][scale - 2], rel=0.01)
    if scale == 4:
        assert round(parameters(made) / 1e6, 1) == MILLIONS[role]
    # The head of x2 has one convolution to 4 * 64 channels, of x3 one to 9 * 64.
    head = {2: 4, 3: 9, 4: 8}[scale] * 64 * (9 * 64 + 1)
    assert parameters(made) / 1e6 == pytest.approx(MILLIONS[role] + (head - 8 * 64 * 577) / 1e6, rel=0.01)


def test_keys_are_basicsrs():
    def both(*names):
        return [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]

    inner = ("0", "2", "3.attention.1", "3.attention.3")
    groups = [
        name
        for g in range(2)
        for name in (*(f"body.{g}.residual_group.{b}.rcab.{k}" for b in range(2) for k in inner), f"body.{g}.conv")
    ]
    for scale, places in ((2, (0,)), (3, (0,)), (4, (0, 2))):
        expected = both("conv_first", *groups, "conv_after_body", *(f"upsample.{i}" for i in places), "conv_last")
        assert list(network(PAIR, "student", TINY | {"scale": scale}).state_dict()) == expected


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_it_enlarges_by_its_scale(scale):
    with torch.no_grad():
        found = network(PAIR, "student", TINY | {"scale": scale})(torch.rand(2, 3, 5, 7))
    assert found.shape == (2, 3, 5 * scale, 7 * scale)


def test_attention_weights_channels_by_all_channels_means():
    attention = network(PAIR, "student", TINY).body[0].residual_group[0].rcab[3]
    x = torch.rand(2, 16, 5, 6)
    with torch.no_grad():
        for convolution in (attention.attention[1], attention.attention[3]):
            convolution.weight.fill_(1)
            convolution.bias.fill_(0)
        expected = x * torch.sigmoid(x.mean(dim=(2, 3)).sum(dim=1)).view(2, 1, 1, 1)
        torch.testing.assert_close(attention(x), expected)


@pytest.mark.parametrize(("sizes", "named"), [({"scale": 5}, r"scale = 5"), ({"channels": 8}, r"channels = 8.*16")])
def test_sizes_it_does_not_have_are_refused(sizes, named):
    with pytest.raises(InputError, match=named):
        network(PAIR, "student", TINY | sizes)


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
