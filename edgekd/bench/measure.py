"""Latency of several candidates in one process, interleaved: the only file in edgekd that reads a clock.

Candidates take turns in short blocks, and every round runs them in the reverse order of the last (A B C, C B A, ...),
so that drift of the machine falls on all of them alike and block i of one may be paired with block i of another.
"""

from __future__ import annotations

import contextlib
import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from edgekd.core.errors import InputError, MachineError
from edgekd.core.protocols import Feeds, Session
from edgekd.core.result import Run
from edgekd.core.sections import BenchConfig

Clock = Callable[[], int]
Progress = Callable[[str, int, int], None]

CLOCK: Clock = time.perf_counter_ns
CLOCK_NAME = "time.perf_counter_ns"

# The first inference allocates and plans; with fewer than three there is no later one to plan a block's length by.
_WARMUP_MIN = 3
_ROUNDS_MIN = 2


@dataclass(frozen=True, slots=True)
class Bout:
    """One candidate in the ring: an open session and what it is fed, the same in every inference."""

    session: Session
    feeds: Feeds


def measure(
    candidates: Mapping[str, Bout],
    config: BenchConfig,
    progress: Progress | None = None,
    *,
    clock: Clock = CLOCK,
) -> dict[str, Run]:
    """Time every candidate, in turns.

    Args:
        candidates: Name → session and feeds.
        config: Warm-up, length and number of blocks, budget.
        progress: Called outside timed blocks with (candidate, steps done, steps in all); a warm-up is one step.
        clock: Nanoseconds that never go back.

    Returns:
        Name → raw latencies, one tuple a block; block i of every candidate ran in round i.

    Raises:
        InputError: There is nothing to measure.
        MachineError: The clock did not move during an inference.
    """
    if not candidates:
        raise InputError("no candidate to measure; give at least one open engine")
    rounds = max(config.blocks, _ROUNDS_MIN)
    tell = _Teller(progress or _silent, len(candidates) * (rounds + 1))
    elapsed_s = stopwatch(clock)
    warmups: dict[str, int] = {}
    iterations: dict[str, int] = {}
    blocks: dict[str, list[tuple[int, ...]]] = {name: [] for name in candidates}
    with _frozen_heap():
        for name, bout in candidates.items():
            warmups[name], iterations[name] = _warm_up(bout, config, clock)
            tell.step(name)
        order = list(candidates)
        for done in range(rounds):
            if done >= _ROUNDS_MIN and elapsed_s() >= config.budget_s:
                break
            for name in order:
                blocks[name].append(_checked(name, time_block(candidates[name], iterations[name], clock)))
                tell.step(name)
            order.reverse()
    tell.finish(order[-1])
    return {name: Run(tuple(blocks[name]), warmups[name]) for name in candidates}


def time_block(bout: Bout, iterations: int, clock: Clock = CLOCK) -> list[int]:
    """Infer ``iterations`` times and return each latency in nanoseconds. The garbage collector rests meanwhile."""
    run, feeds, samples, turns = bout.session.run, bout.feeds, [0] * iterations, range(iterations)
    with _no_collection():
        for turn in turns:
            start = clock()
            run(feeds)
            samples[turn] = clock() - start
    return samples


def stopwatch(clock: Clock = CLOCK) -> Callable[[], float]:
    """Start a stopwatch; calling what it returns gives the seconds since, as often as one likes."""
    start = clock()
    return lambda: (clock() - start) / 1e9


def _warm_up(bout: Bout, config: BenchConfig, clock: Clock) -> tuple[int, int]:
    """Run until ``warmup_ms`` have passed; return the iterations that took, and how many make up a block."""
    samples: list[int] = []
    while len(samples) < _WARMUP_MIN or sum(samples) < config.warmup_ms * 1e6:
        # A few at a time: one by one would time the collector's switch as well, one block would not know when to stop.
        samples += time_block(bout, max(1, len(samples) // 2), clock)
    settled_ms = statistics.median(samples[len(samples) // 2 :]) / 1e6
    return len(samples), max(config.min_iterations, 1, math.ceil(config.block_ms / max(settled_ms, 1e-6)))


def _checked(name: str, samples: list[int]) -> tuple[int, ...]:
    if min(samples) <= 0:
        raise MachineError(
            f"an inference of {name} took {min(samples)} ns by {CLOCK_NAME}: the clock did not move; "
            "a clock that is finer than one inference is needed"
        )
    return tuple(samples)


@contextlib.contextmanager
def _frozen_heap() -> Iterator[None]:
    """Set everything alive aside from the collector, so that collecting between blocks is cheap."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Teller:
    """Counts steps for the caller's progress bar."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def step(self, name: str) -> None:
        self._done += 1
        self._progress(name, self._done, self._total)

    def finish(self, name: str) -> None:
        if self._done < self._total:  # the budget ran out first
            self._progress(name, self._total, self._total)


def _silent(candidate: str, done: int, total: int) -> None:
    """Tell nobody."""
