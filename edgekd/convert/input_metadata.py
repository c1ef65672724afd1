"""What an ONNX file's metadata says of its input: edgekd's own keys, Ultralytics' and WinML's."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from onnx import ModelProto

from edgekd.core.errors import InputError, RecipeError
from edgekd.core.input_contract import InputContract, resolved
from edgekd.core.schema import parse
from edgekd.core.tensor import TensorSpec

KEY = "edgekd.input"
_VALUE_MAX = 100_000  # characters; a longer value is not a contract


def contract_of(
    model: ModelProto, inputs: Sequence[TensorSpec], known: InputContract | None
) -> tuple[InputContract | None, tuple[str, ...]]:
    """Return the input contract of a graph and the fields that were assumed.

    Args:
        model: The file as given.
        inputs: What the network takes, without dynamic dimensions.
        known: What the user says, which precedes the file.

    Returns:
        (None, ()) where the network does not take one image.

    Raises:
        InputError: What the user says contradicts the network, or it takes no image.
    """
    known = known or InputContract()
    is_image = len(inputs) == 1 and inputs[0].picture_layout is not None
    if not is_image and not known:
        return None, ()
    # The graph has the last word on its size: a file with dynamic dimensions names the size of its export.
    from_file = replace(read_metadata(model), size=None)
    try:
        return resolved(known.or_else(from_file), inputs[0])
    except InputError:
        return resolved(known, inputs[0])  # metadata that contradicts its own graph says nothing


def size_dims(inputs: Sequence[TensorSpec], contract: InputContract | None) -> dict[str, int]:
    """Return the sizes that ``contract.size`` gives the dynamic dimensions of an image input, by name."""
    if contract is None or contract.size is None or len(inputs) != 1 or len(inputs[0].shape) != 4:
        return {}
    shape = inputs[0].shape
    layout = contract.layout or (inputs[0].picture_layout or "NCHW").lower()
    axes = (1, 2) if layout == "nhwc" else (2, 3)
    return {
        str(shape[axis]): size for axis, size in zip(axes, contract.size, strict=True) if isinstance(shape[axis], str)
    }


def read_metadata(model: ModelProto) -> InputContract:
    """Return what the metadata says; all None where it says nothing that can be read."""
    props = {prop.key: prop.value for prop in model.metadata_props if len(prop.value) <= _VALUE_MAX}
    known = InputContract()
    for reader in (_edgekd, _ultralytics, _winml):
        known = known.or_else(reader(props))
    return known


def _edgekd(props: Mapping[str, str]) -> InputContract:
    if KEY not in props:
        return InputContract()
    try:
        return parse(InputContract, json.loads(props[KEY]), "input")
    except (ValueError, RecipeError):
        return InputContract()  # somebody has edited it


def _ultralytics(props: Mapping[str, str]) -> InputContract:
    """Ultralytics' exporter: RGB, 0..1, letterboxed with grey 114, or centre-cropped where it classifies.

    Source: ultralytics/engine/exporter.py writes ``names``, ``stride``, ``imgsz`` and ``task``, str() of the values.
    """
    if not {"names", "stride"} <= props.keys() or not {"imgsz", "task"} & props.keys():
        return InputContract()
    known = InputContract(scale=1.0, mean=(0.0,), std=(1.0,), channels="rgb", interpolation="bilinear")
    size = _pair_of_integers(props.get("imgsz", ""))
    if size is not None:
        known = InputContract(size=size).or_else(known)
    if props.get("task") == "classify":
        return InputContract(resize="crop", crop_share=1.0).or_else(known)
    if props.get("head") == "RTDETRDecoder":
        return InputContract(resize="stretch").or_else(known)
    return InputContract(resize="letterbox", pad_value=114, pad_side="both").or_else(known)


def _winml(props: Mapping[str, str]) -> InputContract:
    """WinML's and CoreML tools' keys. Source: onnx/docs/MetadataProps.md."""
    ranges = {"NominalRange_0_255": 255.0, "Normalized_0_1": 1.0}
    scale = ranges.get(props.get("Image.NominalPixelRange", ""))
    formats: Mapping[str, Any] = {"Bgr8": "bgr", "Rgb8": "rgb", "Gray8": "gray"}
    channels = formats.get(props.get("Image.BitmapPixelFormat", ""))
    known = InputContract(channels=channels, scale=scale)
    return InputContract(mean=(0.0,), std=(1.0,)).or_else(known) if scale is not None else known


def _pair_of_integers(text: str) -> tuple[int, int] | None:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(type(side) is int and side > 0 for side in value):
        return int(value[0]), int(value[1])
    return None
