"""trtexec's JSON → a result: how boards without Python are measured, on JetPack 4 and 5 through NVIDIA's own program.

``--exportTimes`` writes a list with one record an inference: ``startEnqMs`` to ``endD2hMs`` on one clock, and
``h2dMs``, ``computeMs``, ``d2hMs`` and their sum ``latencyMs`` by the GPU's events, six digits each. Up to 8.2 there is
an ``endToEndMs`` too, up to 8.4 the warm-up is among them. ``--exportProfile`` writes ``{"count": N}`` and a record a
layer: ``name``, ``timeMs``, ``averageMs``, ``percentage`` and, from 8.4 on, ``medianMs``. Transfers count by default up
to 10.x and are left out from 11.0 on. Source: NVIDIA/TensorRT, samples/common/sampleReporting.cpp and
sampleInference.cpp of 7.1 to 11.1.

``latencyMs`` is not what edgekd's clock measures, and ``Conditions.clock`` says so: the two are refused, not compared.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekd import __version__
from edgekd.bench.candidate import candidates_of
from edgekd.core import family
from edgekd.core.artifact import Artifact, manifest_path, publish, read_artifact, sha256_of
from edgekd.core.conditions import Conditions
from edgekd.core.errors import InputError
from edgekd.core.provenance import Provenance, digest_of
from edgekd.results.result import BenchmarkResult, CandidateResult, NodeTime, Run

CLOCK = "trtexec latencyMs"
# trtexec's --warmUp where none is files.
WARMUP_MS = 200.0
_PARTS = ("h2dMs", "computeMs", "d2hMs")
_NO_WARMUP_SINCE, _END_TO_END_UNTIL = (8, 5), (8, 2)
# Six digits of each of four figures; consecutive samples stand together, for intervals that know of drift.
_SUM_TOLERANCE, _BLOCKS = 1e-4, 12


@dataclass(frozen=True, slots=True)
class TrtexecFiles:
    """What trtexec left, and what its files do not say.

    Attributes:
        times: One ``--exportTimes`` file a process.
        profile: An ``--exportProfile`` file, from a run of its own.
        target: A file of ``edgekd/targets/``, or a board's name.
        tensorrt: The release that ran, like "8.5.2".
        warmup_ms: trtexec's ``--warmUp``.
    """

    times: tuple[Path, ...]
    profile: Path | None
    target: str
    tensorrt: str
    warmup_ms: float = WARMUP_MS


def run(engine: Path, files: TrtexecFiles, out: Path) -> Artifact:
    """Write the result of one engine that trtexec timed.

    Raises:
        InputError: A file is not trtexec's, or they do not belong together.
    """
    artifact = (
        read_artifact(engine) if manifest_path(engine).exists() else Artifact("engine", engine, sha256_of(engine))
    )
    if (backend := artifact.facts.get("backend", "tensorrt")) != "tensorrt":
        raise InputError(f"{engine} was built by {backend}; trtexec times TensorRT's engines: give the one it loaded")
    digests = [sha256_of(path) for path in files.times]
    if len(set(digests)) < len(digests):
        raise InputError("two of the times files are the same; give one file a run of trtexec")
    runs, clock = _runs(files)
    row, batch = _row(artifact, runs, files.profile)
    count = f"{len(runs)} process{'es' if len(runs) > 1 else ''}"
    result = BenchmarkResult(
        title=engine.stem,
        edgekd=__version__,
        conditions=_conditions(files, clock, batch),
        candidates=(row,),
        notes=(
            f"timed by trtexec in {count}: {clock}, by the GPU's events; its files do not say whether it used CUDA "
            "graphs or spin-waited, nor at which clocks the board ran",
            "throughput is worked out from latencies one after another; trtexec overlaps them",
        ),
    )
    parents = (artifact.sha256, *digests, *((sha256_of(files.profile),) if files.profile else ()))
    made_by = Provenance("bench", parents, digest_of([files.target, files.warmup_ms]), {"tensorrt": files.tensorrt})
    facts = {"summary": "1 engine, by trtexec"}
    return publish(Artifact("result", out, made_by=made_by, facts=facts), result.to_json())


def _row(artifact: Artifact, runs: tuple[Run, ...], profile: Path | None) -> tuple[CandidateResult, int]:
    """Return the engine's row, and the batch size of its first input (1 where the engine has no manifest)."""
    candidate = candidates_of([artifact])[0]
    notes = ["memory not measured: trtexec does not report it"]
    if not artifact.inputs:
        notes.append("batch taken as 1: the engine has no manifest")
    nodes: Sequence[NodeTime] = ()
    if profile is None:
        notes.append("time per node not measured: no --profile")
    else:
        nodes, profile_notes = read_profile(profile)
        notes += profile_notes
    inputs = {spec.name: spec.at("opt") for spec in artifact.inputs}
    shape = next(iter(inputs.values()), ())
    row = CandidateResult(
        name=candidate.key,
        role=candidate.network.role,
        precision=candidate.network.precision,
        engine_sha256=artifact.sha256,
        onnx_sha256=candidate.onnx_sha256,
        inputs=inputs,
        runs=runs,
        cost=candidate.network.cost,
        onnx_bytes=candidate.network.onnx_bytes,
        engine_bytes=artifact.path.stat().st_size,
        notes=tuple(notes),
        nodes=tuple(nodes),
    )
    return row, shape[0] if shape else 1


def read_times(path: Path, tensorrt: str, warmup_ms: float = WARMUP_MS) -> tuple[Run, str]:
    """Read what ``--exportTimes`` wrote.

    Args:
        path: The file.
        tensorrt: The release that wrote it: whether the warm-up is in it.
        warmup_ms: trtexec's ``--warmUp``.

    Returns:
        The samples, and the clock that timed them.

    Raises:
        InputError: It is not such a file.
    """
    release = _release(tensorrt)
    records = _records(path, "--exportTimes")
    if any("endToEndMs" in record for record in records) and release > _END_TO_END_UNTIL:
        raise InputError(
            f"{path} has endToEndMs, which trtexec wrote up to 8.2; --tensorrt {tensorrt} is not its release"
        )
    kept = records
    if release < _NO_WARMUP_SINCE:
        kept = [r for i, r in enumerate(records) if _number(path, r, i, "startComputeMs") >= warmup_ms]
    if not kept:
        raise InputError(
            f"{path} has no inference after the warm-up of {warmup_ms:g} ms; give trtexec a longer --duration"
        )
    samples_ns, moves = [], False
    for index, record in enumerate(kept):
        latency_ms, *parts_ms = (_number(path, record, index, name) for name in ("latencyMs", *_PARTS))
        if latency_ms <= 0 or not math.isclose(latency_ms, sum(parts_ms), rel_tol=_SUM_TOLERANCE, abs_tol=1e-5):
            parts = f"{' + '.join(_PARTS)} = {sum(parts_ms):g}"
            raise InputError(
                f"{path}, record {index}: latencyMs {latency_ms:g} is not {parts}, and above 0; give a file that "
                "trtexec --exportTimes wrote"
            )
        samples_ns.append(max(round(latency_ms * 1e6), 1))
        moves |= bool(parts_ms[0] or parts_ms[2])
    blocks = np.array_split(np.array(samples_ns), min(_BLOCKS, len(samples_ns)))
    clock = f"{CLOCK}, transfers {'included' if moves else 'left out'}"
    written = {str(record.get("clock", clock)) for record in kept}  # of edgekd's own writer
    if len(written) > 1:
        raise InputError(f"{path} has records of several clocks: {', '.join(sorted(written))}; give one run's file")
    return Run(tuple(tuple(int(ns) for ns in block) for block in blocks), len(records) - len(kept)), written.pop()


def read_profile(path: Path) -> tuple[tuple[NodeTime, ...], list[str]]:
    """Read what ``--exportProfile`` wrote.

    Returns:
        The layers in the engine's order, without a scatter, which the file does not tell; and what people should know.

    Raises:
        InputError: It is not such a file.
    """
    head, *layers = _records(path, "--exportProfile")
    count = _number(path, head, 0, "count")
    if not layers or count < 1:
        raise InputError(f"{path} has {len(layers)} layers over {count:g} inferences; a whole profile was expected")
    time = "medianMs" if all("medianMs" in layer for layer in layers) else "averageMs"
    nodes = []
    for index, layer in enumerate(layers, 1):
        if not isinstance(layer.get("name"), str):
            raise InputError(f"{path}, record {index} has no name; a layer of --exportProfile was expected")
        nodes.append(NodeTime(layer["name"], "", _number(path, layer, index, time)))
    mean = "" if time == "medianMs" else "; means, not medians: trtexec before 8.4 tells no others"
    return tuple(nodes), [f"time per node is trtexec's, over {count:g} inferences{mean}"]


def _runs(files: TrtexecFiles) -> tuple[tuple[Run, ...], str]:
    found = [read_times(path, files.tensorrt, files.warmup_ms) for path in files.times]
    clocks = sorted({clock for _, clock in found})
    if len(clocks) > 1:
        raise InputError(f"the times files are of unlike runs: {'; '.join(clocks)}; give those of one trtexec command")
    return tuple(run for run, _ in found), clocks[0]


def _conditions(files: TrtexecFiles, clock: str, batch: int) -> Conditions:
    board = files.target
    if board in family.names("targets"):
        board = family.load("targets", board).TARGET.title
    return Conditions(
        target=board,
        processor=f"GPU of {board}",
        backend="tensorrt",
        libraries={"tensorrt": files.tensorrt},
        threads=1,
        cores=None,
        batch=batch,
        scenario="single_stream",
        clock=clock,
    )


def _release(tensorrt: str) -> tuple[int, int]:
    major, _, rest = tensorrt.partition(".")
    minor = rest.partition(".")[0]
    if not (major.isascii() and major.isdigit() and minor.isascii() and minor.isdigit()):
        raise InputError(f"--tensorrt {tensorrt!r} is no release; one like 8.5.2 was expected, trtexec prints it first")
    return int(major), int(minor)


def _records(path: Path, flag: str) -> list[Mapping[str, Any]]:
    """Read a JSON list of objects, not empty."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as err:
        raise InputError(f"cannot read {path}: {err.strerror}; give the file that trtexec {flag} wrote") from err
    except (ValueError, RecursionError) as err:
        said = " ".join(str(err).split())[:100]
        raise InputError(f"{path} is not JSON ({said}); trtexec {flag} may have been cut short: run it again") from err
    if not isinstance(data, list) or not data or not all(isinstance(record, dict) for record in data):
        kind = f"a list of {len(data)}" if isinstance(data, list) else f"a {type(data).__name__}"
        raise InputError(f"{path} holds {kind}; a list of records, as trtexec {flag} writes it, was expected")
    return data


def _number(path: Path, record: Mapping[str, Any], index: int, name: str) -> float:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        found = "no such field" if name not in record else repr(value)[:40]
        raise InputError(f"{path}, record {index}: {name} is {found}; a number from 0 up was expected")
    return float(value)
