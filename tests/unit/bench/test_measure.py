"""Timing in turns: order, lengths, warm-up and budget, on a clock that the test moves."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest

from edgekd.bench.measure import Bout, measure, stopwatch, time_block
from edgekd.core.errors import InputError, MachineError
from edgekd.core.sections import BenchConfig

MS = 1_000_000


@dataclass
class Ring:
    """A clock, and sessions that move it; what ran is written down."""

    now: int = 1
    log: list[str] = field(default_factory=list)

    def clock(self) -> int:
        return self.now

    def bout(self, name: str, *latencies_ms: float) -> Bout:
        return Bout(_Session(self, name, [round(ms * MS) for ms in latencies_ms]), {})


@dataclass
class _Session:
    ring: Ring
    name: str
    latencies: list[int]
    runs: int = 0
    inputs: tuple = ()
    outputs: tuple = ()

    def run(self, feeds) -> dict:
        self.ring.log.append(self.name)
        self.ring.now += self.latencies[min(self.runs, len(self.latencies) - 1)]
        self.runs += 1
        return {}

    def close(self) -> None:
        """Nothing is held."""


def config(**changes) -> BenchConfig:
    return BenchConfig(
        **{"blocks": 4, "block_ms": 3.0, "min_iterations": 1, "warmup_ms": 0.0, "budget_s": 60.0, **changes}
    )


def test_rounds_run_in_balanced_order():
    ring = Ring()
    turns = {name: ring.bout(name, 3.0) for name in "ABC"}
    runs = measure(turns, config(), clock=ring.clock)
    warmups = sum(run.warmup_iterations for run in runs.values())
    assert "".join(ring.log[warmups:]) == "ABCCBAABCCBA"
    assert ring.log[:warmups] == sorted(ring.log[:warmups])


def test_raw_nanoseconds_are_kept_block_by_block():
    ring = Ring()
    runs = measure({"a": ring.bout("a", 9, 1.5, 1.5, 1, 1, 2, 3)}, config(blocks=2), clock=ring.clock)
    assert runs["a"].warmup_iterations == 3
    assert runs["a"].blocks_ns == ((1 * MS, 1 * MS), (2 * MS, 3 * MS))


@pytest.mark.parametrize(
    ("latency_ms", "changes", "iterations"),
    [(1.0, {"block_ms": 5.0}, 5), (0.9, {"block_ms": 5.0}, 6), (50.0, {"block_ms": 5.0, "min_iterations": 3}, 3)],
)
def test_a_block_lasts_long_enough(latency_ms, changes, iterations):
    ring = Ring()
    run = measure({"a": ring.bout("a", latency_ms)}, config(**changes), clock=ring.clock)["a"]
    assert {len(block) for block in run.blocks_ns} == {iterations}


def test_warm_up_lasts_as_asked_and_is_discarded():
    ring = Ring()
    run = measure({"a": ring.bout("a", 2.0)}, config(warmup_ms=40.0), clock=ring.clock)["a"]
    assert 20 <= run.warmup_iterations <= 32
    assert len(ring.log) == run.warmup_iterations + sum(map(len, run.blocks_ns))


def test_a_slow_first_inference_does_not_set_the_length():
    ring = Ring()
    run = measure({"a": ring.bout("a", 500.0, 1.0)}, config(block_ms=8.0), clock=ring.clock)["a"]
    assert len(run.blocks_ns[0]) == 8


def test_no_round_begins_after_the_budget_but_two_are_always_run():
    ring = Ring()
    runs = measure({"a": ring.bout("a", 900.0), "b": ring.bout("b", 900.0)}, config(budget_s=1.0), clock=ring.clock)
    assert [len(run.blocks_ns) for run in runs.values()] == [2, 2]
    assert len(measure({"a": Ring().bout("a", 1.0)}, config(blocks=1), clock=_ticking())["a"].blocks_ns) == 2


def test_progress_only_grows_and_ends_full():
    for budget_s in (60.0, 0.0):
        ring = Ring()
        told: list[tuple[str, int, int]] = []
        turns = {name: ring.bout(name, 5.0) for name in "ab"}
        measure(turns, config(budget_s=budget_s), partial(_note, told), clock=ring.clock)
        done = [step[1] for step in told]
        assert done == sorted(set(done))
        assert told[-1][1] == told[-1][2] == 10
        assert {step[0] for step in told} == {"a", "b"}


def test_the_collector_rests_during_a_block_only():
    seen = []

    class Watcher(_Session):
        def run(self, feeds):
            seen.append(gc.isenabled())
            return super().run(feeds)

    assert gc.isenabled()
    measure({"a": Bout(Watcher(Ring(), "a", [MS]), {})}, config(), clock=_ticking())
    assert gc.isenabled()
    assert set(seen) == {False}
    assert gc.get_freeze_count() == 0


def test_the_collector_comes_back_after_a_failure():
    class Failing(_Session):
        def run(self, feeds):
            raise MachineError("out of memory")

    with pytest.raises(MachineError, match="out of memory"):
        measure({"a": Bout(Failing(Ring(), "a", [MS]), {})}, config(), clock=_ticking())
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        time_block(Ring().bout("a", 1.0), 2)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_clock_that_stands_still_is_refused():
    ring = Ring()
    with pytest.raises(MachineError, match="an inference of a took 0 ns"):
        measure({"a": ring.bout("a", 1.0, 1.0, 1.0, 0.0)}, config(), clock=ring.clock)


def test_nothing_to_measure_is_refused():
    with pytest.raises(InputError, match="no candidate"):
        measure({}, config())


def test_the_real_clock_times_a_real_session():
    class Product(_Session):
        def run(self, feeds):
            return {"y": feeds["x"] @ feeds["x"]}

    bout = Bout(Product(Ring(), "a", [MS]), {"x": np.ones((32, 32), np.float32)})
    run = measure({"a": bout}, config(block_ms=0.5, warmup_ms=1.0))["a"]
    assert len(run.blocks_ns) == 4
    assert all(isinstance(ns, int) and ns > 0 for block in run.blocks_ns for ns in block)


def test_a_stopwatch_tells_seconds_since_its_start():
    ring = Ring()
    elapsed_s = stopwatch(ring.clock)
    ring.now += 1500 * MS
    assert elapsed_s() == 1.5
    ring.now += 500 * MS
    assert elapsed_s() == 2.0


def _note(told, *step):
    told.append(step)


def _ticking():
    ticks = iter(range(1, 10**9, MS))
    return lambda: next(ticks)
