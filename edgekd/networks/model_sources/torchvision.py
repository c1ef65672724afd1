"""torchvision's networks, ``--model torchvision:NAME``; the transforms of its weights say how images are fed."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn
from torchvision.models import get_model_builder, get_model_weights, list_models

from edgekd.core.errors import UnknownName, nearest
from edgekd.core.input_contract import InputContract

LIBRARIES = ("torchvision",)


def build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a network without weights.

    Args:
        name: As ``torchvision.models.get_model`` takes it.
        arguments: Further arguments, such as ``num_classes``.

    Raises:
        UnknownName: torchvision has no such network.
    """
    known = list_models()
    if name.lower() not in known:
        raise UnknownName(f"torchvision has no network {name!r}{nearest(name, known)}")
    builder = get_model_builder(name)
    # Detection and segmentation networks would download their backbone.
    parts = {key: None for key in inspect.signature(builder).parameters if key == "weights_backbone"}
    module: nn.Module = builder(weights=None, **{**parts, **arguments})
    return module


def input_contract(module: nn.Module, name: str, arguments: Mapping[str, Any]) -> InputContract:
    """Read the contract from the transforms of the default weights; what they do not say stays unknown."""
    weights = get_model_weights(name)
    if not len(weights):
        return InputContract()
    transforms = weights.DEFAULT.transforms()
    if not all(hasattr(transforms, field) for field in ("mean", "std", "resize_size", "interpolation")):
        return InputContract(scale=1.0, channels="rgb")  # a detector: normalisation and resizing are inside it
    known = InputContract(
        scale=1.0,
        mean=tuple(map(float, transforms.mean)),
        std=tuple(map(float, transforms.std)),
        channels="rgb",
        interpolation=str(transforms.interpolation.value),  # type: ignore[arg-type]
    )
    if not hasattr(transforms, "crop_size"):
        return InputContract(resize="stretch").or_else(known)
    (crop,), (shorter_side,) = transforms.crop_size, transforms.resize_size
    return InputContract(size=(crop, crop), resize="crop", crop_share=crop / shorter_side).or_else(known)


def class_names(name: str, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the categories of the default weights; none where the number of classes is another."""
    weights = get_model_weights(name)
    names = tuple(weights.DEFAULT.meta.get("categories", ())) if len(weights) else ()
    return names if arguments.get("num_classes", len(names)) == len(names) else ()
