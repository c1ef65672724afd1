"""The result of a benchmark: raw samples, cost, memory, accuracy, and the conditions they were measured under.

``result.json`` stores raw samples; percentiles, ratios and intervals are computed from them on demand. The file has a
schema number, and every schema ever written stays readable (``results.old_schemas``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.core.artifact import read_json
from edgekd.core.conditions import BlockConditions, Conditions
from edgekd.core.errors import IntegrityError, NotComparable, RecipeError
from edgekd.core.family import load_module
from edgekd.core.numerics import FloatArray, percentile
from edgekd.core.schema import parse
from edgekd.results.energy import Energy
from edgekd.results.old_schemas import upgrade

RESULT_SCHEMA = 5

# Prefix of a metric that was scored against the first candidate's outputs instead of ground truth.
AGREEMENT = "agreement_"

# Steps of one image. ``end_to_end`` is the sum of the three before it; those after it are parts of ``inference``.
END_TO_END = ("preprocess", "inference", "postprocess", "end_to_end", "h2d", "compute", "d2h")


@dataclass(frozen=True, slots=True)
class Run:
    """One candidate's raw latencies in one process, one tuple per block, in the order of measurement.

    Attributes:
        blocks_ns: Latency of each inference in nanoseconds; block i of every candidate ran in round i.
        warmup_iterations: Inferences discarded before the first block.
        is_steady: Whether latency had settled when the warm-up ended; False if the warm-up reached its time limit.
        block_conditions: Temperature, clocks and background load around each block.
        refused: For each block, the rule that its round violated, "" if none; empty if no round violated a rule. A
            refused block stays in ``blocks_ns``, but no figure of any candidate uses it.
    """

    blocks_ns: tuple[tuple[int, ...], ...]
    warmup_iterations: int
    is_steady: bool = True
    block_conditions: BlockConditions = field(default_factory=BlockConditions)
    refused: tuple[str, ...] = ()

    @property
    def kept_ns(self) -> tuple[tuple[int, ...], ...]:
        """The blocks that figures are computed from: those that were not refused."""
        if not self.refused:
            return self.blocks_ns
        return tuple(block for block, rule in zip(self.blocks_ns, self.refused, strict=True) if not rule)


@dataclass(frozen=True, slots=True)
class NodeTime:
    """Time of one node of an engine, measured by the engine library's profiler, which slows the engine down.

    Attributes:
        name, op: As the library reports them; ``op`` is "" if it reports none.
        median_ms: Over the profiled inferences.
        mad_ms: Median absolute deviation from the median; None if the profile does not contain it.
    """

    name: str
    op: str
    median_ms: float
    mad_ms: float | None = None


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """One engine that was measured.

    Attributes:
        name: Unique in a result, such as "student/int8".
        role: "teacher", "student" or "model" (an ONNX file from elsewhere).
        precision: The quantization scheme.
        engine_sha256, onnx_sha256: The engine, and the ONNX file it was built from.
        inputs: Input name → shape of the array that was fed.
        runs: Raw samples, one entry per process.
        cost: Counted on the ONNX graph before quantization: ``parameters``, ``macs``, ``flops`` ...
        onnx_bytes, engine_bytes: File sizes.
        peak_memory_bytes: Peak resident set of a fresh process that runs only this engine; None with a note if unknown.
        idle_memory_bytes: Resident set of the same process before it opened the engine.
        accuracy: Metric → figure over all evaluation samples, a mean unless the result's ``set_metrics`` names the
            metric; empty without evaluation samples. A metric with the prefix "agreement_" compares with the first
            candidate's outputs and is no accuracy.
        accuracy_per_sample: Metric → one figure per evaluation sample.
        notes: Fallbacks, refusals and assumptions, one sentence each.
        samples_per_query: Samples in one timed query; see ``bench.scenarios``.
        end_to_end_ns: Step of ``END_TO_END`` → one tuple per process of raw times of one image; empty if the task is
            unknown. ``h2d``, ``compute`` and ``d2h`` are missing if the library cannot time the device.
        energy: Per inference; None with a note if there is no sensor.
        nodes: Time of each node, in the engine's order, from a separate profiling run; empty with a note if there was
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
    end_to_end_ns: Mapping[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    energy: Energy | None = None
    nodes: tuple[NodeTime, ...] = ()

    @property
    def key(self) -> str:
        """What identifies this candidate in a result: its name."""
        return self.name

    @property
    def kept_ns(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """The blocks that figures are computed from, one tuple per process that has any."""
        return tuple(kept for run in self.runs if (kept := run.kept_ns))

    @property
    def latencies_ms(self) -> FloatArray:
        """All raw latencies that were not refused: (samples,) float64 milliseconds."""
        return np.array([ns for blocks in self.kept_ns for block in blocks for ns in block], np.float64) / 1e6

    @property
    def block_medians_ms(self) -> tuple[FloatArray, ...]:
        """Median latency of each block: one (blocks,) float64 array per process."""
        return tuple(np.array([np.median(block) for block in blocks], np.float64) / 1e6 for blocks in self.kept_ns)

    @property
    def block_means_ms(self) -> tuple[FloatArray, ...]:
        """Mean time of a sample in each block, the inverse of throughput: one (blocks,) float64 array per process."""
        scale = 1e6 * self.samples_per_query
        return tuple(np.array([np.mean(block) for block in blocks], np.float64) / scale for blocks in self.kept_ns)

    def percentile_ms(self, p: float) -> float:
        """Return the ``p``-th latency percentile in milliseconds, by trtexec's nearest rank."""
        return percentile(self.latencies_ms, p)

    @property
    def nodes_ms(self) -> float:
        """Sum of all nodes' medians. Profiling slows the engine, so this is not its latency."""
        return sum(node.median_ms for node in self.nodes)

    @property
    def throughput_per_s(self) -> float:
        """Samples per second back to back: number of samples over the sum of their queries' latencies."""
        latencies = self.latencies_ms
        return 1000.0 * len(latencies) * self.samples_per_query / float(latencies.sum())


@dataclass(frozen=True, slots=True)
class EngineRow:
    """One engine that was built, or that the engine library refused to build.

    Attributes:
        candidate: Name of the candidate, such as "student/int8".
        backend: The engine library.
        ok: Whether the build succeeded.
        caveat: What must be shown wherever this row is shown.
        summary: The build log in one line.
        facts: Layer counts, INT8 convolutions, file size.
    """

    candidate: str
    backend: str
    ok: bool
    caveat: str
    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long one stage of the run took.

    Attributes:
        name: Stage, and whose: "export student".
        seconds: Wall time.
    """

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """A whole result file.

    Attributes:
        title: The pair, or the name of the ONNX file.
        edgekd: Version of edgekd that measured.
        conditions: Equal for all candidates.
        candidates: At least one; the others are compared with the first.
        engines: Every engine that any backend built or refused.
        baseline_accuracy: Scores of the no-network baseline (such as bicubic), if the task has one.
        primary_metric: The accuracy figure that tables show; "" if nothing was scored.
        steps: Outcome of each stage for each role, one line each: exporter, parity, simplification.
        notes: For the whole result.
        baseline_per_sample: ``baseline_accuracy``, one figure per evaluation sample.
        set_metrics: Metrics computed from all samples at once (mean IoU of one confusion matrix), which are not means
            of ``accuracy_per_sample``.
        reference_workload: Runs of a fixed network that was timed in every round, see ``bench.reference_workload``; run
            i is of the same process as run i of every candidate. Empty if it was not timed.
        reference_workload_sha256: Of that network's ONNX file. Only results with the same one can be compared by it.
        energy_unavailable: Why some or all candidates have no energy; "" if all have.
        stage_seconds: How long each stage of the run took, in order; stages that were skipped are missing.
    """

    title: str
    edgekd: str
    conditions: Conditions
    candidates: tuple[CandidateResult, ...]
    engines: tuple[EngineRow, ...] = ()
    baseline_accuracy: Mapping[str, float] = field(default_factory=dict)
    primary_metric: str = ""
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    baseline_per_sample: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    set_metrics: tuple[str, ...] = ()
    reference_workload: tuple[Run, ...] = ()
    reference_workload_sha256: str = ""
    energy_unavailable: str = ""
    stage_seconds: tuple[StageTime, ...] = ()

    @property
    def reference(self) -> str:
        """Name of the candidate whose outputs replaced ground truth; "" if there was ground truth, or no score."""
        return self.candidates[0].name if self.primary_metric.startswith(AGREEMENT) else ""

    def candidate(self, name: str) -> CandidateResult:
        """Return the candidate called ``name``.

        Raises:
            NotComparable: There is none.
        """
        for candidate in self.candidates:
            if candidate.name == name:
                return candidate
        raise NotComparable(
            f"{self.title} has no candidate {name!r}; it has {', '.join(c.name for c in self.candidates)}"
        )

    def to_json(self) -> str:
        """Return the text of ``result.json``."""
        return json.dumps({"schema": RESULT_SCHEMA, **_plain(self)}, indent=1) + "\n"

    def _repr_html_(self) -> str:
        # Notebooks look for this name. The report room lies above this one, so it is loaded by name.
        page: str = load_module("edgekd.report.notebook").result_html(self)
        return page


def read_result(path: Path) -> BenchmarkResult:
    """Read a ``result.json`` of any schema.

    Raises:
        IntegrityError: The file is not a result, or its schema is newer than this edgekd.
    """
    data = read_json(path)
    if not isinstance(data, dict) or "schema" not in data:
        raise IntegrityError(f"{path} is not an edgekd result: it has no schema number; give a result.json")
    schema = data.pop("schema")
    if type(schema) is not int or not 1 <= schema <= RESULT_SCHEMA:
        raise IntegrityError(f"{path} has schema {schema!r}; this edgekd reads 1 to {RESULT_SCHEMA}: measure again")
    try:
        result = parse(BenchmarkResult, _null_scores_to_nan(upgrade(data, schema)), "result")
    except RecipeError as err:
        raise IntegrityError(f"{path} is not an edgekd result: {err}") from err
    if not result.candidates:
        raise IntegrityError(f"{path} holds no candidate; measure again")
    if problem := next(_problems(result), ""):
        raise IntegrityError(f"{path} is not an edgekd result: {problem}")
    return result


def _problems(result: BenchmarkResult) -> Iterator[str]:
    """Yield what is wrong with values that have the right type."""
    timed = [(repr(candidate.name), candidate.runs) for candidate in result.candidates]
    if result.reference_workload:
        timed.append(("the reference workload", result.reference_workload))
    for name, runs in timed:
        blocks = [block for run in runs for block in run.blocks_ns]
        if not blocks or not all(block and min(block) > 0 for block in blocks):
            yield f"{name} has no samples in a block, or a sample that is not above 0 ns"
        if not _is_whole(runs):
            yield f"{name} has conditions that are not one entry per block, or every block was refused"
    for candidate in result.candidates:
        times_ms = [time_ms for node in candidate.nodes for time_ms in (node.median_ms, node.mad_ms or 0.0)]
        if not all(0 <= time_ms < math.inf for time_ms in times_ms):
            yield f"a node of {candidate.name!r} has a time that is not 0 ms or more"


def _is_whole(runs: Sequence[Run]) -> bool:
    """Whether conditions have one entry per block, and at least one block was not refused."""
    whole = all(
        len(column) in (0, len(run.blocks_ns))
        for run in runs
        for column in (run.refused, *run.block_conditions.columns.values())
    )
    return whole and any(run.kept_ns for run in runs)


# JSON has no NaN: a score that is NaN is written as null.
_SCORES = ("accuracy", "accuracy_per_sample", "baseline_accuracy", "baseline_per_sample")


def _null_scores_to_nan(data: dict[str, Any]) -> dict[str, Any]:
    """Replace null by NaN in every score of a result's plain data, in place."""
    candidates = data.get("candidates")
    for holder in [data, *(candidates if isinstance(candidates, list) else [])]:
        if not isinstance(holder, dict):
            continue  # the parser names it
        for name in _SCORES:
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
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        # Infinity is not JSON either; 1e308 is the largest power of ten of a double.
        return None if math.isnan(value) else math.copysign(1e308, value)
    return value
