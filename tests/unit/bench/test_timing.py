"""Timing in turns: order, lengths, warm-up and budget, on a clock that the test moves."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from edgekd.bench.timing import Bout, measure, time_block, time_steps
from edgekd.core.clock import stopwatch
from edgekd.core.config import BenchConfig
from edgekd.core.errors import InputError, MachineError

MS = 1_000_000


@dataclass
class Ring:
    """A clock, and sessions that move it; what ran is written down."""

    now: int = 1
    log: list[str] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)

    def clock(self) -> int:
        return self.now

    def session_ms(self, count: int) -> list[float]:
        return self.spent[:count]

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
        took = self.latencies[min(self.runs, len(self.latencies) - 1)]
        self.ring.now += took
        self.ring.spent.append(took / MS)
        self.runs += 1
        return {}

    def close(self) -> None:
        """Nothing is held."""


def config(**changes) -> BenchConfig:
    return BenchConfig(
        **{
            "processes": 1,
            "blocks": 4,
            "width": 0.01,
            "block_ms": 3.0,
            "min_iterations": 1,
            "warmup_ms": 0.0,
            "budget_s": 60.0,
            **changes,
        }
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
    runs = measure({"a": ring.bout("a", 9, *[1.5] * 6, 1, 1, 2, 3)}, config(blocks=2, width=9), clock=ring.clock)
    assert runs["a"].warmup_iterations == 7
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
    assert run.warmup_iterations == 1 + 10 + 10
    assert run.is_steady
    assert len(ring.log) == run.warmup_iterations + sum(map(len, run.blocks_ns))


def test_warm_up_goes_on_until_latency_is_steady():
    ring = Ring()
    falling = [20.0 * 0.9**n for n in range(30)]
    run = measure({"a": ring.bout("a", *falling, 0.8)}, config(warmup_ms=20.0), clock=ring.clock)["a"]
    assert run.is_steady
    assert run.warmup_iterations > 30
    assert {ns for block in run.blocks_ns for ns in block} == {round(0.8 * MS)}


def test_latency_that_never_settles_is_said():
    ring = Ring()
    run = measure({"a": ring.bout("a", *(1.2**n for n in range(60)))}, config(warmup_ms=9.0), clock=ring.clock)["a"]
    assert not run.is_steady
    assert sum(ring.session_ms(run.warmup_iterations)) >= 90.0


def test_rounds_go_on_until_the_ratio_is_narrow():
    scatter = [1.0 + 0.1 * ((n * 7) % 5 - 2) for n in range(4000)]
    rounds = []
    for width in (0.1, 0.03, 0.01):
        ring = Ring()
        turns = {"a": ring.bout("a", 1.0), "b": ring.bout("b", *scatter)}
        runs = measure(turns, config(width=width, block_ms=1.0), clock=ring.clock)
        assert len(runs["a"].blocks_ns) == len(runs["b"].blocks_ns)
        rounds.append(len(runs["b"].blocks_ns))
    assert rounds[0] < rounds[1] < rounds[2]
    # 95 % of a median's standard error, 1.96 * 1.25 * 0.15 / sqrt(rounds), is a hundredth.
    assert 1000 < rounds[2] < 2000


def test_rounds_do_not_wait_for_what_only_stands_beside():
    scatter = [1.0 + 0.1 * ((n * 7) % 5 - 2) for n in range(4000)]
    ring = Ring()
    turns = {"a": ring.bout("a", 1.0), "b": ring.bout("b", 2.0), "c": replace(ring.bout("c", *scatter), waits=False)}
    runs = measure(turns, config(width=0.01, block_ms=1.0), clock=ring.clock)
    assert len(runs["a"].blocks_ns) == len(runs["b"].blocks_ns) == len(runs["c"].blocks_ns) < 20


def test_processes_share_the_width_that_is_wanted():
    scatter = [1.0 + 0.1 * ((n * 7) % 5 - 2) for n in range(4000)]
    rounds = []
    for processes in (1, 4):
        ring = Ring()
        turns = {"a": ring.bout("a", 1.0), "b": ring.bout("b", *scatter)}
        runs = measure(turns, config(width=0.02, block_ms=1.0, processes=processes), clock=ring.clock)
        rounds.append(len(runs["b"].blocks_ns))
    assert rounds[0] == pytest.approx(4 * rounds[1], rel=0.1)


def test_one_candidate_alone_is_narrow_in_itself():
    scatter = [1.0 + 0.1 * ((n * 7) % 5 - 2) for n in range(4000)]
    ring = Ring()
    run = measure({"a": ring.bout("a", *scatter)}, config(width=0.05, block_ms=1.0), clock=ring.clock)["a"]
    assert len(run.blocks_ns) > 20


def test_a_slow_first_inference_does_not_set_the_length():
    ring = Ring()
    run = measure({"a": ring.bout("a", 500.0, 1.0)}, config(block_ms=8.0), clock=ring.clock)["a"]
    assert len(run.blocks_ns[0]) == 8


def test_no_round_begins_after_the_budget_but_two_are_always_run():
    ring = Ring()
    runs = measure({"a": ring.bout("a", 900.0), "b": ring.bout("b", 900.0)}, config(budget_s=1.0), clock=ring.clock)
    assert [len(run.blocks_ns) for run in runs.values()] == [2, 2]
    assert len(measure({"a": Ring().bout("a", 1.0)}, config(blocks=1), clock=_ticking())["a"].blocks_ns) == 2


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
        measure({"a": ring.bout("a", *[1.0] * 7, 0.0)}, config(), clock=ring.clock)


def test_nothing_to_measure_is_refused():
    with pytest.raises(InputError, match="no candidate"):
        measure({}, config())


def test_the_real_clock_times_a_real_session():
    class Product(_Session):
        def run(self, feeds):
            return {"y": feeds["x"] @ feeds["x"]}

    bout = Bout(Product(Ring(), "a", [MS]), {"x": np.ones((32, 32), np.float32)})
    run = measure({"a": bout}, config(block_ms=0.5, warmup_ms=1.0, budget_s=0.5))["a"]
    assert len(run.blocks_ns) >= 2
    assert all(isinstance(ns, int) and ns > 0 for block in run.blocks_ns for ns in block)


def test_a_stopwatch_tells_seconds_since_its_start():
    ring = Ring()
    elapsed_s = stopwatch(ring.clock)
    ring.now += 1500 * MS
    assert elapsed_s() == 1.5
    ring.now += 500 * MS
    assert elapsed_s() == 2.0


def _ticking():
    ticks = iter(range(1, 10**9, MS))
    return lambda: next(ticks)


def test_steps_are_timed_one_by_one_and_together():
    ticks, seen = iter([0, 3, 10, 100, 104, 115]), []
    spent = time_steps((lambda x: x + 1, seen.append), 5, 2, clock=lambda: next(ticks))
    assert spent == ((3, 4), (7, 11), (10, 15))
    assert seen == [6, 6]
