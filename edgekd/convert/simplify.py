"""ONNX → smaller ONNX with onnxsim, checked on samples; where onnxsim fails or changes numbers, the input is kept."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnx import ModelProto

from edgekd.core import provenance, worker
from edgekd.core.artifact import Artifact, publish
from edgekd.core.config import SimplifyConfig
from edgekd.core.errors import EdgeKDError, InputError, WorkerError
from edgekd.core.family import require
from edgekd.core.network_info import NetworkInfo
from edgekd.core.samples import SampleSource
from edgekd.graph.cost import cost_of
from edgekd.graph.evaluate import Evaluator
from edgekd.graph.model import load_onnx, save_onnx, specs, to_bytes
from edgekd.graph.parity import compare, describe_change, output_kinds, parity_summary, to_facts

_ONNXSIM = "edgekd.convert._onnxsim:simplify"
_MAX_SAMPLES = 4  # each is a whole inference of both graphs
_TIMEOUT_S = 600
# Constant folding may turn an Expand or a ConstantOfShape into megabytes of weights.
_MAX_GROWTH, _ALLOWED_GROWTH_BYTES = 2, 2**20


class _Rejected(Exception):
    """onnxsim's graph cannot be used; the message says why."""


def run(
    onnx: Artifact, config: SimplifyConfig, samples: SampleSource, out: Path, *, function: str = _ONNXSIM
) -> Artifact:
    """Simplify ``onnx`` into ``out``.

    Args:
        onnx: The graph.
        config: ``enabled``, and the ``tolerance`` of the parity check.
        samples: Inputs on which both graphs are compared.
        out: The file to write.
        function: "package.module:name" of what simplifies, called in a child process with the plan of ``_onnxsim``.

    Returns:
        The artifact; facts["outcome"] is "simplified", or "unchanged" with a "reason".

    Raises:
        InputError: The input cannot be read, or does not run on the samples.
        MissingDependency: onnxsim is not installed.
    """
    if config.enabled:
        require("onnxsim", by="simplify")
    before = load_onnx(onnx.path)
    after, facts = _attempt(before, config, samples, function)
    costs = {"before": cost_of(before, onnx.inputs), "after": cost_of(after or before, onnx.inputs)}
    for when, cost in costs.items():
        facts[when] = {"nodes": cost.nodes, "parameters": cost.parameters}
    facts["summary"] = _summary(facts)
    network = dataclasses.replace(onnx.network or NetworkInfo(), cost=dataclasses.asdict(costs["after"]))
    inputs, outputs = specs(before)
    artifact = Artifact(
        kind="onnx",
        path=out,
        inputs=onnx.inputs or inputs,  # the artifact's know the ranges of dynamic dimensions
        outputs=onnx.outputs or outputs,
        made_by=provenance.simplify(onnx.sha256, config),
        facts=facts,
        network=network,
    )
    return publish(artifact, onnx.path.read_bytes() if after is None else to_bytes(after))


def _summary(facts: Mapping[str, Any]) -> str:
    if facts["outcome"] != "simplified":
        return f"unchanged: {facts['reason']}"
    return f"{facts['before']['nodes']} nodes → {facts['after']['nodes']}, {parity_summary(facts['parity'])}"


def _attempt(
    before: ModelProto, config: SimplifyConfig, samples: SampleSource, function: str
) -> tuple[ModelProto | None, dict[str, Any]]:
    """Return the simplified graph and facts, or None and why the input is kept."""
    if not config.enabled:
        return None, {"outcome": "unchanged", "reason": "simplify.enabled = false"}
    try:
        after = _simplified(before, function)
        _check_signature(before, after)
        parity = _check_parity(before, after, config.tolerance, samples)
    except _Rejected as err:
        return None, {"outcome": "unchanged", "reason": str(err)}
    return after, {"outcome": "simplified", "parity": parity, "compared_on": samples.source}


def _simplified(before: ModelProto, function: str) -> ModelProto:
    """Run onnxsim in a child process, and give its graph the names and metadata of the input."""
    with tempfile.TemporaryDirectory(prefix="edgekd-simplify-") as folder:
        source, target = Path(folder) / "in.onnx", Path(folder) / "out.onnx"
        save_onnx(before, source)
        try:
            worker.call(function, {"source": str(source), "target": str(target)}, timeout_s=_TIMEOUT_S, name="onnxsim")
        except WorkerError as err:
            raise _Rejected(str(err)) from err
        try:
            after = load_onnx(target)
        except InputError as err:
            reason = str(err).replace(str(target), "the file")[:160]
            raise _Rejected(f"onnxsim did not write a valid ONNX file: {reason}") from err
    size, allowed = len(to_bytes(after)), _MAX_GROWTH * len(to_bytes(before)) + _ALLOWED_GROWTH_BYTES
    if size > allowed:
        raise _Rejected(f"onnxsim made {size} bytes of {len(to_bytes(before))}; at most {allowed} were expected")
    after.producer_name, after.producer_version = before.producer_name, before.producer_version
    after.graph.name = before.graph.name
    del after.metadata_props[:]
    after.metadata_props.extend(before.metadata_props)
    return after


def _check_signature(before: ModelProto, after: ModelProto) -> None:
    """Raise _Rejected where inputs or outputs have changed."""
    for side, old, new in zip(("inputs", "outputs"), specs(before), specs(after), strict=True):
        if old != new:
            found, expected = (", ".join(map(str, tensors)) or "none" for tensors in (new, old))
            raise _Rejected(f"onnxsim changed the {side} from {expected} to {found}")


def _check_parity(
    before: ModelProto, after: ModelProto, tolerance: float, samples: SampleSource
) -> dict[str, dict[str, float | None]]:
    """Return the worst difference of each output. Raises _Rejected where one is too large."""
    feeds = [samples[index].feeds for index in range(min(_MAX_SAMPLES, len(samples)))]
    evaluate = Evaluator(before)
    expected, kinds = [evaluate(one) for one in feeds], output_kinds(before)  # outside the try: the input must run
    try:
        worst = compare(expected, map(Evaluator(after), feeds), kinds)
    except EdgeKDError as err:
        raise _Rejected(f"onnxsim's graph does not run: {str(err)[:160]}") from err
    for name, difference in worst.items():
        if not difference.relative <= tolerance:  # written so that NaN fails
            raise _Rejected(f"onnxsim {describe_change(name, difference, kinds)}; at most {tolerance:g} was expected")
    return to_facts(worst)
