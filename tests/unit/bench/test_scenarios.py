"""What a query is in each scenario, and who answers it."""

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
    """Notes what it was fed and in which thread; fails on a 9."""

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


def test_one_stream_answers_in_turn_in_the_session_that_is_told_of():
    log = []
    session = Session(log)
    with scenarios.runner(lambda: session, BenchConfig(scenario="offline")) as (runner, told_of):
        runner.run(tuple(SAMPLES))
    assert [fed for fed, *_ in log] == [0, 1, 2]
    assert told_of is session
    assert session.closed


def test_streams_share_a_query_out_each_in_its_own_thread():
    log, opened = [], []

    def open_session():
        opened.append(Session(log))
        return opened[-1]

    query = tuple(SAMPLES * 8)
    with scenarios.runner(open_session, BenchConfig(scenario="offline", streams=3)) as (runner, session):
        runner.run(query)
        assert sorted(fed for fed, *_ in log) == sorted(float(feeds["x"][0, 0]) for feeds in query)
        runner.run(query)
    assert len(log) == 2 * len(query)
    assert all(ran_in == opened_in for _, ran_in, opened_in in log)
    assert threading.get_ident() not in {ran_in for _, ran_in, _ in log}
    assert len(opened) == 4
    assert session is opened[0]
    assert all(one.closed for one in opened)


def test_what_goes_wrong_in_a_stream_is_raised_where_the_query_was_asked():
    nine = {"x": np.full((1, 2), 9, np.float32)}
    with scenarios.runner(lambda: Session([]), BenchConfig(scenario="offline", streams=2)) as (runner, _):
        with pytest.raises(InputError, match="no nines"):
            runner.run((SAMPLES[0], nine, SAMPLES[1]))
        runner.run(tuple(SAMPLES))  # and the streams go on


def test_a_stream_that_does_not_open_says_so():
    calls, opened = [], []

    def open_session():
        calls.append(1)
        if len(calls) == 3:
            raise InputError("too many")
        opened.append(Session([]))
        return opened[-1]

    with (
        pytest.raises(InputError, match="too many"),
        scenarios.runner(open_session, BenchConfig(scenario="offline", streams=2)),
    ):
        pass
    assert [one.closed for one in opened] == [True, True]  # who opened, closes


def test_streams_are_offline_s():
    with pytest.raises(
        RecipeError, match=r'streams = 2 with scenario = \'single_stream\'; .* write scenario = "offline"'
    ):
        BenchConfig(streams=2)
