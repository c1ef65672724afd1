"""One engine's samples in the format of trtexec's ``--exportTimes``.

edgekd times an inference as a whole: all of it is written as compute, with transfers of 0 ms; ``clock`` names the
clock. Inferences follow one another from the end of trtexec's default warm-up, process after process. Source of the
format: see ``edgekd.bench.trtexec``.
"""

from __future__ import annotations

import json

from edgekd.core.previews import Previews
from edgekd.report.format import single_candidate
from edgekd.results.result import BenchmarkResult

FILE_NAME = "report.trtexec_times.json"
READ_BY = "trtexec's tracer.py, and other readers of --exportTimes"
SINGLE_ENGINE = True

_WARMUP_MS = 200.0  # trtexec's default --warmUp; readers drop what started before it


def render(result: BenchmarkResult, previews: Previews | None = None) -> str:
    """Return the JSON, one record a line.

    Raises:
        InputError: The result has several engines.
    """
    lines, start_ms = [], _WARMUP_MS
    for latency_ms in single_candidate(result).latencies_ms.tolist():
        end_ms = start_ms + latency_ms
        before = dict.fromkeys(("startEnqMs", "startH2dMs", "endH2dMs", "startComputeMs"), start_ms)
        after = dict.fromkeys(("endEnqMs", "endComputeMs", "startD2hMs", "endD2hMs"), end_ms)
        parts = {"h2dMs": 0.0, "computeMs": latency_ms, "d2hMs": 0.0, "latencyMs": latency_ms}
        lines.append(json.dumps({**before, **after, **parts, "clock": result.conditions.clock}))
        start_ms = end_ms
    return "[\n  " + "\n, ".join(lines) + "\n]\n"
