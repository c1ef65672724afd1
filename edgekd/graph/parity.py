"""How far each output of one graph is from the same output of another, on the same feeds."""

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
OutputKind = Literal["probability", "label"]
_KIND_BY_OPERATOR: Mapping[str, OutputKind] = {
    "Sigmoid": "probability",
    "Softmax": "probability",
    "HardSigmoid": "probability",
    "ArgMax": "label",
    "ArgMin": "label",
}
# Operators that change a tensor's type or shape and leave its values alone.
_PASSED_THROUGH = ("Cast", "Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten")


def output_kinds(model: ModelProto) -> dict[str, OutputKind]:
    """Return output name → kind, for the outputs that are not plain magnitudes.

    A Sigmoid or Softmax has a full scale of 1, whatever values occur on the feeds. An ArgMax, or a bool output, gives
    labels: the distance between two label numbers has no meaning.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    found: dict[str, OutputKind] = {}
    for value in model.graph.output:
        producer = producers.get(value.name)
        while producer is not None and producer.op_type in _PASSED_THROUGH:
            producer = producers.get(producer.input[0])
        if producer is not None and producer.op_type in _KIND_BY_OPERATOR:
            found[value.name] = _KIND_BY_OPERATOR[producer.op_type]
        elif value.type.tensor_type.elem_type == TensorProto.BOOL:
            found[value.name] = "label"
    return found


def compare(
    expected: Iterable[Arrays], found: Iterable[Arrays], kinds: Mapping[str, OutputKind]
) -> dict[str, Difference]:
    """Return the worst difference of each output over all feeds.

    Probabilities are compared against a full scale of 1. Otherwise a detector that finds nothing, whose outputs are
    1e-6 everywhere, would have an error of 100 % for a change of 1e-6. Of labels, ``max_abs`` and ``relative`` are both
    the share that changed over all feeds together, because a single image may be close to a tie everywhere; the SNR is
    that of their one-hot encoding.

    Args:
        expected: One mapping of output name → array for each feed.
        found: The same of the other graph, in the same order.
        kinds: Output name → kind, as ``output_kinds`` gives it.

    Raises:
        ParityError: The two graphs do not have the same outputs.
    """
    worst: dict[str, Difference] = {}
    changed_shares: dict[str, list[float]] = {}
    for expected_outputs, found_outputs in zip(expected, found, strict=True):
        if expected_outputs.keys() != found_outputs.keys():
            raise ParityError(
                f"the new graph has outputs {', '.join(found_outputs)}; {', '.join(expected_outputs)} were expected"
            )
        for name, array in expected_outputs.items():
            other = found_outputs[name]
            if kinds.get(name) == "label" and other.shape == array.shape:
                share = float(np.mean(other != array)) if array.size else 0.0
                changed_shares.setdefault(name, []).append(share)
                continue
            measured = difference(other, array)
            if kinds.get(name) == "probability":
                measured = _on_full_scale(measured)
            if name not in worst or measured.relative > worst[name].relative:
                worst[name] = measured
    labels = {name: _of_labels(float(np.mean(shares))) for name, shares in changed_shares.items()}
    return labels | worst


def to_facts(worst: Mapping[str, Difference]) -> dict[str, dict[str, float | None]]:
    """Return plain data for a manifest; an infinite ratio becomes None, because JSON has no infinity."""
    return {
        name: {
            "max_abs": measured.max_abs,
            "relative": measured.relative if math.isfinite(measured.relative) else None,
            "snr_db": measured.snr_db if math.isfinite(measured.snr_db) else None,
        }
        for name, measured in worst.items()
    }


def parity_summary(facts: Mapping[str, Mapping[str, float | None]]) -> str:
    """Return a few words on the worst output of ``to_facts``: "outputs at 45.1 dB SNR"."""
    figures = [entry["snr_db"] for entry in facts.values() if entry["snr_db"] is not None]
    return f"outputs at {min(figures):.1f} dB SNR" if figures else "outputs bit-identical"


def describe_change(name: str, measured: Difference, kinds: Mapping[str, OutputKind]) -> str:
    """Return what happened to output ``name``, for an error message: "changed output 'y' by 0.1 of its peak"."""
    if kinds.get(name) == "label":
        return f"changed {100 * measured.relative:.3g} % of the labels of output {name!r}"
    return f"changed output {name!r} by {measured.relative:.3g} of its peak"


def _on_full_scale(measured: Difference) -> Difference:
    """Measure against a peak of 1 where that is kinder than the largest value that occurred."""
    if not math.isfinite(measured.max_abs) or measured.max_abs == 0:
        return measured
    return Difference(
        measured.max_abs,
        min(measured.relative, measured.max_abs),
        max(measured.snr_db, -20 * math.log10(measured.max_abs)),
    )


def _of_labels(share: float) -> Difference:
    # One-hot, a changed label is wrong in two places and every label is 1 in one: noise / signal = 2 * share.
    return Difference(share, share, -10 * math.log10(2 * share) if share else math.inf)
