"""timm's networks, ``--model timm:NAME?num_classes=10``; their ``pretrained_cfg`` says how images are fed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
from timm.data.config import resolve_model_data_config
from torch import nn

from edgekd.core.errors import UnknownName, nearest
from edgekd.core.input_contract import InputContract

LIBRARIES = ("timm",)


def build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a network without weights.

    Args:
        name: As ``timm.create_model`` takes it, with or without the tag of its weights.
        arguments: Further arguments, such as ``num_classes``.

    Raises:
        UnknownName: timm has no such network.
    """
    if not timm.is_model(name):
        raise UnknownName(f"timm has no network {name!r}{nearest(name, timm.list_models())}")
    module: nn.Module = timm.create_model(name, pretrained=False, **arguments)
    return module


def input_contract(module: nn.Module, name: str, arguments: Mapping[str, Any]) -> InputContract:
    """Read the contract from ``pretrained_cfg``: training's size, and evaluation's crop and interpolation.

    Source: timm/data/config.py, ``resolve_data_config``, and timm/data/transforms_factory.py.
    """
    found = resolve_model_data_config(module)  # type: ignore[no-untyped-call]
    channels, height, width = found["input_size"]
    interpolation = found["interpolation"]
    return InputContract(
        size=(height, width),
        scale=1.0,
        mean=tuple(map(float, found["mean"])) if channels == 3 else None,
        std=tuple(map(float, found["std"])) if channels == 3 else None,
        channels="rgb" if channels == 3 else "gray",
        resize="stretch" if found["crop_mode"] == "squash" else "crop",
        interpolation=interpolation if interpolation in ("bilinear", "bicubic", "nearest") else "bicubic",
        crop_share=float(found["crop_pct"]),
    )


def class_names(name: str, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Return no names: timm's configurations seldom hold any."""
    return ()
