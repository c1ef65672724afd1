"""A result in Bencher Metric Format: latency in ns, throughput in operations a second, sizes in bytes.

Source: Bencher's documentation, "Bencher Metric Format (BMF)".
"""

from __future__ import annotations

import json

from edgekd.core.samples import Samples
from edgekd.report.figures import figures
from edgekd.results.result import BenchmarkResult

FILE_NAME = "report.bencher.json"
MACHINES_READ = "Bencher, with its json adapter"


def render(result: BenchmarkResult, pictures: Samples | None = None) -> str:
    """Return the JSON. Pictures are for other formats."""
    benchmarks: dict[str, dict[str, dict[str, float]]] = {}
    for line, candidate in zip(figures(result), result.candidates, strict=True):
        low_ms, high_ms = line.median_ms
        least, most = line.throughput_interval_per_s
        measures = {
            "latency": {"value": line.p50_ms * 1e6, "lower_value": low_ms * 1e6, "upper_value": high_ms * 1e6},
            "throughput": {"value": line.throughput_per_s, "lower_value": least, "upper_value": most},
        }
        sizes = {"file-size": candidate.engine_bytes, "peak-memory": candidate.peak_memory_bytes}
        measures |= {name: {"value": float(size)} for name, size in sizes.items() if size}
        if line.score is not None and line.score == line.score:
            measures[result.primary_metric.replace("_", "-")] = {"value": line.score}
        benchmarks[f"{result.title}/{candidate.name}"] = measures
    return json.dumps(benchmarks, indent=1) + "\n"
