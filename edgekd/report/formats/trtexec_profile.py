"""One engine's time per node as trtexec's ``--exportProfile`` has it, for tools that read it.

A result keeps each node's median, which stands here for one inference's time, its average and its median; ``count`` is
1 for that reason. Source of the format: see ``edgekd.bench.trtexec``.
"""

from __future__ import annotations

import json

from edgekd.core.errors import InputError
from edgekd.core.samples import Samples
from edgekd.results.result import BenchmarkResult

FILE_NAME = "report.trtexec_profile.json"
MACHINES_READ = "trtexec's profiler.py, and what else reads --exportProfile"
ONE_ENGINE = True


def render(result: BenchmarkResult, pictures: Samples | None = None) -> str:
    """Return the JSON, a record a line. Pictures are for other formats.

    Raises:
        InputError: The result is of several engines, or of one without a profile.
    """
    if len(result.candidates) > 1:
        names = ", ".join(candidate.name for candidate in result.candidates)
        raise InputError(f"trtexec's format holds one engine, {result.title} has {names}; name one with --candidate")
    only = result.candidates[0]
    if not only.nodes:
        raise InputError(f"{only.name} of {result.title} has no time per node; measure it again")
    whole_ms = only.nodes_ms or 1.0
    lines = [json.dumps({"count": 1})]
    for node in only.nodes:
        times = dict.fromkeys(("timeMs", "averageMs", "medianMs"), node.median_ms)
        lines.append(json.dumps({"name": node.name, **times, "percentage": 100 * node.median_ms / whole_ms}))
    return "[\n  " + "\n, ".join(lines) + "\n]\n"
