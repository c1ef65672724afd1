"""The one clock: the only file in edgekd that reads one. Only ``bench`` turns its readings into figures."""

from __future__ import annotations

import time
from collections.abc import Callable

# Returns nanoseconds; tests hand over a clock that they move themselves.
Clock = Callable[[], int]

# Monotonic, and the same for all processes of a machine: a parent can compare its readings with its child's.
CLOCK: Clock = time.perf_counter_ns
CLOCK_NAME = "time.perf_counter_ns"
# CPU time of this process, all threads. ``machine.watch`` subtracts it from the machine's to find background load.
CPU_CLOCK: Clock = time.process_time_ns


def stopwatch(clock: Clock = CLOCK) -> Callable[[], float]:
    """Start a stopwatch and return a function that gives the seconds since then."""
    start = clock()
    return lambda: (clock() - start) / 1e9
