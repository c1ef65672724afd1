"""The page's texts around the charts: the setup, and the comparison in a few tiles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgekd.core import units
from edgekd.report.conditions import UNAVAILABLE, cores, machine
from edgekd.report.metrics import is_drawable, metric_difference, metric_value, metric_words
from edgekd.report.tables import interval_text
from edgekd.results.compare import Row, compare
from edgekd.results.result import BenchmarkResult, CandidateResult

# MLPerf's names of scenarios, explained.
_SCENARIOS = {
    "single_stream": "one inference after another",
    "multi_stream": "eight samples per query",
    "offline": "all samples at once",
}


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure of the comparison.

    Attributes:
        label: What it is.
        figure: Both values, "122 → 22.0 ms".
        change: Their ratio or difference.
    """

    label: str
    figure: str
    change: str


def setup(result: BenchmarkResult) -> dict[str, str]:
    """Return what was compared, and how it was measured: label → text."""
    c = result.conditions
    libraries = ", ".join(f"{name} {version}" for name, version in c.libraries.items())
    scenario = f"{c.scenario} ({_SCENARIOS[c.scenario]})" if c.scenario in _SCENARIOS else c.scenario
    texts = {
        "Compared": ", ".join(candidate.name for candidate in result.candidates),
        "Machine": f"{machine(c)}: {c.processor}, {cores(c)}",
        "CPU governor": c.governor or UNAVAILABLE,
        "Software": f"{c.backend} ({libraries}), edgekd {result.edgekd}",
        "Workload": f"batch {c.batch}, {scenario}",
        "Inputs": _inputs(result.candidates),
        "Timing": f"{_timing(result)}; clock {c.clock}",
        "Warm-up": _warm_up(result),
    }
    if accuracy := _accuracy(result):
        texts["Accuracy"] = accuracy
    return texts


def tiles(result: BenchmarkResult) -> tuple[Tile, ...]:
    """Compare the last role with the first at the first's precision, else the last candidate with the first.

    Empty for a result of one candidate.
    """
    first = result.candidates[0]
    others = [c for c in result.candidates if c.role != first.role and c.precision == first.precision]
    other = (others or list(result.candidates))[-1]
    if other is first:
        return ()
    row = compare([result], first.name).row(other.name)
    latencies = [units.ms(candidate.percentile_ms(50)) for candidate in (first, other)]
    found = [Tile("Latency (p50)", _from_to(latencies, "ms"), f"{interval_text(row.speedup)} as fast")]
    found += _score_tile(row, first, other, result)
    parameters = [units.count(candidate.cost.get("parameters")) for candidate in (first, other)]
    onnx_mib = [units.mib(candidate.onnx_bytes) for candidate in (first, other)]
    peak_mib = [units.mib(candidate.peak_memory_bytes) for candidate in (first, other)]
    sizes = (
        ("Parameters", "parameters", _from_to(parameters, "")),
        ("ONNX file", "onnx_bytes", _from_to(onnx_mib, "MiB")),
        ("Peak memory", "peak_memory_bytes", _from_to(peak_mib, "MiB")),
    )
    found += [Tile(label, figure, _smaller(row.ratios[key])) for label, key, figure in sizes if row.ratios.get(key)]
    return tuple(found)


def _score_tile(row: Row, first: CandidateResult, other: CandidateResult, result: BenchmarkResult) -> list[Tile]:
    metric = result.primary_metric
    change = row.differences.get(metric)
    if change is None or not is_drawable(change):
        return []
    values = [metric_value(metric, candidate.accuracy[metric]) for candidate in (first, other)]
    # Both values share one unit, which is written once, behind the second.
    unit = metric_value(metric, other.accuracy[metric], unit=True).removeprefix(values[1]).strip()
    sign = "−" if change < 0 else "+"
    words = metric_words(metric, result.reference)
    label = words if words[1:2].isupper() else words[:1].upper() + words[1:]  # "mIoU" keeps its case
    return [Tile(label, _from_to(values, unit), f"{sign}{metric_difference(metric, abs(change))}")]


def _from_to(values: Iterable[str], unit: str) -> str:
    return f"{' → '.join(values)} {unit}".strip()


def _smaller(ratio: float) -> str:
    """Return "6.99x smaller", "1.20x larger", "same size"."""
    text = units.ratio(1 / ratio if ratio < 1 else ratio)
    # By the rounded text: "1.00x smaller" would be read as a difference.
    return "same size" if float(text.removesuffix("x")) == 1 else f"{text} {'smaller' if ratio < 1 else 'larger'}"


def _inputs(candidates: Iterable[CandidateResult]) -> str:
    found = []
    for candidate in candidates:
        found += [f"{name} {'x'.join(map(str, shape))}" for name, shape in candidate.inputs.items()]
    return ", ".join(dict.fromkeys(found))  # candidates of one pair have the same inputs


def _timing(result: BenchmarkResult) -> str:
    inferences = [len(candidate.latencies_ms) for candidate in result.candidates]
    rounds = [sum(len(run.blocks_ns) for run in candidate.runs) for candidate in result.candidates]
    processes = max(len(candidate.runs) for candidate in result.candidates)
    where = f"{processes} separate processes" if processes > 1 else "one process"
    order = "" if len(result.candidates) == 1 else ", candidates timed interleaved (A B B A)"
    return f"{where}, {_span(rounds)} rounds{order}; {_span(inferences)} inferences per candidate"


def _warm_up(result: BenchmarkResult) -> str:
    runs = [run for candidate in result.candidates for run in candidate.runs]
    unsteady = sum(not run.is_steady for run in runs)
    end = f"{unsteady} of {len(runs)} ended before latency was steady" if unsteady else "latency was steady after each"
    iterations = _span([run.warmup_iterations for run in runs])
    return f"{iterations} inferences per candidate and process, discarded; {end}"


def _accuracy(result: BenchmarkResult) -> str:
    counts = {len(c.accuracy_per_sample.get(result.primary_metric, ())) for c in result.candidates} - {0}
    if not counts:
        return ""
    reference = result.reference
    how = f"agreement with {reference}, no ground truth" if reference else "scored against ground truth"
    return f"{_span(list(counts))} samples; {how}"


def _span(counts: list[int]) -> str:
    least, most = min(counts), max(counts)
    return str(least) if least == most else f"{least} to {most}"
