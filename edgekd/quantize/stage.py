"""The quantize stage: run one scheme, compare its graph with the input, and publish it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray
from onnx import ModelProto

from edgekd.core import provenance
from edgekd.core.artifact import Artifact, publish
from edgekd.core.config import QuantizeConfig
from edgekd.core.errors import InputError, ParityError
from edgekd.core.family import load
from edgekd.core.network_info import NetworkInfo
from edgekd.core.numerics import Difference
from edgekd.core.samples import SampleSource
from edgekd.core.schema import parse
from edgekd.core.tensor import TensorSpec
from edgekd.graph.cost import cost_of
from edgekd.graph.evaluate import Evaluator
from edgekd.graph.model import input_specs, load_onnx, specs, to_bytes
from edgekd.graph.parity import OutputKind, compare, output_kinds, parity_summary, to_facts
from edgekd.quantize.scheme import Context, Quantized, Scheme

FAMILY = "quantize.schemes"
# The error has a third of the signal's power: no longer the same network.
MIN_SNR_DB = 5.0
# A single image that is unlike the training data may change a quarter of its labels in a graph that is intact.
MAX_CHANGED_LABELS = 0.5
_COMPARED_SAMPLES = 4  # each costs a whole unoptimised inference of both graphs


def run(onnx: Artifact, scheme: str, config: QuantizeConfig, samples: SampleSource, out: Path) -> Artifact:
    """Write ``onnx`` in the precision of ``scheme``.

    Args:
        onnx: The graph; its file is not changed.
        scheme: A file of ``edgekd/quantize/schemes/``.
        config: ``exclude_nodes``, and the scheme's own ``options``.
        samples: What the result is compared on and, where the scheme needs them, calibrated on.
        out: The file to write.

    Raises:
        UnknownName: There is no such scheme.
        RecipeError: One of the scheme's options is wrong.
        MissingDependency: The scheme's library is not installed.
        InputError: The file cannot be read, the samples do not feed its inputs, or an excluded node does not exist.
        CalibrationError: The samples cannot be calibrated on.
        BuildError: A library fails on the graph.
        ParityError: The scheme changed the signature, or broke an output.
    """
    member = cast(Scheme, load(FAMILY, scheme))
    options = parse(member.Config, config.options.get(scheme, {}), f"quantize.options.{scheme}")
    before = load_onnx(onnx.path)
    _check_feeds(before, samples)
    quantized = member.quantize(before, options, Context(onnx.path, samples, config.exclude_nodes))
    signature = _checked_signature(scheme, before, quantized.model)
    differences = to_facts(_measured(scheme, before, quantized, samples))
    network = onnx.network or NetworkInfo()
    if not network.cost:
        network = replace(network, cost=asdict(cost_of(before, onnx.inputs)))
    artifact = Artifact(
        "onnx",
        out,
        # The artifact's own specs have ranges of dynamic dimensions, which a graph cannot hold.
        inputs=onnx.inputs or signature[0],
        outputs=onnx.outputs or signature[1],
        made_by=provenance.quantize(onnx.sha256, scheme, config, samples.digest),
        facts={
            "difference": differences,
            "compared_on": samples.source,
            "summary": ", ".join(filter(None, (quantized.summary, parity_summary(differences)))),
            **quantized.facts,
        },
        network=replace(network, precision=scheme),
    )
    return publish(artifact, to_bytes(quantized.model))


def _check_feeds(model: ModelProto, samples: SampleSource) -> None:
    expected, found = {spec.name for spec in input_specs(model)}, set(samples[0].feeds)
    if expected != found:
        raise InputError(
            f"the samples ({samples.source}) feed {', '.join(sorted(found))}; the network takes "
            f"{', '.join(sorted(expected))}: give samples that were made for this network"
        )


def _checked_signature(
    scheme: str, before: ModelProto, after: ModelProto
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    expected, found = specs(before), specs(after)
    if found != expected:
        raise ParityError(
            f"{scheme} changed the network's inputs and outputs to {_text(found)}; {_text(expected)} was expected: "
            "a scheme must keep both, report this as a bug"
        )
    return found


def _text(signature: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]) -> str:
    inputs, outputs = signature
    return f"{', '.join(map(str, inputs))} → {', '.join(map(str, outputs))}"


def _measured(scheme: str, before: ModelProto, quantized: Quantized, samples: SampleSource) -> dict[str, Difference]:
    """Return the worst difference of each output over a few samples. Raises ParityError where one is broken."""
    if quantized.simulation is not None:
        # Another graph is compared; the one that is written must run as well.
        Evaluator(quantized.model)(samples[0].feeds)
    kinds = output_kinds(before)
    expected = _outputs(Evaluator(before), samples)
    compared = quantized.simulation or quantized.model
    if to_bytes(compared) == to_bytes(before):
        # The same graph gives the same outputs, and running it twice would only take time.
        outputs = list(expected)
        differences = compare(outputs, outputs, kinds)
    else:
        differences = compare(expected, _outputs(Evaluator(compared), samples), kinds)
    for name, difference in differences.items():
        _check_output(scheme, name, difference, kinds)
    return differences


def _outputs(evaluate: Evaluator, samples: SampleSource) -> Iterator[Mapping[str, NDArray[Any]]]:
    for index in range(min(_COMPARED_SAMPLES, len(samples))):
        yield evaluate(samples[index].feeds)


def _check_output(scheme: str, name: str, difference: Difference, kinds: Mapping[str, OutputKind]) -> None:
    if kinds.get(name) == "label":
        is_intact = difference.relative <= MAX_CHANGED_LABELS
        found, expected = f"{difference.relative:.0%} of its labels changed", f"at most {MAX_CHANGED_LABELS:.0%}"
    else:
        is_intact = difference.snr_db >= MIN_SNR_DB
        found, expected = f"{difference.snr_db:.1f} dB SNR against its input", f"at least {MIN_SNR_DB:g} dB"
    if not is_intact:
        raise ParityError(
            f"{scheme} broke output {name!r}: {found}, {expected} was expected; name the nodes that lose precision in "
            "quantize.exclude_nodes"
        )
