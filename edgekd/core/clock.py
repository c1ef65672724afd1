"""The one clock: the only file in edgekd that reads one. Figures are made of it in ``bench`` alone."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]

CLOCK: Clock = time.perf_counter_ns
CLOCK_NAME = "time.perf_counter_ns"
# CPU time of this process, all of its threads: what a watch takes off the machine's.
CPU_CLOCK: Clock = time.process_time_ns


def stopwatch(clock: Clock = CLOCK) -> Callable[[], float]:
    """Start a stopwatch; calling what it returns gives the seconds since, as often as one likes."""
    start = clock()
    return lambda: (clock() - start) / 1e9
