"""Interleaved timing: order, lengths, warm-up and budget, on a clock that the test moves."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from edgekd.bench.timing import measure, time_block, time_steps
from edgekd.core.clock import stopwatch
from edgekd.core.errors import InputError, MachineError
from tests.unit.bench.fake_clock import MS, FakeClock, config


def test_rounds_run_in_balanced_order():
    clock = FakeClock()
    candidates = {name: clock.inference(name, 3.0) for name in "ABC"}
    runs = measure(candidates, config(), clock=clock.read)
    warmups = sum(run.warmup_iterations for run in runs.values())
    assert "".join(clock.log[warmups:]) == "ABCCBAABCCBA"
    assert clock.log[:warmups] == sorted(clock.log[:warmups])


def test_raw_nanoseconds_are_kept_block_by_block():
    clock = FakeClock()
    candidates = {"a": clock.inference("a", 9, *[1.5] * 2, 1, 1, 2, 3)}
    runs = measure(candidates, config(min_rounds=2, ci_half_width=9), clock=clock.read)
    assert runs["a"].warmup_iterations == 3
    assert runs["a"].blocks_ns == ((1 * MS, 1 * MS), (2 * MS, 3 * MS))


@pytest.mark.parametrize(
    ("latency_ms", "changes", "iterations"),
    [(1.0, {"block_ms": 5.0}, 5), (0.9, {"block_ms": 5.0}, 6), (50.0, {"block_ms": 5.0, "min_iterations": 3}, 3)],
)
def test_a_block_lasts_long_enough(latency_ms, changes, iterations):
    clock = FakeClock()
    run = measure({"a": clock.inference("a", latency_ms)}, config(**changes), clock=clock.read)["a"]
    assert {len(block) for block in run.blocks_ns} == {iterations}


def test_warm_up_lasts_as_asked_and_is_discarded():
    clock = FakeClock()
    run = measure({"a": clock.inference("a", 2.0)}, config(warmup_ms=40.0), clock=clock.read)["a"]
    assert run.warmup_iterations == 1 + 10 + 10
    assert run.is_steady
    assert len(clock.log) == run.warmup_iterations + sum(map(len, run.blocks_ns))


def test_warm_up_goes_on_until_latency_is_steady():
    clock = FakeClock()
    falling = [20.0 * 0.9**n for n in range(30)]
    run = measure({"a": clock.inference("a", *falling, 0.8)}, config(warmup_ms=20.0), clock=clock.read)["a"]
    assert run.is_steady
    assert run.warmup_iterations > 30
    assert {ns for block in run.blocks_ns for ns in block} == {round(0.8 * MS)}


@pytest.mark.parametrize(("change", "warmups"), [(1.04, 3), (0.96, 3), (0.94, 7), (1.06, 7)])
def test_single_inferences_of_a_slow_network_may_lie_five_percent_apart(change, warmups):
    clock = FakeClock()
    latencies_ms = [300.0 * change**n for n in range(20)]
    run = measure({"a": clock.inference("a", *latencies_ms)}, config(warmup_ms=100.0), clock=clock.read)["a"]
    assert (run.warmup_iterations, run.is_steady) == (warmups, warmups == 3)


def test_latency_that_never_settles_is_marked():
    clock = FakeClock()
    run = measure({"a": clock.inference("a", *(1.2**n for n in range(60)))}, config(warmup_ms=9.0), clock=clock.read)[
        "a"
    ]
    assert not run.is_steady
    assert sum(clock.spent_ms[: run.warmup_iterations]) >= 90.0


def test_rounds_go_on_until_the_ratio_is_narrow():
    scatter = [1.0 + 0.1 * ((n * 7) % 5 - 2) for n in range(4000)]
    rounds = []
    for width in (0.2, 0.1, 0.03):
        clock = FakeClock()
        candidates = {"a": clock.inference("a", 1.0), "b": clock.inference("b", *scatter)}
        runs = measure(candidates, config(ci_half_width=width, block_ms=1.0), clock=clock.read)
        assert len(runs["a"].blocks_ns) == len(runs["b"].blocks_ns)
        rounds.append(len(runs["b"].blocks_ns))
    assert rounds[0] < rounds[1] < rounds[2]
    # 95 % of a median's standard error, 1.96 * 1.25 * 0.15 / sqrt(rounds), is three hundredths.
    assert 110 < rounds[2] < 220


def test_rounds_do_not_wait_for_the_reference_workload():
    scatter = [1.0 + 0.1 * ((n * 7) % 5 - 2) for n in range(4000)]
    clock = FakeClock()
    candidates = {
        "a": clock.inference("a", 1.0),
        "b": clock.inference("b", 2.0),
        "c": clock.inference("c", *scatter),
    }
    runs = measure(candidates, config(ci_half_width=0.01, block_ms=1.0), deciding=["a", "b"], clock=clock.read)
    assert len(runs["a"].blocks_ns) == len(runs["b"].blocks_ns) == len(runs["c"].blocks_ns) < 20


def test_processes_share_the_width():
    scatter = [1.0 + 0.1 * ((n * 7) % 5 - 2) for n in range(4000)]
    rounds = []
    for processes in (1, 4):
        clock = FakeClock()
        candidates = {"a": clock.inference("a", 1.0), "b": clock.inference("b", *scatter)}
        runs = measure(candidates, config(ci_half_width=0.05, block_ms=1.0, processes=processes), clock=clock.read)
        rounds.append(len(runs["b"].blocks_ns))
    assert rounds[0] == pytest.approx(4 * rounds[1], rel=0.1)


def test_one_candidate_alone_is_narrow_in_itself():
    scatter = [1.0 + 0.1 * ((n * 7) % 5 - 2) for n in range(4000)]
    clock = FakeClock()
    run = measure({"a": clock.inference("a", *scatter)}, config(ci_half_width=0.05, block_ms=1.0), clock=clock.read)[
        "a"
    ]
    assert len(run.blocks_ns) > 20


def test_a_slow_first_inference_does_not_set_the_length():
    clock = FakeClock()
    run = measure({"a": clock.inference("a", 500.0, 1.0)}, config(block_ms=8.0), clock=clock.read)["a"]
    assert len(run.blocks_ns[0]) == 8


def test_no_round_begins_after_the_budget_but_two_are_always_run():
    clock = FakeClock()
    runs = measure(
        {"a": clock.inference("a", 900.0), "b": clock.inference("b", 900.0)}, config(budget_s=1.0), clock=clock.read
    )
    assert [len(run.blocks_ns) for run in runs.values()] == [2, 2]
    assert (
        len(measure({"a": FakeClock().inference("a", 1.0)}, config(min_rounds=1), clock=_ticking())["a"].blocks_ns) == 2
    )


def test_the_collector_is_off_during_a_block_only():
    states = []
    assert gc.isenabled()
    measure({"a": lambda: states.append(gc.isenabled())}, config(), clock=_ticking())
    assert gc.isenabled()
    assert set(states) == {False}
    assert gc.get_freeze_count() == 0


def test_the_collector_comes_back_after_a_failure():
    def failing():
        raise MachineError("out of memory")

    with pytest.raises(MachineError, match="out of memory"):
        measure({"a": failing}, config(), clock=_ticking())
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        time_block(FakeClock().inference("a", 1.0), 2)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_clock_that_does_not_advance_is_refused():
    clock = FakeClock()
    with pytest.raises(MachineError, match="an inference of a took 0 ns"):
        measure({"a": clock.inference("a", *[1.0] * 7, 0.0)}, config(), clock=clock.read)


def test_nothing_to_measure_is_refused():
    with pytest.raises(InputError, match="no candidate"):
        measure({}, config())


def test_the_real_clock_times_a_real_inference():
    matrix = np.ones((32, 32), np.float32)
    run = measure({"a": lambda: matrix @ matrix}, config(block_ms=0.5, warmup_ms=1.0, budget_s=0.5))["a"]
    assert len(run.blocks_ns) >= 2
    assert all(isinstance(ns, int) and ns > 0 for block in run.blocks_ns for ns in block)


def test_a_stopwatch_gives_seconds_since_its_start():
    clock = FakeClock()
    elapsed_s = stopwatch(clock.read)
    clock.now += 1500 * MS
    assert elapsed_s() == 1.5
    clock.now += 500 * MS
    assert elapsed_s() == 2.0


def _ticking():
    ticks = iter(range(1, 10**9, MS))
    return lambda: next(ticks)


def test_steps_are_timed_one_by_one_and_together():
    ticks, given = iter([0, 3, 10, 100, 104, 115]), []
    spent = time_steps((lambda x: x + 1, given.append), 5, 2, clock=lambda: next(ticks))
    assert spent == ((3, 4), (7, 11), (10, 15))
    assert given == [6, 6]
