"""Latency of several candidates in one process, timed interleaved.

Candidates run in short blocks, and every round runs them in the reverse order of the last (A B C, C B A, ...). Drift of
the machine then affects all of them alike, and block i of one can be paired with block i of another. Rounds go on until
the paired ratios are narrow or the budget is spent: the width of the intervals decides when to stop, never their sign.
"""

from __future__ import annotations

import contextlib
import gc
import math
import statistics
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekd.bench.rounds import RoundLog
from edgekd.core.clock import CLOCK, CLOCK_NAME, Clock, stopwatch
from edgekd.core.conditions import Watch, no_watch
from edgekd.core.config import BenchConfig
from edgekd.core.errors import InputError, MachineError
from edgekd.core.numerics import FloatArray
from edgekd.results.result import Run

# One query of an open candidate, on the same feeds every time; everything has ended when it returns.
Inference = Callable[[], object]

_ROUNDS_MIN = 2
# Warm-up: a window is half its shortest length. Windows 2 % apart are steady whatever their scatter; single inferences
# show none, and those of a warm network lie up to 5 % apart on a shared machine.
_WINDOWS, _WARMUPS_MOST, _STEADY_SHARE, _STEADY_SHARE_OF_ONE = 6, 10, 0.02, 0.05
# Of a normal variable: standard deviation over MAD, standard error of the median over that of the mean, and 95 %.
_MAD_TO_DEVIATION, _MEDIAN_ERROR, _Z95 = 1.4826, 1.2533, 1.96


def measure(
    candidates: Mapping[str, Inference],
    config: BenchConfig,
    *,
    deciding: Collection[str] = (),
    clock: Clock = CLOCK,
    watch: Watch = no_watch,
) -> dict[str, Run]:
    """Time every candidate interleaved in this process.

    Args:
        candidates: Key → one query of it.
        config: Warm-up, length and number of blocks; ``budget_s`` is for this process.
        deciding: Keys whose ratios must be narrow before rounds end; all where none are given.
        clock: Nanoseconds, monotonic.
        watch: Reads the machine before the first block and after each. A round in which a block violated a rule is
            refused, and more are run in its place while there is time.

    Returns:
        Key → raw latencies, one tuple a block; block i of every candidate ran in round i.

    Raises:
        InputError: There is nothing to measure.
        MachineError: The clock did not advance during an inference.
    """
    if not candidates:
        raise InputError("no candidate to measure; give at least one open engine")
    elapsed_s = stopwatch(clock)
    blocks: dict[str, list[tuple[int, ...]]] = {key: [] for key in candidates}
    deciding_blocks = {key: blocks[key] for key in candidates if not deciding or key in deciding}
    rounds = RoundLog()
    with _frozen_heap():
        warm_ups = {key: _warm_up(inference, config, clock) for key, inference in candidates.items()}
        order = list(candidates)
        watch()
        while not _is_enough(deciding_blocks, rounds.rules, config, elapsed_s()):
            for key in order:
                samples = time_block(candidates[key], warm_ups[key].iterations, clock)
                blocks[key].append(_checked(key, samples))
                rounds.note(key, watch())
            rounds.close_round()
            order.reverse()
    return {
        key: Run(
            tuple(blocks[key]),
            warm_up.discarded,
            warm_up.is_steady,
            rounds.block_conditions(key),
            rounds.refused(),
        )
        for key, warm_up in warm_ups.items()
    }


def run_for(inference: Inference, seconds: float, clock: Clock = CLOCK) -> tuple[int, int, int]:
    """Infer back to back for at least ``seconds``; return the begin and end (ns) and the number of inferences.

    Both times are of ``CLOCK``, which all processes of a machine share.
    """
    count = 0
    start = now = clock()
    while count == 0 or now - start < seconds * 1e9:
        inference()
        count, now = count + 1, clock()
    return start, now, count


def time_block(inference: Inference, iterations: int, clock: Clock = CLOCK) -> list[int]:
    """Infer ``iterations`` times and return each latency in nanoseconds. The garbage collector is off meanwhile."""
    samples, indices = [0] * iterations, range(iterations)
    with _no_collection():
        for index in indices:
            start = clock()
            inference()
            samples[index] = clock() - start
    return samples


def time_steps(
    steps: Sequence[Callable[[Any], Any]], first: Any, repeats: int, clock: Clock = CLOCK
) -> tuple[tuple[int, ...], ...]:
    """Pass ``first`` through all steps, ``repeats`` times.

    Returns:
        For each step, and for all together at the end: nanoseconds, one figure a repeat.
    """
    marks: list[list[int]] = []
    with _no_collection():
        for _ in range(repeats):
            value, times = first, [clock()]
            for step in steps:
                value = step(value)
                times.append(clock())
            marks.append(times)
    spent = np.diff(np.array(marks, np.int64), axis=1).T  # (steps, repeats)
    each = [tuple(row) for row in spent.tolist()]
    return (*each, tuple(spent.sum(axis=0).tolist()))


def _is_enough(
    blocks: Mapping[str, Sequence[Sequence[int]]], rules: Sequence[str], config: BenchConfig, spent_s: float
) -> bool:
    """Whether there are enough rounds: the fewest allowed, then narrow ratios of the kept ones, or no budget left."""
    if len(rules) < _ROUNDS_MIN:
        return False
    if spent_s >= config.budget_s:
        return True
    if rules.count("") < max(config.min_rounds, _ROUNDS_MIN):
        return False
    logs = []
    for candidate_blocks in blocks.values():
        kept = [block for block, rule in zip(candidate_blocks, rules, strict=True) if not rule]
        logs.append(np.log([statistics.median(block) for block in kept]))
    first, *others = logs
    differences = [other - first for other in others] or [first]
    # What differs between processes averages out over them: one process may be wider by the root of their number.
    allowed = config.ci_half_width * math.sqrt(config.processes)
    return all(_Z95 * _error_of_median(difference) <= allowed for difference in differences)


def _error_of_median(values: FloatArray) -> float:
    """Return the standard error of the median of (n,) float64, from the MAD: a single outlying block counts little."""
    mad = float(np.median(np.abs(values - np.median(values))))
    return _MEDIAN_ERROR * _MAD_TO_DEVIATION * mad / math.sqrt(len(values))


@dataclass(frozen=True, slots=True)
class _WarmUp:
    """What a warm-up found: inferences discarded, inferences per block, and whether latency was steady at its end."""

    discarded: int
    iterations: int
    is_steady: bool


def _warm_up(inference: Inference, config: BenchConfig, clock: Clock) -> _WarmUp:
    """Run until two windows in a row agree, for ``warmup_ms`` at least; see ``BenchConfig``."""
    before = time_block(inference, 1, clock)  # allocates and plans, so it says nothing about later inferences
    discarded, spent_ns, shortest_ns, is_steady = 1, 0, config.warmup_ms * 1e6, False
    windows = 0
    while not is_steady:
        length = max(1, math.ceil(shortest_ns / 2 / max(statistics.median(before), 1)))
        after = time_block(inference, length, clock)
        discarded, spent_ns, windows = discarded + length, spent_ns + sum(after), windows + 1
        is_steady = windows > 1 and spent_ns >= shortest_ns and _agree(before, after)
        before = after
        if windows >= _WINDOWS and spent_ns >= _WARMUPS_MOST * shortest_ns:
            break
    settled_ms = statistics.median(before) / 1e6
    iterations = max(config.min_iterations, 1, math.ceil(config.block_ms / max(settled_ms, 1e-6)))
    return _WarmUp(discarded, iterations, is_steady)


def _agree(before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether the middle halves of both windows overlap, or their medians are nearly equal."""
    low_before, median_before, high_before = np.quantile(before, [0.25, 0.5, 0.75])
    low_after, median_after, high_after = np.quantile(after, [0.25, 0.5, 0.75])
    overlap = low_before <= high_after and low_after <= high_before
    share = _STEADY_SHARE if min(len(before), len(after)) > 1 else _STEADY_SHARE_OF_ONE
    return bool(overlap or abs(median_after - median_before) <= share * median_before)


def _checked(name: str, samples: list[int]) -> tuple[int, ...]:
    if min(samples) <= 0:
        raise MachineError(
            f"an inference of {name} took {min(samples)} ns by {CLOCK_NAME}: the clock did not advance; "
            "a clock with a finer resolution than one inference is needed"
        )
    return tuple(samples)


@contextlib.contextmanager
def _frozen_heap() -> Iterator[None]:
    """Exempt all live objects from garbage collection, so that collecting between blocks is cheap."""
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
