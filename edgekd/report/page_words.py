"""The page's words around the charts: what was compared and how, and the comparison at a glance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgekd.core import units
from edgekd.report.figures import cores, interval_text, is_drawable, machine, metric_amount, metric_value, metric_words
from edgekd.results.compare import Row, compare
from edgekd.results.result import BenchmarkResult, Candidate

# MLPerf's names, in words.
_SCENARIOS = {
    "single_stream": "one inference after another",
    "multi_stream": "eight samples a query",
    "offline": "all samples at once",
}


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure at a glance: what it is, "122 → 22.0 ms", and what that comes to."""

    label: str
    figure: str
    change: str


def setup(result: BenchmarkResult) -> dict[str, str]:
    """Say what was compared, and under which conditions."""
    c = result.conditions
    governor = f"governor {c.governor}" if c.governor else "governor not told by this machine"
    libraries = [f"{name} {version}" for name, version in c.libraries.items()]
    scenario = f"{c.scenario} ({_SCENARIOS[c.scenario]})" if c.scenario in _SCENARIOS else c.scenario
    return {
        "Compared": ", ".join(candidate.name for candidate in result.candidates),
        "Machine": f"{machine(c)}: {c.processor}, {cores(c)}, {governor}",
        "Software": f"{c.backend} ({', '.join(libraries)}), edgekd {result.edgekd}",
        "Workload": f"batch {c.batch}, {scenario}, fed {_fed(result.candidates)}",
        "Timing": f"{_timing(result)}; clock {c.clock}",
        "Warm-up": _warm_up(result),
        **({"Scored on": scored} if (scored := _scored(result)) else {}),
    }


def glance(result: BenchmarkResult) -> tuple[Tile, ...]:
    """Set the last role beside the first at the first's precision, or else the last candidate; empty of one alone."""
    first = result.candidates[0]
    others = [c for c in result.candidates if c.role != first.role and c.precision == first.precision]
    other = (others or list(result.candidates))[-1]
    if other is first:
        return ()
    row = compare([result], first.name).row(other.name)
    latencies = [units.ms(candidate.percentile_ms(50)) for candidate in (first, other)]
    tiles = [Tile("Latency (p50)", _from_to(latencies, "ms"), f"{interval_text(row.speedup)} as fast")]
    tiles += _score(row, first, other, result)
    sizes = (
        (
            "Parameters",
            "parameters",
            units.count(first.cost.get("parameters")),
            units.count(other.cost.get("parameters")),
            "",
        ),
        ("ONNX file", "onnx_bytes", units.mib(first.onnx_bytes), units.mib(other.onnx_bytes), "MiB"),
        (
            "Peak memory",
            "peak_memory_bytes",
            units.mib(first.peak_memory_bytes),
            units.mib(other.peak_memory_bytes),
            "MiB",
        ),
    )
    return (
        *tiles,
        *(
            Tile(label, _from_to((a, b), unit), _smaller(row.ratios[key]))
            for label, key, a, b, unit in sizes
            if row.ratios.get(key)
        ),
    )


def _score(row: Row, first: Candidate, other: Candidate, result: BenchmarkResult) -> list[Tile]:
    metric = result.primary_metric
    change = row.differences.get(metric)
    if change is None or not is_drawable(change):
        return []
    values = [metric_value(metric, candidate.accuracy[metric]) for candidate in (first, other)]
    unit = metric_value(metric, other.accuracy[metric], unit=True).removeprefix(values[1]).strip()
    sign = "−" if change < 0 else "+"
    words = metric_words(metric, result.reference)
    label = words if words[1:2].isupper() else words[:1].upper() + words[1:]  # mIoU is a name
    return [Tile(label, _from_to(values, unit), f"{sign}{metric_amount(metric, abs(change))}")]


def _from_to(values: Iterable[str], unit: str) -> str:
    return f"{' → '.join(values)} {unit}".strip()


def _smaller(ratio: float) -> str:
    """Say "6.99x smaller", "1.20x larger", "as large"."""
    text = units.ratio(1 / ratio if ratio < 1 else ratio)
    return "as large" if float(text.removesuffix("x")) == 1 else f"{text} {'smaller' if ratio < 1 else 'larger'}"


def _fed(candidates: Iterable[Candidate]) -> str:
    fed = (f"{name} {'x'.join(map(str, shape))}" for c in candidates for name, shape in c.inputs.items())
    return ", ".join(dict.fromkeys(fed))


def _timing(result: BenchmarkResult) -> str:
    counts = [len(candidate.latencies_ms) for candidate in result.candidates]
    rounds = [sum(len(run.blocks_ns) for run in candidate.runs) for candidate in result.candidates]
    processes = max(len(candidate.runs) for candidate in result.candidates)
    turns = "" if len(result.candidates) == 1 else ", in each of which every candidate took its turn"
    where = f"{processes} fresh processes" if processes > 1 else "one process"
    return f"{where}, {_span(rounds)} rounds{turns}; {_span(counts)} inferences a candidate"


def _warm_up(result: BenchmarkResult) -> str:
    runs = [run for candidate in result.candidates for run in candidate.runs]
    unsettled = sum(not run.is_steady for run in runs)
    ended = f"{unsettled} of {len(runs)} had not settled when their time ran out" if unsettled else "all had settled"
    counts = _span([run.warmup_iterations for run in runs])
    return f"{counts} inferences of each candidate discarded in each process; {ended}"


def _scored(result: BenchmarkResult) -> str:
    counts = {len(c.accuracy_per_sample.get(result.primary_metric, ())) for c in result.candidates} - {0}
    if not counts:
        return ""
    truth = f"the answers of {result.reference} stand in for the truth" if result.reference else "the truth is known"
    return f"{_span(list(counts))} samples; {truth}"


def _span(counts: list[int]) -> str:
    least, most = min(counts), max(counts)
    return str(least) if least == most else f"{least} to {most}"
