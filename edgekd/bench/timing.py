"""Latency of several candidates in one process, interleaved.

Candidates take turns in short blocks, and every round runs them in the reverse order of the last (A B C, C B A, ...),
so that drift of the machine falls on all of them alike and block i of one may be paired with block i of another.
Rounds go on until the paired ratios are narrow or the time is spent: how wide they are decides when to stop, never
which way they point.
"""

from __future__ import annotations

import contextlib
import gc
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from edgekd.bench.ledger import Ledger
from edgekd.core.clock import CLOCK, CLOCK_NAME, Clock, stopwatch
from edgekd.core.conditions import Watch, unwatched
from edgekd.core.config import BenchConfig
from edgekd.core.errors import InputError, MachineError
from edgekd.core.numerics import FloatArray
from edgekd.results.result import Run

_ROUNDS_MIN = 2
# Warm-up: a window is half its shortest length and three inferences at least; 2 % apart is steady whatever the scatter.
_WINDOW_MIN, _WINDOWS, _WARMUPS_MOST, _STEADY_SHARE = 3, 6, 10, 0.02
# Of a normal variable: standard deviation over MAD, standard error of the median over that of the mean, and 95 %.
_MAD_TO_DEVIATION, _MEDIAN_ERROR, _Z95 = 1.4826, 1.2533, 1.96


class Runner(Protocol):
    """Whoever can be timed: a session, or several of them that answer one query."""

    def run(self, feeds: Any, /) -> object:
        """Answer; everything has ended when it returns."""


@dataclass(frozen=True, slots=True)
class Bout:
    """One candidate in the ring: who answers, and what is fed, the same every time.

    Attributes:
        session: Who answers.
        feeds: What is fed.
        waits: Whether rounds go on until this one's ratio is narrow, too; one at least does.
    """

    session: Runner
    feeds: Any
    waits: bool = True


def measure(
    candidates: Mapping[str, Bout], config: BenchConfig, *, clock: Clock = CLOCK, watch: Watch = unwatched
) -> dict[str, Run]:
    """Time every candidate, in turns, in this process.

    Args:
        candidates: Name → session and feeds.
        config: Warm-up, length and number of blocks; ``budget_s`` is for this process.
        clock: Nanoseconds that never go back.
        watch: Looks at the machine before the first block and after each; a round in which a block broke a rule of its
            is refused, and more are run in its stead while there is time.

    Returns:
        Name → raw latencies, one tuple a block; block i of every candidate ran in round i.

    Raises:
        InputError: There is nothing to measure.
        MachineError: The clock did not move during an inference, or went back.
    """
    if not candidates:
        raise InputError("no candidate to measure; give at least one open engine")
    elapsed_s = stopwatch(clock)
    blocks: dict[str, list[tuple[int, ...]]] = {name: [] for name in candidates}
    ledger = Ledger()
    with _frozen_heap():
        warm = {name: _warm_up(bout, config, clock) for name, bout in candidates.items()}
        order = list(candidates)
        watch()
        awaited = {name: blocks[name] for name, bout in candidates.items() if bout.waits}
        while not _is_enough(awaited, ledger.rules, config, elapsed_s()):
            for name in order:
                blocks[name].append(_checked(name, time_block(candidates[name], warm[name].iterations, clock)))
                ledger.note(name, watch())
            ledger.close_round()
            order.reverse()
    return {
        name: Run(
            tuple(blocks[name]), warm[name].discarded, warm[name].is_steady, ledger.watched(name), ledger.refused()
        )
        for name in candidates
    }


def run_for(bout: Bout, seconds: float, clock: Clock = CLOCK) -> tuple[int, int, int]:
    """Infer back to back for at least ``seconds``; return when it began and ended, and how many inferences it took.

    Both times are of ``CLOCK``, which all processes of a machine share.
    """
    run, feeds, count = bout.session.run, bout.feeds, 0
    start = now = clock()
    while count == 0 or now - start < seconds * 1e9:
        run(feeds)
        count, now = count + 1, clock()
    return start, now, count


def time_block(bout: Bout, iterations: int, clock: Clock = CLOCK) -> list[int]:
    """Infer ``iterations`` times and return each latency in nanoseconds. The garbage collector rests meanwhile."""
    run, feeds, samples, turns = bout.session.run, bout.feeds, [0] * iterations, range(iterations)
    with _no_collection():
        for turn in turns:
            start = clock()
            run(feeds)
            samples[turn] = clock() - start
    return samples


def time_steps(
    steps: Sequence[Callable[[Any], Any]], first: Any, turns: int, clock: Clock = CLOCK
) -> tuple[tuple[int, ...], ...]:
    """Pass ``first`` through all steps, ``turns`` times.

    Returns:
        For each step, and for all together at the end: nanoseconds, one figure a turn.
    """
    marks: list[list[int]] = []
    with _no_collection():
        for _ in range(turns):
            value, turn = first, [clock()]
            for step in steps:
                value = step(value)
                turn.append(clock())
            marks.append(turn)
    spent = np.diff(np.array(marks, np.int64), axis=1).T
    return (*(tuple(row) for row in spent.tolist()), tuple(spent.sum(axis=0).tolist()))


def _is_enough(
    blocks: Mapping[str, Sequence[Sequence[int]]], rules: Sequence[str], config: BenchConfig, spent_s: float
) -> bool:
    """Whether the rounds so far do: the least there must be, then narrow ratios of kept ones, or no more time."""
    if len(rules) < _ROUNDS_MIN:
        return False
    if spent_s >= config.budget_s:
        return True
    if rules.count("") < max(config.blocks, _ROUNDS_MIN):
        return False
    kept = [[block for block, rule in zip(given, rules, strict=True) if not rule] for given in blocks.values()]
    logs = [np.log([statistics.median(block) for block in given]) for given in kept]
    first, *others = logs
    # What processes do not share averages out over them.
    wanted = config.width * math.sqrt(config.processes)
    return all(_Z95 * _error_of_median(apart) <= wanted for apart in [other - first for other in others] or [first])


def _error_of_median(values: FloatArray) -> float:
    """Return the standard error of the median of (n,) float64, from their MAD: one block that was hit counts little."""
    mad = float(np.median(np.abs(values - np.median(values))))
    return _MEDIAN_ERROR * _MAD_TO_DEVIATION * mad / math.sqrt(len(values))


@dataclass(frozen=True, slots=True)
class _Warm:
    """What a warm-up found: inferences it took, how many make up a block, and whether latency was steady at its end."""

    discarded: int
    iterations: int
    is_steady: bool


def _warm_up(bout: Bout, config: BenchConfig, clock: Clock) -> _Warm:
    """Run until two windows in a row agree, for ``warmup_ms`` at least; see ``BenchConfig``."""
    before = time_block(bout, 1, clock)  # allocates and plans: it sets no length and is compared with nothing
    discarded, spent_ns, shortest_ns, is_steady = 1, 0, config.warmup_ms * 1e6, False
    windows = 0
    while not is_steady:
        length = max(_WINDOW_MIN, math.ceil(shortest_ns / 2 / max(statistics.median(before), 1)))
        after = time_block(bout, length, clock)
        discarded, spent_ns, windows = discarded + length, spent_ns + sum(after), windows + 1
        is_steady = windows > 1 and spent_ns >= shortest_ns and _agree(before, after)
        before = after
        if windows >= _WINDOWS and spent_ns >= _WARMUPS_MOST * shortest_ns:
            break
    settled_ms = statistics.median(before) / 1e6
    iterations = max(config.min_iterations, 1, math.ceil(config.block_ms / max(settled_ms, 1e-6)))
    return _Warm(discarded, iterations, is_steady)


def _agree(before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether the middle halves of both windows overlap, or their medians are nearly equal."""
    (low_a, a, high_a), (low_b, b, high_b) = (np.quantile(window, [0.25, 0.5, 0.75]) for window in (before, after))
    return bool((low_a <= high_b and low_b <= high_a) or abs(b - a) <= _STEADY_SHARE * a)


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
