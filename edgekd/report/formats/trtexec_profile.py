"""One engine's time per node in the format of trtexec's ``--exportProfile``.

A result keeps each node's median, which is written as the time of one inference, as its average and as its median;
``count`` is therefore 1. Source of the format: see ``edgekd.bench.trtexec``.
"""

from __future__ import annotations

import json

from edgekd.core.errors import InputError
from edgekd.core.previews import Previews
from edgekd.report.format import single_candidate
from edgekd.results.result import BenchmarkResult

FILE_NAME = "report.trtexec_profile.json"
READ_BY = "trtexec's profiler.py, and other readers of --exportProfile"
SINGLE_ENGINE = True


def render(result: BenchmarkResult, previews: Previews | None = None) -> str:
    """Return the JSON, one record a line.

    Raises:
        InputError: The result has several engines, or its engine has no profile.
    """
    only = single_candidate(result)
    if not only.nodes:
        raise InputError(f"{only.name} of {result.title} has no time per node; measure it again with profiling")
    whole_ms = only.nodes_ms or 1.0  # all zeros: percentages of 0
    lines = [json.dumps({"count": 1})]
    for node in only.nodes:
        times = dict.fromkeys(("timeMs", "averageMs", "medianMs"), node.median_ms)
        lines.append(json.dumps({"name": node.name, **times, "percentage": 100 * node.median_ms / whole_ms}))
    return "[\n  " + "\n, ".join(lines) + "\n]\n"
