"""What a benchmark found: raw samples, cost, memory, accuracy, and the conditions they were taken under.

Percentiles, ratios and intervals are derived from the raw samples, never stored in their stead. ``result.json`` has a
schema number; every schema ever written stays readable.

Schema history: 1, first. 2, metrics of a whole set (``BenchmarkResult.set_metrics``); ``agreement_`` before a metric.
3, several processes, and whether each warm-up ended steady (``Run.is_steady``). 4, stages, samples per query, streams,
a yardstick, what a board tells of itself, what was seen around each block, energy, and time per node.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.core.artifact import read_json
from edgekd.core.conditions import Conditions, Watched
from edgekd.core.errors import IntegrityError, NotComparable, RecipeError
from edgekd.core.numerics import FloatArray, percentile
from edgekd.core.schema import parse
from edgekd.results.energy import Energy

RESULT_SCHEMA = 4
# Every one that was ever written: what a newer one has more is empty in an older file.
_READABLE = (1, 2, 3, 4)

# Before a metric's name: it was worked out with the first candidate's answers for truth. Agreement, not accuracy.
AGREEMENT = "agreement_"

# From the camera's picture to the answer; ``end_to_end`` is the three before it, what follows is inside ``inference``.
STAGES = ("preprocess", "inference", "postprocess", "end_to_end", "h2d", "compute", "d2h")


@dataclass(frozen=True, slots=True)
class Run:
    """One candidate's raw latencies in one process: a tuple a block, in the order they were taken.

    Attributes:
        blocks_ns: Latency of each inference, nanoseconds; block i of every candidate ran in round i.
        warmup_iterations: Inferences discarded before the first block.
        is_steady: Whether latency had settled when the warm-up ended; False where its longest time ran out first.
        watched: What the machine told around each block.
        refused: One a block: the rule that its round broke, "" where it broke none; empty where no round did. A refused
            block stays in ``blocks_ns`` and enters no figure, of any candidate.
    """

    blocks_ns: tuple[tuple[int, ...], ...]
    warmup_iterations: int
    is_steady: bool = True
    watched: Watched = field(default_factory=Watched)
    refused: tuple[str, ...] = ()

    @property
    def kept_ns(self) -> tuple[tuple[int, ...], ...]:
        """The blocks that figures are made of: all that were not refused."""
        if not self.refused:
            return self.blocks_ns
        return tuple(block for block, rule in zip(self.blocks_ns, self.refused, strict=True) if not rule)


@dataclass(frozen=True, slots=True)
class NodeTime:
    """One node of an engine, timed by its library with profiling on, which slows it.

    Attributes:
        name, op: The library's own name and word for it; ``op`` is "" where it tells none.
        median_ms: Over the profiled inferences.
        mad_ms: Median absolute deviation from it; None where the profile keeps none.
    """

    name: str
    op: str
    median_ms: float
    mad_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One engine that was measured.

    Attributes:
        name: "<role>/<scheme>", unique in a result.
        role: "teacher", "student" or "model" (a foreign ONNX file).
        precision: The quantize scheme.
        engine_sha256, onnx_sha256: What was run, and what it was built from.
        inputs: Input name → shape, as fed.
        runs: Raw samples, one entry a process.
        cost: Counted on the ONNX graph before quantization: ``parameters``, ``macs``, ``flops`` ...
        onnx_bytes, engine_bytes: File sizes.
        peak_memory_bytes: Peak resident set of a fresh process that only runs this engine; None with a note if unknown.
        idle_memory_bytes: The same process before it opened the engine.
        accuracy: Metric → its figure over all evaluation samples (empty where there are none): the mean, or what the
            result's ``set_metrics`` name. A metric that begins with "agreement_" is no accuracy: the first
            candidate's answers stood in for the truth.
        accuracy_per_sample: Metric → one figure per evaluation sample.
        notes: What people should know: fallbacks, refusals, assumptions.
        samples_per_query: How many samples one latency is of; see ``bench.scenarios``.
        stages_ns: Stage, of ``STAGES`` → a tuple a process of one picture's raw times; empty where nobody knows the
            task, ``h2d``, ``compute`` and ``d2h`` missing where the library cannot time the device.
        energy: Of one inference; None with a note where there is no sensor.
        nodes: Time of each node, in the engine's order, from a profile of its own; empty, with a note, where there is
            none.
    """

    name: str
    role: str
    precision: str
    engine_sha256: str
    onnx_sha256: str
    inputs: Mapping[str, tuple[int, ...]]
    runs: tuple[Run, ...]
    cost: Mapping[str, float] = field(default_factory=dict)
    onnx_bytes: int = 0
    engine_bytes: int = 0
    peak_memory_bytes: int | None = None
    idle_memory_bytes: int | None = None
    accuracy: Mapping[str, float] = field(default_factory=dict)
    accuracy_per_sample: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    samples_per_query: int = 1
    stages_ns: Mapping[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    energy: Energy | None = None
    nodes: tuple[NodeTime, ...] = ()

    @property
    def kept_ns(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """The blocks that figures are made of, one tuple a process; one whose rounds were all refused is left out."""
        return tuple(kept for run in self.runs if (kept := run.kept_ns))

    @property
    def latencies_ms(self) -> FloatArray:
        """All raw latencies that were not refused, (samples,) float64 milliseconds."""
        return np.array([ns for blocks in self.kept_ns for block in blocks for ns in block], np.float64) / 1e6

    @property
    def block_medians_ms(self) -> tuple[FloatArray, ...]:
        """One array a process, (blocks,) float64: the median latency of each block, to be paired with another's."""
        return tuple(np.array([np.median(block) for block in blocks], np.float64) / 1e6 for blocks in self.kept_ns)

    @property
    def block_means_ms(self) -> tuple[FloatArray, ...]:
        """One array a process, (blocks,) float64: each block's mean time of a sample, throughput's inverse."""
        scale = 1e6 * self.samples_per_query
        return tuple(np.array([np.mean(block) for block in blocks], np.float64) / scale for blocks in self.kept_ns)

    def percentile_ms(self, p: float) -> float:
        """Return the ``p``-th latency percentile in milliseconds, by trtexec's nearest rank."""
        return percentile(self.latencies_ms, p)

    @property
    def nodes_ms(self) -> float:
        """Sum of all nodes' medians, which profiling has slowed: never the latency."""
        return sum(node.median_ms for node in self.nodes)

    @property
    def throughput_per_s(self) -> float:
        """Samples per second, back to back: all there were over the sum of their queries' latencies."""
        latencies = self.latencies_ms
        return 1000.0 * len(latencies) * self.samples_per_query / float(latencies.sum())


@dataclass(frozen=True, slots=True)
class EngineRow:
    """One engine that was built, or refused: what the library said.

    Attributes:
        candidate: "<role>/<scheme>".
        backend: Which library.
        ok: Whether it built.
        notice: What must be said wherever this row is shown.
        summary: The library's words in one line.
        facts: Layer counts, INT8 convolutions, the file's size.
    """

    candidate: str
    backend: str
    ok: bool
    notice: str
    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """A whole result file.

    Attributes:
        title: The pair, or the foreign file's name.
        edgekd: The version that measured.
        conditions: Of all candidates alike.
        candidates: The first is what the others are compared with.
        engines: Every engine any backend built or refused.
        baseline_accuracy: The score of doing without a network (bicubic), where the task has one.
        primary_metric: Which accuracy figure stands in tables; "" where there is none.
        steps: What each stage did for each role, in one line: exporter used, parity, what simplify did.
        notes: For the whole result.
        baseline_per_sample: ``baseline_accuracy``, one figure per evaluation sample.
        yardstick: Runs of the fixed network that took its turn in every round, see ``bench.yardstick``; run i is of the
            same process as run i of every candidate. Empty where there was none.
        yardstick_sha256: Of that network's ONNX file: only with the same one can another result be held against it.
        no_energy: Why the energy of some or all is not known; "" where it is.
        set_metrics: Metrics whose figure is worked out from all samples at once (mean IoU of one confusion matrix), so
            that it is no mean over ``accuracy_per_sample``.
    """

    title: str
    edgekd: str
    conditions: Conditions
    candidates: tuple[Candidate, ...]
    engines: tuple[EngineRow, ...] = ()
    baseline_accuracy: Mapping[str, float] = field(default_factory=dict)
    primary_metric: str = ""
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    baseline_per_sample: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    set_metrics: tuple[str, ...] = ()
    yardstick: tuple[Run, ...] = ()
    yardstick_sha256: str = ""
    no_energy: str = ""

    @property
    def reference(self) -> str:
        """Whose answers stood in for the truth: the first candidate's name, "" where there was truth (or no score)."""
        return self.candidates[0].name if self.primary_metric.startswith(AGREEMENT) else ""

    def candidate(self, name: str) -> Candidate:
        """Return the candidate called ``name``. Raises NotComparable where there is none."""
        for candidate in self.candidates:
            if candidate.name == name:
                return candidate
        raise NotComparable(
            f"{self.title} has no candidate {name!r}; it has {', '.join(c.name for c in self.candidates)}"
        )

    def to_json(self) -> str:
        """Return the text of ``result.json``."""
        return json.dumps({"schema": RESULT_SCHEMA, **_plain(self)}, indent=1) + "\n"


def read_result(path: Path) -> BenchmarkResult:
    """Read a ``result.json``.

    Raises:
        IntegrityError: It is not one, or is of a schema this edgekd does not know.
    """
    data = read_json(path)
    if not isinstance(data, dict) or "schema" not in data:
        raise IntegrityError(f"{path} is not an edgekd result: it has no schema number; give a result.json")
    if (schema := data.pop("schema")) not in _READABLE or isinstance(schema, bool):
        known = f"{_READABLE[0]} to {_READABLE[-1]}"
        raise IntegrityError(f"{path} has schema {schema!r}; this edgekd reads {known}: measure again")
    try:
        result = parse(BenchmarkResult, _with_nan(data), "result")
    except RecipeError as err:
        raise IntegrityError(f"{path} is not an edgekd result: {err}") from err
    if not result.candidates:
        raise IntegrityError(f"{path} holds no candidate; measure again")
    timed = [(candidate.name, candidate.runs) for candidate in result.candidates]
    for name, runs in [*timed, *([("the yardstick", result.yardstick)] if result.yardstick else [])]:
        blocks = [block for run in runs for block in run.blocks_ns]
        if not blocks or not all(block and min(block) > 0 for block in blocks):
            raise IntegrityError(
                f"{path} is not an edgekd result: {name!r} has no samples in a block, or one not above 0 ns"
            )
        if not _is_whole(runs):
            raise IntegrityError(
                f"{path} is not an edgekd result: what {name!r} says of its blocks is not one entry a block, "
                "or every block was refused"
            )
    for candidate in result.candidates:
        times_ms = [time_ms for node in candidate.nodes for time_ms in (node.median_ms, node.mad_ms or 0.0)]
        if not all(0 <= time_ms < math.inf for time_ms in times_ms):
            raise IntegrityError(f"{path} is not an edgekd result: a node of {candidate.name!r} took less than 0 ms")
    return result


def _is_whole(runs: Sequence[Run]) -> bool:
    """Whether what is told of blocks has one entry for each, and some block was not refused."""
    whole = all(
        len(column) in (0, len(run.blocks_ns))
        for run in runs
        for column in (run.refused, *run.watched.columns.values())
    )
    return whole and any(run.kept_ns for run in runs)


def _with_nan(data: dict[str, Any]) -> dict[str, Any]:
    """Turn the nulls of accuracy figures back into the NaN that JSON cannot hold."""
    candidates = data.get("candidates")
    holders = [data, *(candidates if isinstance(candidates, list) else ())]
    for holder in filter(lambda item: isinstance(item, dict), holders):
        for name in ("accuracy", "accuracy_per_sample", "baseline_accuracy", "baseline_per_sample"):
            if name in holder:
                holder[name] = _null_to_nan(holder[name])
    return data


def _null_to_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: math.nan if item is None else _null_to_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [math.nan if item is None else item for item in value]
    return value


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else math.copysign(1e308, value)
    return value
