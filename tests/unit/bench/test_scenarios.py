"""What a query is in each scenario, and which sessions run it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from edgekd.bench import scenarios
from edgekd.core.config import BenchConfig
from edgekd.core.errors import InputError, RecipeError
from edgekd.core.tensor import DimRange, TensorSpec

FIXED = (TensorSpec("x", (1, 2), "float32"),)
GROWS = (TensorSpec("x", ("n", 2), "float32", {"n": DimRange(1, 1, 8)}),)
SHORT = (TensorSpec("x", ("n", 2), "float32", {"n": DimRange(1, 1, 4)}),)
SAMPLES = [{"x": np.full((1, 2), index, np.float32)} for index in range(3)]


class Session:
    """Records what it was fed and in which thread; fails on a 9."""

    inputs: tuple[TensorSpec, ...] = FIXED
    outputs: tuple[TensorSpec, ...] = FIXED

    def __init__(self, log):
        self.log, self.closed = log, False
        self.opened_in = threading.get_ident()

    def run(self, feeds):
        if (feeds["x"] == 9).any():
            raise InputError("no nines")
        self.log.append((float(feeds["x"][0, 0]), threading.get_ident(), self.opened_in))
        return {}

    def close(self):
        self.closed = True


@pytest.mark.parametrize(
    ("scenario", "inputs", "inferences", "samples"),
    [
        ("single_stream", FIXED, [1], 1),
        ("multi_stream", FIXED, [1] * 8, 8),
        ("multi_stream", GROWS, [8], 8),
        ("multi_stream", SHORT, [1] * 8, 8),  # eight are more than the engine takes at once
        ("offline", GROWS, [1] * 24, 24),
    ],
)
def test_a_query_is_what_the_scenario_says(scenario, inputs, inferences, samples):
    asked = scenarios.query(inputs, SAMPLES, BenchConfig(scenario=scenario))
    assert [scenarios.batch_of(feeds) for feeds in asked] == inferences
    assert scenarios.samples_in(asked) == samples
    taken = np.concatenate([feeds["x"] for feeds in asked])[:, 0]
    assert taken.tolist() == [index % 3 for index in range(samples)]


def test_a_scalar_input_is_a_batch_of_one():
    assert scenarios.batch_of({"x": np.float32(3).reshape(())}) == 1


def test_one_stream_runs_a_query_one_after_another():
    log = []
    session = Session(log)
    config = BenchConfig(scenario="offline")
    with scenarios.open_query(lambda: session, tuple(SAMPLES), config) as (run, asked_about):
        run()
    assert [fed for fed, *_ in log] == [0, 1, 2]
    assert asked_about is session
    assert session.closed


def test_a_query_of_one_inference_is_the_sessions_own_call():
    log = []
    with scenarios.open_query(lambda: Session(log), (SAMPLES[2],), BenchConfig()) as (run, session):
        run()
        assert getattr(run, "func", None) == session.run
    assert [fed for fed, *_ in log] == [2]


def test_streams_share_a_query_out_each_in_its_own_thread():
    log, opened = [], []

    def open_session():
        opened.append(Session(log))
        return opened[-1]

    query = tuple(SAMPLES * 8)
    config = BenchConfig(scenario="offline", streams=3)
    with scenarios.open_query(open_session, query, config) as (run, session):
        run()
        assert sorted(fed for fed, *_ in log) == sorted(float(feeds["x"][0, 0]) for feeds in query)
        run()
    assert len(log) == 2 * len(query)
    assert all(ran_in == opened_in for _, ran_in, opened_in in log)
    assert threading.get_ident() not in {ran_in for _, ran_in, _ in log}
    assert len(opened) == 4
    assert session is opened[0]
    assert all(one.closed for one in opened)


def test_a_failure_in_a_stream_is_raised_by_the_query():
    nine = {"x": np.full((1, 2), 9, np.float32)}
    config = BenchConfig(scenario="offline", streams=2)
    with scenarios.open_query(lambda: Session([]), (SAMPLES[0], nine, SAMPLES[1]), config) as (run, _):
        for _ in range(2):  # the streams go on after a failure
            with pytest.raises(InputError, match="no nines"):
                run()


def test_a_stream_that_does_not_open_closes_the_others():
    calls, opened = [], []

    def open_session():
        calls.append(1)
        if len(calls) == 3:
            raise InputError("too many")
        opened.append(Session([]))
        return opened[-1]

    config = BenchConfig(scenario="offline", streams=2)
    with (
        pytest.raises(InputError, match="too many"),
        scenarios.open_query(open_session, tuple(SAMPLES), config),
    ):
        pass
    assert [one.closed for one in opened] == [True, True]


def test_streams_need_the_offline_scenario():
    with pytest.raises(RecipeError, match="streams = 2 with scenario = 'single_stream'"):
        BenchConfig(streams=2)
