"""ONNX → smaller ONNX by onnxsim, proven on the samples; where it fails or moves numbers, the input stands."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from onnx import ModelProto

from edgekd.core import provenance
from edgekd.core.artifact import Artifact, save_manifest, sha256_of, write_atomic
from edgekd.core.config import SimplifyConfig
from edgekd.core.errors import EdgeKDError, InputError
from edgekd.core.family import require
from edgekd.core.samples import Samples
from edgekd.graph.cost import cost_of
from edgekd.graph.evaluate import Evaluator
from edgekd.graph.model import load_onnx, save_onnx, specs, to_bytes
from edgekd.graph.parity import compare, kinds, moved, said, to_facts

TAKES, GIVES = "onnx", "onnx"

_WORKER = "edgekd.convert._onnxsim"
_COMPARED = 4  # samples; each is a whole inference of both graphs
_PATIENCE_S = 600
_MAX_GROWTH = 2  # constant folding may blow an Expand or a ConstantOfShape up


def run(onnx: Artifact, config: SimplifyConfig, samples: Samples, out: Path, *, worker: str = _WORKER) -> Artifact:
    """Simplify ``onnx`` into ``out``.

    Args:
        onnx: The graph.
        config: ``enabled``, and the ``tolerance`` of parity.
        samples: Feeds that input and result are compared on.
        out: The file to write.
        worker: The module run as ``python -m WORKER IN OUT``.

    Returns:
        The artifact; facts["outcome"] is "simplified" or "input stands", the latter with a "reason".

    Raises:
        InputError: The input cannot be read, or does not run on the samples.
        MissingDependency: onnxsim is not installed.
    """
    if config.enabled:
        require("onnxsim", by="simplify")
    before = load_onnx(onnx.path)
    after: ModelProto | None = None
    facts: dict[str, Any] = {"outcome": "input stands", "reason": "simplify.enabled = false"}
    if config.enabled:
        after, facts = _attempt(before, config, samples, worker)
    if after is None:
        write_atomic(out, onnx.path.read_bytes())
    else:
        save_onnx(after, out)
    costs = {"before": cost_of(before, onnx.inputs), "after": cost_of(after or before, onnx.inputs)}
    for when, cost in costs.items():
        facts[when] = {"nodes": cost.nodes, "parameters": cost.parameters}
    facts["cost"] = dataclasses.asdict(costs["after"])
    facts["network"] = onnx.facts.get("network", {})
    facts["summary"] = _summary(facts)
    edge = specs(before)
    inputs, outputs = onnx.inputs or edge[0], onnx.outputs or edge[1]
    artifact = Artifact("onnx", out, sha256_of(out), inputs, outputs, provenance.simplify(onnx.sha256, config), facts)
    save_manifest(artifact)
    return artifact


def _summary(facts: dict[str, Any]) -> str:
    if facts["outcome"] != "simplified":
        return f"the input stands: {facts['reason']}"
    return f"{facts['before']['nodes']} nodes → {facts['after']['nodes']}, {said(facts['parity'])}"


def _attempt(
    before: ModelProto, config: SimplifyConfig, samples: Samples, worker: str
) -> tuple[ModelProto | None, dict[str, Any]]:
    """Return the simplified graph and facts, or None and why the input stands."""
    after, reason = _simplified(before, worker)
    if after is not None:
        reason = _edge_change(before, after)
    parity: dict[str, Any] = {}
    if after is not None and not reason:
        parity, reason = _compare(before, after, config.tolerance, samples)
    if after is None or reason:
        return None, {"outcome": "input stands", "reason": reason}
    return after, {"outcome": "simplified", "parity": parity, "compared_on": samples.source}


def _simplified(before: ModelProto, worker: str) -> tuple[ModelProto | None, str]:
    with tempfile.TemporaryDirectory(prefix="edgekd-simplify-") as folder:
        source, target = Path(folder) / "in.onnx", Path(folder) / "out.onnx"
        save_onnx(before, source)
        command = [sys.executable, "-m", worker, str(source), str(target)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE_S, check=False
            )
        except subprocess.TimeoutExpired:
            return None, f"onnxsim was stopped after {_PATIENCE_S} s"
        if done.returncode:
            words = done.stderr.strip().splitlines()[-1:] or [""]
            end = f"signal {-done.returncode}" if done.returncode < 0 else f"exit {done.returncode}"
            return None, f"onnxsim crashed ({end}) {words[0][:160]}".strip()
        try:
            after = load_onnx(target)
        except InputError as err:
            return None, f"onnxsim wrote a file that is not valid ({str(err).replace(str(target), 'it')[:160]})"
    if len(to_bytes(after)) > _MAX_GROWTH * len(to_bytes(before)) + 2**20:
        return None, f"onnxsim made {len(to_bytes(after))} bytes of {len(to_bytes(before))}"
    after.producer_name, after.producer_version = before.producer_name, before.producer_version
    after.graph.name = before.graph.name
    del after.metadata_props[:]
    after.metadata_props.extend(before.metadata_props)
    return after, ""


def _edge_change(before: ModelProto, after: ModelProto) -> str:
    for side, old, new in zip(("inputs", "outputs"), specs(before), specs(after), strict=True):
        if old != new:
            return f"onnxsim changed the {side} from {', '.join(map(str, old))} to {', '.join(map(str, new)) or 'none'}"
    return ""


def _compare(before: ModelProto, after: ModelProto, tolerance: float, samples: Samples) -> tuple[dict[str, Any], str]:
    """Return the worst difference of each output, and what is wrong with it, or ""."""
    feeds = [samples.feeds(index) for index in range(min(_COMPARED, len(samples)))]
    expected, kinds_of = list(map(Evaluator(before), feeds)), kinds(before)
    try:
        worst = compare(expected, map(Evaluator(after), feeds), kinds_of)
    except EdgeKDError as err:
        return {}, f"onnxsim's graph does not run: {str(err)[:160]}"
    for name, apart in worst.items():
        if not apart.relative <= tolerance:
            return {}, f"onnxsim {moved(name, apart, kinds_of)}; {tolerance:g} was allowed"
    return to_facts(worst), ""
