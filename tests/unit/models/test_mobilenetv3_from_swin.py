"""Swin and MobileNetV3: sizes as published, keys of the libraries, and their feature layers."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn

from edgekd.core.errors import InputError
from edgekd.core.recipe import load_recipe
from edgekd.networks.checkpoint import network
from tests.unit.models.macs import macs, parameters

TINY_SWIN = {"embed": 96, "depths": "2-2-6-2"}
# 12 tokens do not divide into windows of 5, and the second block of each stage is shifted.
UNEVEN: dict[str, Any] = {"image": 48, "embed": 32, "depths": "2-2", "window": 5, "drop_path": 0.0}


@pytest.fixture
def pair(root):
    return root / "models" / "mobilenetv3_from_swin"


def _on_meta(pair, role, **sizes):
    with torch.device("meta"):
        return network(pair, role, {"classes": 1000, **sizes})


def _small(pair, role):
    recipe = load_recipe(pair / "small.toml")
    torch.manual_seed(0)
    return network(pair, role, getattr(recipe.network, role)), recipe


def _output_of(module: nn.Module, path: str, x: torch.Tensor) -> torch.Tensor:
    observed = []
    handle = module.get_submodule(path).register_forward_hook(lambda _, __, output: observed.append(output.detach()))
    with torch.no_grad():
        module(x)
    handle.remove()
    return observed[0]


@pytest.mark.parametrize(
    ("role", "sizes", "millions", "giga"),
    [
        ("teacher", {}, 196.5, 34.5),
        ("teacher", TINY_SWIN, 28.3, 4.49),
        ("student", {}, 5.48, 0.22),
        ("student", {"variant": "small"}, 2.54, 0.0565),
    ],
)
def test_parameters_and_macs_are_the_published_ones(pair, role, sizes, millions, giga):
    built = _on_meta(pair, role, **sizes)
    assert parameters(built) / 1e6 == pytest.approx(millions, rel=0.002)
    # 0.22 is printed to two digits: 2 %.
    assert macs(built, 1, 3, 224, 224) / 1e9 == pytest.approx(giga, rel=0.02 if giga == 0.22 else 0.01)


def _shapes(module):
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "sizes"), [("swin_large_patch4_window7_224", {}), ("swin_tiny_patch4_window7_224", TINY_SWIN)]
)
def test_the_teacher_loads_timms_weights(pair, name, sizes):
    with torch.device("meta"):
        theirs = timm.create_model(name)
    assert _shapes(_on_meta(pair, "teacher", **sizes)) == _shapes(theirs)


@pytest.mark.parametrize("variant", ["large", "small"])
def test_the_student_loads_torchvisions_weights(pair, variant):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, f"mobilenet_v3_{variant}")()
    assert _shapes(_on_meta(pair, "student", variant=variant)) == _shapes(theirs)


@pytest.mark.parametrize(("role", "head"), [("teacher", "head.fc"), ("student", "classifier.3")])
def test_other_classes_change_the_head_alone(pair, role, head):
    many, few = (_shapes(_on_meta(pair, role, classes=classes)) for classes in (1000, 10))
    assert few.keys() == many.keys()
    assert {name for name in many if many[name] != few[name]} == {f"{head}.weight", f"{head}.bias"}


def test_the_teacher_computes_what_timms_swin_computes(pair):
    torch.manual_seed(0)
    ours = network(pair, "teacher", {"classes": 7, **UNEVEN}).eval()
    theirs = timm.models.swin_transformer.SwinTransformer(
        img_size=48, num_classes=7, embed_dim=32, depths=(2, 2), num_heads=(1, 2), window_size=5
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["recipe.toml", "small.toml"])
def test_feature_layers_of_the_recipe_have_one_size_in_both_networks(pair, name):
    recipe = load_recipe(pair / name)
    height, width = map(int, recipe.export.shape[2:])
    assert recipe.task["size"] == height == width == recipe.network.teacher["image"]
    assert len(recipe.task["classes"]) == recipe.network.teacher["classes"] == recipe.network.student["classes"]
    layers = recipe.distill.student.feature_layers.values()
    found = {}
    for role in ("teacher", "student"):
        with torch.device("meta"):
            built, x = network(pair, role, getattr(recipe.network, role)), torch.empty(1, 3, height, width)
            found[role] = [_output_of(built, getattr(layer, role), x) for layer in layers]
    assert [x.shape[2:] for x in found["student"]] == [x.shape[2:] for x in found["teacher"]]
    assert [height // x.shape[2] for x in found["student"]] == [16, 32]


def test_the_small_pair_runs_and_is_small(pair):
    built = [_small(pair, role)[0] for role in ("teacher", "student")]
    assert sum(map(parameters, built)) <= 4_000_000
    x = torch.randn(2, 3, 128, 128)
    for module in built:
        with torch.no_grad():
            logits = module(x)
        assert logits.shape == (2, 10)
        assert logits.isfinite().all()


def test_a_stages_feature_has_channels_first(pair):
    module, recipe = _small(pair, "teacher")
    x = torch.randn(1, 3, 128, 128)
    embed = recipe.network.teacher["embed"]
    for stage in range(4):
        feature = _output_of(module, f"stages.{stage}", x)
        assert feature.shape == (1, embed * 2**stage, 32 // 2**stage, 32 // 2**stage)
        torch.testing.assert_close(feature, _output_of(module, f"layers.{stage}", x).permute(0, 3, 1, 2))


@pytest.mark.parametrize("block", [0, 1])
def test_the_attention_map_has_each_token_at_its_place(pair, block):
    module = network(pair, "teacher", {"classes": 2, **UNEVEN})
    attention_block: Any = module.get_submodule(f"layers.0.blocks.{block}")
    # Flat attention, but for one window in which every query looks at one token: the one at this row and column.
    row, column, (height, width) = 3, 7, attention_block.input_resolution
    shift, window = attention_block.shift_size[0], attention_block.window_size[0]
    assert bool(shift) == bool(block)
    rows = columns = -(-height // window)
    shifted_row, shifted_column = (row - shift) % height, (column - shift) % width
    window_index = shifted_row // window * columns + shifted_column // window
    token = shifted_row % window * window + shifted_column % window
    attention = torch.full((rows * columns, 1, window**2, window**2), 1 / window**2)
    attention[window_index] = 0.0
    attention[window_index, :, :, token] = 1.0
    found = attention_block.attn.attn_drop.map(attention)
    assert found.shape == (1, 1, height, width)
    assert (found[0, 0] == found.max()).nonzero().tolist() == [[row, column]]
    assert found.max() == 1.0


def test_the_attention_map_adds_up_to_one_per_window(pair):
    module, _ = _small(pair, "teacher")
    found = _output_of(module, "layers.2.blocks.5.attn.attn_drop.map", torch.randn(2, 3, 128, 128))
    assert found.shape == (2, 1, 8, 8)
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)), torch.full((2,), 4.0))
    assert found.min() >= 0


def test_the_teacher_is_one_static_graph(pair):
    module = network(pair, "teacher", {"classes": 2, **UNEVEN, "depths": "2"})
    x = torch.randn(1, 3, 48, 48)
    exported = torch.export.export(module, (x,), strict=False)
    torch.testing.assert_close(exported.module()(x), module(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("role", "sizes"),
    [("student", {"variant": "medium"}), ("teacher", {"depths": "2,2"}), ("teacher", {"depths": "2-0"})],
)
def test_invalid_sizes_are_refused_by_name(pair, role, sizes):
    ((key, value),) = sizes.items()
    with pytest.raises(InputError, match=rf"network\.{role}\.{key}.*{value}"):
        network(pair, role, sizes)


def test_norm_momentum_is_that_of_every_batch_norm(pair):
    norms = [m for m in network(pair, "student", {"norm_momentum": 0.1}).modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert {norm.momentum for norm in norms} == {0.1}
