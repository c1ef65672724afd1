"""Two graphs, the same feeds: how far each output of one is from the other's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from edgekd.core.errors import ParityError
from edgekd.core.numerics import Difference, difference

Arrays = Mapping[str, NDArray[Any]]
Kind = Literal["probability", "label"]
_MAKERS: Mapping[str, Kind] = {
    **dict.fromkeys(("Sigmoid", "Softmax", "HardSigmoid"), "probability"),
    **dict.fromkeys(("ArgMax", "ArgMin"), "label"),
}
_PASSED_THROUGH = ("Cast", "Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten")


def kinds(model: ModelProto) -> dict[str, Kind]:
    """Return output → kind, of the outputs that are no plain magnitudes.

    What a Sigmoid or Softmax makes has a full scale of 1, whatever was seen on the feeds; what an ArgMax makes, or is
    true or false, are names, and how far one number is from another says nothing.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    found: dict[str, Kind] = {}
    for value in model.graph.output:
        maker = makers.get(value.name)
        while maker is not None and maker.op_type in _PASSED_THROUGH:
            maker = makers.get(maker.input[0])
        if maker is not None and maker.op_type in _MAKERS:
            found[value.name] = _MAKERS[maker.op_type]
        elif value.type.tensor_type.elem_type == TensorProto.BOOL:
            found[value.name] = "label"
    return found


def compare(expected: Iterable[Arrays], found: Iterable[Arrays], kinds_of: Mapping[str, Kind]) -> dict[str, Difference]:
    """Return the worst difference of each output over all feeds.

    Args:
        expected: One mapping of outputs a feed.
        found: The same of the other graph.
        kinds_of: Output → kind, as ``kinds`` gives. A probability is held against a full scale of 1: a detector that
            sees nothing gives 1e-6 everywhere, and the error of 1e-6 is not to be called 100 %. Of labels, both
            figures of the difference are the share that changed in all feeds together (one picture may be near a tie
            everywhere), and the SNR is that of their one-hot coding.

    Raises:
        ParityError: The outputs' names are not the same.
    """
    worst: dict[str, Difference] = {}
    shares: dict[str, list[float]] = {}
    for a, b in zip(expected, found, strict=True):
        if a.keys() != b.keys():
            raise ParityError(f"the new graph has outputs {', '.join(b)}; {', '.join(a)} were expected")
        for name, array in a.items():
            apart = difference(b[name], array)
            if kinds_of.get(name) == "probability":
                apart = _on_full_scale(apart)
            elif kinds_of.get(name) == "label" and b[name].shape == array.shape:
                shares.setdefault(name, []).append(float(np.mean(b[name] != array)) if array.size else 0.0)
                continue
            if name not in worst or not apart.relative <= worst[name].relative:
                worst[name] = apart
    return {name: _changed(float(np.mean(found))) for name, found in shares.items()} | worst


def to_facts(worst: Mapping[str, Difference]) -> dict[str, dict[str, float | None]]:
    """Return plain data for a manifest; an exact output has no SNR, for JSON has no infinity."""
    return {
        name: {
            "max_abs": apart.max_abs,
            "relative": apart.relative if math.isfinite(apart.relative) else None,
            "snr_db": apart.snr_db if math.isfinite(apart.snr_db) else None,
        }
        for name, apart in worst.items()
    }


def said(facts: Mapping[str, Mapping[str, float | None]]) -> str:
    """Say in a few words how far the worst output of ``to_facts`` is from what it should be."""
    noisiest = min((entry["snr_db"] for entry in facts.values() if entry["snr_db"] is not None), default=None)
    return "outputs equal to the bit" if noisiest is None else f"outputs at {noisiest:.1f} dB SNR"


def moved(name: str, apart: Difference, kinds_of: Mapping[str, Kind]) -> str:
    """Say what was done to output ``name``, for an error."""
    if kinds_of.get(name) == "label":
        return f"changed {100 * apart.relative:.3g} % of the labels of output {name!r}"
    return f"moved output {name!r} by {apart.relative:.3g} of its peak"


def _on_full_scale(apart: Difference) -> Difference:
    if not math.isfinite(apart.max_abs) or apart.max_abs == 0:
        return apart
    return Difference(
        apart.max_abs, min(apart.relative, apart.max_abs), max(apart.snr_db, -20 * math.log10(apart.max_abs))
    )


def _changed(share: float) -> Difference:
    # One-hot, a changed label is wrong in two places, and every label is 1 in one.
    return Difference(share, share, -10 * math.log10(2 * share) if share else math.inf)
