"""A result in Bencher Metric Format: latency in ns, throughput in operations per second, sizes in bytes.

Source: Bencher's documentation, "Bencher Metric Format (BMF)".
"""

from __future__ import annotations

import json
import math

from edgekd.core.previews import Previews
from edgekd.report.figures import figures
from edgekd.results.result import BenchmarkResult

FILE_NAME = "report.bencher.json"
READ_BY = "Bencher, with its json adapter"

_NS_PER_MS = 1e6


def render(result: BenchmarkResult, previews: Previews | None = None) -> str:
    """Return the JSON."""
    benchmarks: dict[str, dict[str, dict[str, float]]] = {}
    for line, candidate in zip(figures(result), result.candidates, strict=True):
        low_ns, high_ns = (end_ms * _NS_PER_MS for end_ms in line.median_ms)
        low_per_s, high_per_s = line.throughput_interval_per_s
        measures = {
            "latency": {"value": line.p50_ms * _NS_PER_MS, "lower_value": low_ns, "upper_value": high_ns},
            "throughput": {"value": line.throughput_per_s, "lower_value": low_per_s, "upper_value": high_per_s},
        }
        sizes = {"file-size": candidate.engine_bytes, "peak-memory": candidate.peak_memory_bytes}
        measures |= {name: {"value": float(size)} for name, size in sizes.items() if size}
        # BMF has no null; names of measures are slugs with dashes.
        if line.score is not None and not math.isnan(line.score):
            measures[result.primary_metric.replace("_", "-")] = {"value": line.score}
        benchmarks[f"{result.title}/{candidate.name}"] = measures
    return json.dumps(benchmarks, indent=1) + "\n"
