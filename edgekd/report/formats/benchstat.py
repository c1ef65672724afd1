"""A result as Go benchmark text for benchstat: a line a process, so that it tests what scatters between processes.

Source: R. Cox, A. Clements, "Proposal: Go Benchmark Data Format", golang.org/design/14313-benchmark-format.
"""

from __future__ import annotations

import re

import numpy as np

from edgekd.core.samples import Samples
from edgekd.results.result import BenchmarkResult

FILE_NAME = "report.benchstat.txt"
MACHINES_READ = "benchstat, and what else reads Go's benchmark format"


def render(result: BenchmarkResult, pictures: Samples | None = None) -> str:
    """Return the text: median ns/op and mean inferences/s of each process. Pictures are for other formats."""
    seen = result.conditions
    lines = [f"pkg: edgekd/{_word(result.title)}", f"cpu: {' '.join(seen.processor.split())}"]
    lines += [f"backend: {seen.backend}", f"threads: {seen.threads}", "Unit inferences/s better=higher", ""]
    for candidate in result.candidates:
        medians = [float(np.median(blocks)) * 1e6 for blocks in candidate.block_medians_ms]
        means = [float(blocks.mean()) for blocks in candidate.block_means_ms]
        for blocks, ns, mean_ms in zip(candidate.kept_ns, medians, means, strict=True):
            count = sum(map(len, blocks))
            lines.append(
                f"Benchmark{_word(candidate.name)}\t{count}\t{ns:.0f} ns/op\t{1000 / mean_ms:.6g} inferences/s"
            )
    return "\n".join(lines) + "\n"


def _word(text: str) -> str:
    """A name without blanks that begins as Go's do: with no lower-case letter."""
    word = re.sub(r"\s+", "_", text)
    return word[:1].upper() + word[1:]
