"""One engine's samples as trtexec's ``--exportTimes`` has them, for tools that read it.

edgekd times an inference as a whole, so all of it stands as compute, with transfers of 0 ms; ``clock`` says by which
clock. Inferences follow one another from the end of trtexec's usual warm-up on, the processes one after another. Source
of the format: see ``edgekd.bench.trtexec``.
"""

from __future__ import annotations

import json

from edgekd.bench.trtexec import WARMUP_MS
from edgekd.core.errors import InputError
from edgekd.core.samples import Samples
from edgekd.results.result import BenchmarkResult

FILE_NAME = "report.trtexec_times.json"
MACHINES_READ = "trtexec's tracer.py, and what else reads --exportTimes"
ONE_ENGINE = True


def render(result: BenchmarkResult, pictures: Samples | None = None) -> str:
    """Return the JSON, a record a line. Pictures are for other formats.

    Raises:
        InputError: The result is of several engines.
    """
    if len(result.candidates) > 1:
        names = ", ".join(candidate.name for candidate in result.candidates)
        raise InputError(f"trtexec's format holds one engine, {result.title} has {names}; name one with --candidate")
    lines, start_ms = [], WARMUP_MS
    for latency_ms in result.candidates[0].latencies_ms.tolist():
        end_ms = start_ms + latency_ms
        before = dict.fromkeys(("startEnqMs", "startH2dMs", "endH2dMs", "startComputeMs"), start_ms)
        after = dict.fromkeys(("endEnqMs", "endComputeMs", "startD2hMs", "endD2hMs"), end_ms)
        parts = {"h2dMs": 0.0, "computeMs": latency_ms, "d2hMs": 0.0, "latencyMs": latency_ms}
        lines.append(json.dumps({**before, **after, **parts, "clock": result.conditions.clock}))
        start_ms = end_ms
    return "[\n  " + "\n, ".join(lines) + "\n]\n"
