"""What every scheme does last: hold the new graph against its input, write it, and say what was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from onnx import ModelProto

from edgekd.core import provenance
from edgekd.core.artifact import Artifact, save_manifest, sha256_of
from edgekd.core.config import QuantizeConfig
from edgekd.core.errors import InputError, ParityError
from edgekd.core.samples import Samples
from edgekd.graph.cost import cost_of
from edgekd.graph.evaluate import Evaluator
from edgekd.graph.model import graphs, input_specs, save_onnx, specs
from edgekd.graph.parity import compare, kinds, said, to_facts

BROKEN_DB = 5.0  # error as loud as a third of the signal: no longer the same network
BROKEN_SHARE = 0.5  # of labels: one picture of what was never trained on may lose a quarter of them
_COMPARED = 4  # samples; each is a whole inference of both graphs


@dataclasses.dataclass(frozen=True, slots=True)
class Scheme:
    """What a scheme was asked to do: its name, its input, its config and samples, and where the result goes."""

    name: str
    onnx: Artifact
    config: QuantizeConfig
    samples: Samples
    out: Path


def write(
    scheme: Scheme, before: ModelProto, after: ModelProto, facts: Mapping[str, Any], as_run: ModelProto | None = None
) -> Artifact:
    """Compare ``after`` with ``before`` on the samples, write it and its manifest.

    Args:
        scheme: What was asked for.
        before: The input.
        after: What will be written.
        facts: The scheme's own, for the manifest.
        as_run: A graph that rounds on this CPU as ``after`` will on a GPU, to be compared in its place.

    Raises:
        ParityError: The edge of the network changed, or an output is not the same network's any more.
    """
    before_edge, after_edge = specs(before), specs(after)
    if before_edge != after_edge:
        raise ParityError(
            f"{scheme.name} changed the network's edge to {_edge(after_edge)}; {_edge(before_edge)} was expected"
        )
    measured = _differences(scheme, before, as_run or after)
    if as_run is not None:
        Evaluator(after)(scheme.samples.feeds(0))
    save_onnx(after, scheme.out)
    inputs, outputs = scheme.onnx.inputs or after_edge[0], scheme.onnx.outputs or after_edge[1]
    told = {
        "scheme": scheme.name,
        "difference": measured,
        "compared_on": scheme.samples.source,
        "cost": dataclasses.asdict(cost_of(after, scheme.onnx.inputs)),
        "network": scheme.onnx.facts.get("network", {}),
        "summary": ", ".join(filter(None, (facts.get("summary"), said(measured)))),
        **{key: value for key, value in facts.items() if key != "summary"},
    }
    made_by = provenance.quantize(
        scheme.onnx.sha256, scheme.name, scheme.config, provenance.digest_of_samples(scheme.samples)
    )
    artifact = Artifact("onnx", scheme.out, sha256_of(scheme.out), inputs, outputs, made_by, told)
    save_manifest(artifact)
    return artifact


def kept_nodes(model: ModelProto, patterns: Iterable[str]) -> set[str]:
    """Return the names of the nodes that ``keep`` patterns name.

    Raises:
        InputError: A pattern names no node.
    """
    names = {node.name for graph in graphs(model.graph) for node in graph.node if node.name}
    kept: set[str] = set()
    for pattern in patterns:
        found = {name for name in names if fnmatch(name, pattern)}
        if not found:
            raise InputError(
                f"quantize.keep {pattern!r} names no node of the graph's {len(names)}; `edgekd show` lists them"
            )
        kept |= found
    return kept


def _differences(scheme: Scheme, before: ModelProto, after: ModelProto) -> dict[str, Any]:
    reference, candidate = Evaluator(before), Evaluator(after)
    names = {spec.name for spec in input_specs(before)}
    if names != set(scheme.samples.inputs):
        raise InputError(
            f"the samples feed {', '.join(sorted(scheme.samples.inputs))}; the network takes {', '.join(sorted(names))}"
        )
    feeds = [scheme.samples.feeds(index) for index in range(min(_COMPARED, len(scheme.samples)))]
    kinds_of = kinds(before)
    worst = compare(map(reference, feeds), map(candidate, feeds), kinds_of)
    for name, apart in worst.items():
        if kinds_of.get(name) == "label":
            intact = apart.relative <= BROKEN_SHARE
            found, wanted = f"{apart.relative:.0%} of its labels changed", f"at most {BROKEN_SHARE:.0%}"
        else:
            intact = apart.snr_db >= BROKEN_DB
            found, wanted = f"{apart.snr_db:.1f} dB against its input", f"at least {BROKEN_DB:g} dB"
        if not intact:
            raise ParityError(
                f"{scheme.name} broke output {name!r}: {found}, {wanted} was expected; name the guilty nodes in "
                "quantize.keep"
            )
    return to_facts(worst)


def _edge(edge: tuple[tuple[Any, ...], tuple[Any, ...]]) -> str:
    return f"{', '.join(map(str, edge[0]))} → {', '.join(map(str, edge[1]))}"
