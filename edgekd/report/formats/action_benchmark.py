"""A result as JSON for github-action-benchmark, tool customSmallerIsBetter: median latency and sizes.

Source: the action's README, "customSmallerIsBetter".
"""

from __future__ import annotations

import json
from typing import Any

from edgekd.core.previews import Previews
from edgekd.report.figures import figures
from edgekd.results.result import BenchmarkResult

FILE_NAME = "report.action-benchmark.json"
READ_BY = "github-action-benchmark, tool customSmallerIsBetter"


def render(result: BenchmarkResult, previews: Previews | None = None) -> str:
    """Return the JSON; smaller is better in every entry."""
    entries: list[dict[str, Any]] = []
    for line, candidate in zip(figures(result), result.candidates, strict=True):
        name, (low_ms, high_ms) = f"{result.title}/{candidate.name}", line.median_ms
        entries.append(
            {
                "name": f"{name}: latency",
                "unit": "ms",
                "value": line.p50_ms,
                "range": f"± {(high_ms - low_ms) / 2:.3g}",
                "extra": f"95 % CI {low_ms:.6g} to {high_ms:.6g} ms, {len(candidate.runs)} processes",
            }
        )
        sizes = {"engine": candidate.engine_bytes, "peak memory": candidate.peak_memory_bytes}
        entries += [{"name": f"{name}: {key}", "unit": "bytes", "value": size} for key, size in sizes.items() if size]
    return json.dumps(entries, indent=1) + "\n"
