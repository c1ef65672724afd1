"""SwinIR: the figures of its sizes, the published keys, windows and masks by hand, padding, and its export."""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
import onnxruntime
import pytest
import torch

from edgekd.core.errors import InputError
from edgekd.core.recipe import load_recipe, pairs_root
from edgekd.networks.checkpoint import network
from tests.unit.models.macs import parameters

PAIR = pairs_root() / "swinir_from_swinir"
TINY = {"channels": 12, "groups": 2, "layers": 2, "window": 4, "image_size": 8}


def pixels(height=8, width=8, seed=0):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def with_large_weights(made):
    """Make the weights so large that attention changes the output measurably."""
    torch.manual_seed(0)
    state = made.state_dict()
    made.load_state_dict({key: v + 0.3 * torch.randn_like(v) if is_learned(key) else v for key, v in state.items()})
    return made


def is_learned(key):
    return not key.endswith(("attn_mask", "relative_position_index"))


@pytest.mark.parametrize(
    ("role", "scale", "millions", "digits"), [("teacher", 4, 11.9, 1), ("student", 4, 1.24, 2), ("student", 3, 1.27, 2)]
)
def test_figures_of_the_papers_sizes(role, scale, millions, digits):
    with torch.device("meta"):
        assert round(parameters(network(PAIR, role, {"scale": scale})) / 1e6, digits) == millions


def test_keys_are_the_published_ones():
    def both(*names):
        return [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]

    def layer(name, shifted):
        attention = [f"{name}.attn.relative_position_bias_table", f"{name}.attn.relative_position_index"]
        rest = both(*(f"{name}.{part}" for part in ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")))
        return [*attention, *rest, *([f"{name}.attn_mask"] if shifted else [])]

    body = [
        key
        for g in range(2)
        for key in (
            *layer(f"layers.{g}.residual_group.blocks.0", False),
            *layer(f"layers.{g}.residual_group.blocks.1", True),
            *both(f"layers.{g}.conv"),
        )
    ]
    names = ("conv_first", "patch_embed.norm", "norm", "conv_after_body", "conv_before_upsample.0", "conv_last")
    for scale, places in ((2, (0,)), (3, (0,)), (4, (0, 2))):
        expected = {*body, *both(*names, *(f"upsample.{i}" for i in places))}
        assert set(network(PAIR, "student", TINY | {"scale": scale}).state_dict()) == expected
    with torch.device("meta"):
        state = network(PAIR, "student", {"groups": 1, "layers": 2}).state_dict()
    layer_1 = "layers.0.residual_group.blocks.1."
    assert state[f"{layer_1}attn_mask"].shape == (36, 64, 64)
    assert state[f"{layer_1}attn.relative_position_bias_table"].shape == (225, 6)
    assert state[f"{layer_1}attn.relative_position_index"].dtype == torch.int64


def test_relative_positions_of_a_window_of_two():
    # Pixels 00 01 10 11; a row's and a column's distance each count from -1 to 1.
    expected = [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]
    made = network(PAIR, "student", TINY | {"window": 2})
    assert made.layers[0].residual_group.blocks[0].attn.relative_position_index.tolist() == expected


def test_the_mask_separates_pixels_that_only_the_shift_made_neighbours():
    mask = network(PAIR, "student", TINY | {"window": 2, "image_size": 4}).layers[0].residual_group.blocks[1].attn_mask
    same, other = 0.0, -100.0
    assert mask[0].tolist() == [[same] * 4] * 4
    assert mask[1].tolist() == [[same, other, same, other], [other, same, other, same]] * 2
    assert mask[2].tolist() == [[same, same, other, other]] * 2 + [[other, other, same, same]] * 2
    assert mask[3].tolist() == [[same if i == j else other for j in range(4)] for i in range(4)]


def test_a_pixel_reaches_as_far_as_its_windows():
    # One group of one unshifted and one shifted layer; pixels across a wrapped border have no influence.
    made = with_large_weights(network(PAIR, "student", TINY | {"groups": 1, "image_size": 16})).layers[0].residual_group
    x = torch.rand(1, 12, 16, 16)
    other = x.clone()
    other[..., 0, 0] = torch.rand(1, 12)  # other than a shift of all channels, which the norm takes out again
    with torch.no_grad():
        changed = (made(x, None) - made(other, None)).abs().amax(dim=1)[0] > 1e-6
    # Window (0, 0) is 4x4; shifted by 2, its pixels share windows with those up to 6 x 6.
    expected = torch.zeros(16, 16, dtype=torch.bool)
    expected[:6, :6] = True
    assert torch.equal(changed, expected)


def test_the_size_of_the_stored_mask_does_not_change_the_output():
    one, other = with_large_weights(network(PAIR, "student", TINY)), network(PAIR, "student", TINY | {"image_size": 16})
    state = {k: v for k, v in one.state_dict().items() if is_learned(k)}
    other.load_state_dict(other.state_dict() | state)
    with torch.no_grad():
        for x in (pixels(), pixels(16, 16), pixels(12, 8)):
            torch.testing.assert_close(other(x), one(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(8, 8), (5, 9), (12, 3), (1, 1)])
def test_any_size_is_enlarged_by_the_scale(scale, size):
    with torch.no_grad():
        found = network(PAIR, "student", TINY | {"scale": scale})(pixels(*size))
    assert found.shape == (1, 3, size[0] * scale, size[1] * scale)
    assert torch.isfinite(found).all()


def test_padding_is_a_reflection_below_and_to_the_right_and_cropped_back():
    made, x = with_large_weights(network(PAIR, "student", TINY)), pixels(6, 7)
    padded = torch.cat([x, x[:, :, 3:5].flip(2)], dim=2)
    padded = torch.cat([padded, padded[..., 5:6]], dim=3)
    with torch.no_grad():
        torch.testing.assert_close(made(x), made(padded)[:, :, :12, :14])


@pytest.mark.parametrize("dynamo", [True, False])
def test_it_exports_at_a_size_of_its_own(dynamo, tmp_path):
    made, x = with_large_weights(network(PAIR, "student", TINY | {"groups": 1})), pixels(10, 12)
    path = str(tmp_path / "model.onnx")
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # torch's exporters warn of their own deprecations
        torch.onnx.export(made, (x,), path, dynamo=dynamo, opset_version=18, input_names=["input"])
    feed = pixels(10, 12, seed=1)
    found = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"input": feed.numpy()})
    with torch.no_grad():
        expected = made(feed).numpy()
    np.testing.assert_allclose(found[0], expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        ({"scale": 5}, "scale = 5"),
        ({"channels": 16}, "channels = 16.*6 heads"),
        ({"window": 5}, "window = 5"),
        ({"image_size": 10}, "image_size = 10"),
    ],
)
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
    assert sizes["teacher"]["image_size"] == recipe.data.options["patch"]


def test_small_weights_fit_the_repository():
    recipe = load_recipe(PAIR / "small.toml")
    made = [network(PAIR, role, getattr(recipe.network, role)) for role in ("teacher", "student")]
    # Indices are int64; the rest is stored as float16.
    stored = sum(
        t.numel() * (2 if t.is_floating_point() else t.element_size()) for m in made for t in m.state_dict().values()
    )
    assert stored < 8e6
    with torch.no_grad():
        assert made[1](pixels(16, 16)).shape == (1, 3, 32, 32)
