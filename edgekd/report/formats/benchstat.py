"""A result as Go benchmark text for benchstat: one line a process, so that it tests the scatter between processes.

Source: R. Cox, A. Clements, "Proposal: Go Benchmark Data Format", golang.org/design/14313-benchmark-format.
"""

from __future__ import annotations

import re

import numpy as np

from edgekd.core.previews import Previews
from edgekd.results.result import BenchmarkResult

FILE_NAME = "report.benchstat.txt"
READ_BY = "benchstat, and other readers of Go's benchmark format"


def render(result: BenchmarkResult, previews: Previews | None = None) -> str:
    """Return the text: median ns/op and mean inferences/s of each process."""
    conditions = result.conditions
    lines = [f"pkg: edgekd/{_word(result.title)}", f"cpu: {' '.join(conditions.processor.split())}"]
    lines += [f"backend: {conditions.backend}", f"threads: {conditions.threads}"]
    lines += ["Unit inferences/s better=higher", ""]
    for candidate in result.candidates:
        processes = zip(candidate.kept_ns, candidate.block_medians_ms, candidate.block_means_ms, strict=True)
        for blocks_ns, medians_ms, means_ms in processes:
            count = sum(map(len, blocks_ns))
            median_ns, per_second = float(np.median(medians_ms)) * 1e6, 1000 / float(means_ms.mean())
            name = f"Benchmark{_word(candidate.name)}"
            lines.append(f"{name}\t{count}\t{median_ns:.0f} ns/op\t{per_second:.6g} inferences/s")
    return "\n".join(lines) + "\n"


def _word(text: str) -> str:
    """Return a name without blanks that begins, as Go demands, with no lower-case letter."""
    word = re.sub(r"\s+", "_", text)
    return word[:1].upper() + word[1:]
