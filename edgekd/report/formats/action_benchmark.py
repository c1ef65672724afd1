"""A result as JSON for github-action-benchmark, tool customSmallerIsBetter: median latency and sizes.

Source: the action's README, "customSmallerIsBetter".
"""

from __future__ import annotations

import json
from typing import Any

from edgekd.core.samples import Samples
from edgekd.report.figures import figures
from edgekd.results.result import BenchmarkResult

FILE_NAME = "report.action-benchmark.json"
MACHINES_READ = "github-action-benchmark, tool customSmallerIsBetter"


def render(result: BenchmarkResult, pictures: Samples | None = None) -> str:
    """Return the JSON: smaller is better in all of it. Pictures are for other formats."""
    entries: list[dict[str, Any]] = []
    for line, candidate in zip(figures(result), result.candidates, strict=True):
        name, (low, high) = f"{result.title}/{candidate.name}", line.median_ms
        extra = f"95 % {low:.6g} to {high:.6g} ms, {len(candidate.runs)} processes"
        entries.append(
            {
                "name": f"{name}: latency",
                "unit": "ms",
                "value": line.p50_ms,
                "range": f"± {(high - low) / 2:.3g}",
                "extra": extra,
            }
        )
        sizes = {"engine": candidate.engine_bytes, "peak memory": candidate.peak_memory_bytes}
        entries += [{"name": f"{name}: {key}", "unit": "bytes", "value": size} for key, size in sizes.items() if size]
    return json.dumps(entries, indent=1) + "\n"
