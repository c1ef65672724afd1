"""``--model``: networks of libraries and of Python files by name, and what their source says of the input."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from torch import nn

from edgekd.core import family
from edgekd.core.errors import InputError
from edgekd.networks.model_source import FAMILY, build_model
from tests.contract.new_member import new_member


@pytest.mark.parametrize(
    "text",
    ["torch.nn", "torch.nn:Nope", "os:getcwd", ":x", "no_such_module:x", "timm:resnet5000", "torchvision:resnet5000"],
)
def test_what_gives_no_network_is_named(text: str) -> None:
    with pytest.raises(InputError, match=re.escape(text.rpartition(":")[2])):
        build_model(text)


@pytest.mark.parametrize("text", ["torch.nn:Conv2d", "timm:resnet18?num_clases=3"])
def test_arguments_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=re.escape(text)):
        build_model(text)


def test_timms_configuration_is_the_contract() -> None:
    found = build_model("timm:mobilenetv3_small_050?num_classes=7")
    contract = found.input
    assert found.module.get_classifier().out_features == 7
    assert (contract.size, contract.interpolation, contract.crop_share) == ((224, 224), "bicubic", 0.875)
    assert contract.mean == (0.485, 0.456, 0.406)
    assert (contract.scale, contract.channels, contract.resize) == (1.0, "rgb", "crop")


def test_torchvisions_transforms_are_the_contract() -> None:
    found = build_model("torchvision:squeezenet1_1")
    assert (found.input.size, found.input.resize, found.input.std) == ((224, 224), "crop", (0.229, 0.224, 0.225))
    assert found.input.crop_share == pytest.approx(224 / 256)
    assert len(found.classes) == 1000
    assert build_model("torchvision:squeezenet1_1?num_classes=3").classes == ()


def test_a_function_of_a_file_takes_its_arguments(tmp_path: Path) -> None:
    file = tmp_path / "nets.py"
    file.write_text(
        "from torch import nn\n\ndef net(width=3, *, bias=True):\n    return nn.Conv2d(3, width, 1, bias=bias)\n"
    )
    found = build_model(f"{file}:net?width=5&bias=false")
    assert isinstance(found.module, nn.Conv2d)
    assert (found.module.out_channels, found.module.bias, found.input.size) == (5, None, None)
    with pytest.raises(InputError, match="height"):
        build_model(f"{file}:net?height=5")


def test_a_new_file_needs_no_other(tmp_path: Path) -> None:
    source = (
        "from torch import nn\n\nfrom edgekd.core.input_contract import InputContract\n\n"
        "LIBRARIES = ('torch',)\n\n"
        "def build(name, arguments):\n    return getattr(nn, name)(**arguments)\n\n"
        "def input_contract(module, name, arguments):\n    return InputContract(size=(8, 8))\n\n"
        "def class_names(name, arguments):\n    return ('a', 'b')\n"
    )
    with new_member(FAMILY, "torch_layers", source, tmp_path):
        found = build_model("torch_layers:Conv2d?in_channels=3&out_channels=2&kernel_size=1")
        assert isinstance(found.module, nn.Conv2d)
        assert (found.input.size, found.classes) == ((8, 8), ("a", "b"))
    assert "torch_layers" not in family.names(FAMILY)
