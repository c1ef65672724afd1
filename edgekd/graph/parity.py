"""Two graphs, the same feeds: how far each output of one is from the other's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray
from onnx import ModelProto

from edgekd.core.errors import ParityError
from edgekd.core.numerics import Difference, difference

Arrays = Mapping[str, NDArray[Any]]
_PROBABILITIES = ("Sigmoid", "Softmax", "HardSigmoid")
_PASSED_THROUGH = ("Cast", "Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten")


def probability_outputs(model: ModelProto) -> frozenset[str]:
    """Name the outputs that a Sigmoid or Softmax makes: their full scale is 1 whatever was seen on the feeds."""
    makers = {name: node for node in model.graph.node for name in node.output}
    found = set()
    for value in model.graph.output:
        maker = makers.get(value.name)
        while maker is not None and maker.op_type in _PASSED_THROUGH:
            maker = makers.get(maker.input[0])
        if maker is not None and maker.op_type in _PROBABILITIES:
            found.add(value.name)
    return frozenset(found)


def compare(
    expected: Iterable[Arrays], found: Iterable[Arrays], probabilities: frozenset[str]
) -> dict[str, Difference]:
    """Return the worst difference of each output over all feeds.

    Args:
        expected: One mapping of outputs a feed.
        found: The same of the other graph.
        probabilities: Outputs held against a full scale of 1: a detector that sees nothing gives 1e-6 everywhere, and
            the error of 1e-6 is not to be called 100 %.

    Raises:
        ParityError: The outputs' names are not the same.
    """
    worst: dict[str, Difference] = {}
    for a, b in zip(expected, found, strict=True):
        if a.keys() != b.keys():
            raise ParityError(f"the new graph has outputs {', '.join(b)}; {', '.join(a)} were expected")
        for name, array in a.items():
            apart = difference(b[name], array)
            if name in probabilities:
                apart = _on_full_scale(apart)
            if name not in worst or not apart.relative <= worst[name].relative:
                worst[name] = apart
    return worst


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


def _on_full_scale(apart: Difference) -> Difference:
    if not math.isfinite(apart.max_abs) or apart.max_abs == 0:
        return apart
    return Difference(
        apart.max_abs, min(apart.relative, apart.max_abs), max(apart.snr_db, -20 * math.log10(apart.max_abs))
    )
