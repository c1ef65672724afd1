"""DeepLabV3+ pairs: the sizes their source names, torchvision's keys, the feature layers, and the small sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from edgekd.core.recipe import load_recipe
from edgekd.distill.features import FeatureExtractor
from edgekd.distill.method import LossContext, criterion_named
from edgekd.distill.methods import attnfd
from edgekd.networks.cbam import CBAM
from edgekd.networks.checkpoint import network
from tests.unit.models.macs import macs, parameters

R18, MNV2 = "deeplabv3plus_resnet18_from_resnet101", "deeplabv3plus_mobilenetv2_from_resnet101"
PAIRS = (R18, MNV2)


@pytest.fixture(params=PAIRS)
def folder(root: Path, request) -> Path:
    return root / "models" / request.param


def build(folder: Path, role: str, **sizes) -> Any:
    return network(folder, role, sizes)


def on_meta(folder: Path, role: str, **sizes) -> Any:
    with torch.device("meta"):
        return build(folder, role, **sizes)


@pytest.mark.parametrize(
    ("pair", "role", "millions", "square", "street"),
    [
        (R18, "teacher", 59.34, 92.8, 177.2),
        (R18, "student", 16.61, 42.7, 82.6),
        (MNV2, "teacher", 59.34, 92.8, 177.2),
        (MNV2, "student", 5.82, 26.9, 52.6),
    ],
)
def test_parameters_and_macs_are_the_sources(root: Path, pair, role, millions, square, street) -> None:
    made = on_meta(root / "models" / pair, role)
    assert parameters(made) / 1e6 == pytest.approx(millions, abs=0.006)
    assert macs(made, 1, 3, 513, 513) / 1e9 == pytest.approx(square, abs=0.06)
    assert macs(made, 1, 3, 512, 1024) / 1e9 == pytest.approx(street, abs=0.06)


def test_cbam_adds_what_the_source_says_and_costs_a_plain_teacher_nothing(folder: Path) -> None:
    plain, refined = on_meta(folder, "teacher"), on_meta(folder, "teacher", cbam=True)
    assert (parameters(refined) - parameters(plain)) / 1e6 == pytest.approx(0.54, abs=0.006)
    added = refined.state_dict().keys() - plain.state_dict().keys()
    assert dict(plain.named_modules()).keys() >= {
        "cbam_backbone",
        "cbam_aspp",
        "cbam_decoder",
    }  # identities without CBAM
    assert {key.partition(".")[0] for key in added} == {"cbam_backbone", "cbam_aspp", "cbam_decoder"}


@pytest.mark.parametrize(("pair", "cbams", "connectors"), [(R18, 0.05, 1.18), (MNV2, 0.03, 0.79)])
def test_the_methods_training_only_extras_are_the_sources(root: Path, pair, cbams, connectors) -> None:
    feature_layers = load_recipe(root / "models" / pair / "recipe.toml").distill.student.feature_layers
    shapes = {}
    for role in ("student", "teacher"):
        made = on_meta(root / "models" / pair, role, **({"cbam": True} if role == "teacher" else {}))
        paths = {name: getattr(layer, role) for name, layer in feature_layers.items()}
        features = FeatureExtractor(made, paths, role)
        with torch.no_grad():
            shapes[role] = {
                name: tuple(value.shape) for name, value in features(torch.empty(1, 3, 65, 65, device="meta")).items()
            }
    context = LossContext(criterion_named("cross_entropy")[0], True, shapes["student"], shapes["teacher"])
    loss = attnfd.make_loss(attnfd.Config(), context)
    student_cbams = sum(parameters(module) for module in loss.modules() if isinstance(module, CBAM))
    assert student_cbams / 1e6 == pytest.approx(cbams, abs=0.006)
    assert (parameters(loss) - student_cbams) / 1e6 == pytest.approx(connectors, rel=0.01)


@pytest.mark.parametrize(
    ("pair", "role", "source", "left_over"),
    [
        (R18, "teacher", torchvision.models.resnet101, ("fc.",)),
        (R18, "student", torchvision.models.resnet18, ("fc.",)),
        (MNV2, "teacher", torchvision.models.resnet101, ("fc.",)),
        (MNV2, "student", torchvision.models.mobilenet_v2, ("features.18.", "classifier.")),
    ],
)
def test_torchvisions_weights_load_into_the_backbone(root: Path, pair, role, source, left_over) -> None:
    with torch.device("meta"):
        made, theirs = build(root / "models" / pair, role), source(weights=None)
    kept = {key: value for key, value in theirs.state_dict().items() if not key.startswith(left_over)}
    assert len(kept) < len(theirs.state_dict())
    made.backbone.load_state_dict(kept, strict=True, assign=True)
    assert made.state_dict().keys() >= {f"backbone.{key}" for key in kept}


@pytest.mark.parametrize(
    ("role", "source"), [("teacher", torchvision.models.resnet101), ("student", torchvision.models.resnet18)]
)
def test_resnet_is_torchvisions_up_to_its_last_stage(root: Path, role, source) -> None:
    ours, theirs = build(root / "models" / R18, role, width=64).backbone, source(weights=None).eval()
    ours.load_state_dict({key: value for key, value in theirs.state_dict().items() if not key.startswith("fc.")})
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        low = theirs.layer1(theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x)))))
        torch.testing.assert_close(ours(x)[0], low)
        torch.testing.assert_close(ours.layer3(ours.layer2(low)), theirs.layer3(theirs.layer2(low)))


def test_mobilenet_is_torchvisions_up_to_its_last_stride(root: Path) -> None:
    ours = build(root / "models" / MNV2, "student").backbone
    theirs = torchvision.models.mobilenet_v2(weights=None).eval()
    ours.load_state_dict({key: theirs.state_dict()[key] for key in ours.state_dict()})
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours.features[:14](x), theirs.features[:14](x))


@pytest.mark.parametrize(("role", "sizes"), [("teacher", {"cbam": True}), ("student", {})])
@pytest.mark.parametrize("recipe", ["recipe.toml", "small.toml"])
def test_features_have_the_sources_shapes(folder: Path, role, sizes, recipe) -> None:
    loaded = load_recipe(folder / recipe)
    width = getattr(loaded.network, role)["width"]
    made = on_meta(folder, role, width=width, **sizes)
    paths = {name: getattr(layer, role) for name, layer in loaded.distill.student.feature_layers.items()}
    features = FeatureExtractor(made, paths, role)
    with torch.no_grad():
        shapes = {
            name: tuple(value.shape) for name, value in features(torch.empty(2, 3, 513, 513, device="meta")).items()
        }
    deep = made.backbone.channels_deep
    if width == 64:
        assert deep == {"teacher": 2048, "student": 512 if folder.name == R18 else 320}[role]
    head = 256 * width // 64
    assert shapes["backbone"] == (2, deep, 33, 33)
    assert shapes["aspp"] == (2, head, 33, 33)
    assert shapes["decoder"] == (2, head, 129, 129)
    assert shapes["output"] == (2, 21, 513, 513)


def test_the_deep_feature_is_before_its_relu_and_the_heads_input_is_after(folder: Path) -> None:
    made = build(folder, "teacher", width=8, classes=3, cbam=True)
    torch.nn.init.ones_(made.backbone.layer4[-1].bn3.weight)  # starts at 0
    extract = FeatureExtractor(
        made, {"before": "cbam_backbone", "after": "aspp:input", "fused": "aspp", "decoded": "decoder"}, "t"
    )
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = extract(x)
    assert features["before"].min() < 0
    torch.testing.assert_close(features["after"], features["before"].relu())
    assert min(features["fused"].min(), features["decoded"].min()) == 0


def test_a_mobilenets_linear_bottleneck_has_no_activation(root: Path) -> None:
    made = build(root / "models" / MNV2, "student", width=16, classes=3)
    extract = FeatureExtractor(made, {"before": "backbone.features.17", "after": "aspp:input"}, "student")
    with torch.no_grad():
        features = extract(torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert features["before"].min() < 0
    torch.testing.assert_close(features["after"], features["before"])


def test_cbam_changes_the_output(folder: Path) -> None:
    made = build(folder, "teacher", width=8, classes=3, cbam=True)
    x = torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = made(x)
        made.cbam_decoder.channel[2].bias.fill_(-9.0)
        assert not torch.allclose(before, made(x))


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_small_sizes_train_on_any_height_and_width_and_are_small_enough_to_ship(folder: Path, role) -> None:
    recipe = load_recipe(folder / "small.toml")
    made = network(folder, role, getattr(recipe.network, role)).train()
    output = made(torch.randn(2, 3, 50, 71, generator=torch.Generator().manual_seed(0)))
    assert output.shape == (2, 11, 50, 71)
    output.square().mean().backward()
    assert all(parameter.grad is not None for parameter in made.parameters())
    both = sum(parameters(on_meta(folder, name, **getattr(recipe.network, name))) for name in ("teacher", "student"))
    assert both <= 4e6


def test_recipes_point_at_parameters_that_exist(folder: Path) -> None:
    for file in ("recipe.toml", "small.toml"):
        recipe = load_recipe(folder / file)
        for role in ("teacher", "student"):
            names = [name for name, _ in on_meta(folder, role, **getattr(recipe.network, role)).named_parameters()]
            for prefix in set(getattr(recipe.distill, role).lr_multipliers) - {"adaptors"}:
                assert any(name.startswith(prefix) for name in names), (file, role, prefix)
