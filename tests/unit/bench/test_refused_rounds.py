"""What becomes of a round in which a block broke a rule: refused for all candidates, kept, and run again."""

from __future__ import annotations

import pytest

from edgekd.bench.processes import _ensure_kept, _throttled
from edgekd.bench.rounds import RoundLog
from edgekd.bench.timing import measure
from edgekd.core.conditions import BlockConditions, BlockReading
from edgekd.core.errors import MachineError
from edgekd.results.result import Run
from tests.unit.bench.fake_clock import FakeClock, config


def scripted(*violation: str):
    """A watch whose readings have these violations; the first reading is before any block."""
    violations = iter(["", *violation])

    def watch() -> BlockReading:
        rule = next(violations, "")
        return BlockReading({"background_cores": 1.5 if rule else 0.1}, rule)

    return watch


def test_a_round_is_refused_for_all_candidates_and_run_again():
    clock = FakeClock()
    candidates = {name: clock.inference(name, 3.0) for name in "ab"}
    runs = measure(candidates, config(min_rounds=3), clock=clock.read, watch=scripted("", "", "", "loud", "", ""))
    for name in "ab":
        assert len(runs[name].blocks_ns) == 4
        assert runs[name].refused == ("", "loud", "", "")
        assert len(runs[name].kept_ns) == 3
    # The second round ran b first.
    assert runs["a"].block_conditions.background_cores == (0.1, 1.5, 0.1, 0.1)
    assert runs["b"].block_conditions.background_cores == (0.1, 0.1, 0.1, 0.1)
    assert runs["a"].block_conditions.temperature_c == ()


def test_rounds_are_run_again_until_the_budget_ends_and_no_longer():
    clock = FakeClock()
    candidates = {"a": clock.inference("a", 100.0)}
    run = measure(candidates, config(budget_s=1.0), clock=clock.read, watch=lambda: BlockReading({}, "loud"))["a"]
    assert set(run.refused) == {"loud"}
    assert run.kept_ns == ()
    assert len(run.blocks_ns) < 12
    with pytest.raises(MachineError, match=r"all \d rounds were refused, the last for loud"):
        _ensure_kept([run])


def test_a_process_that_kept_nothing_is_left_out_and_the_others_count():
    lost, kept = Run(((1,), (2,)), 0, refused=("loud", "loud")), Run(((3,), (4,)), 0, refused=("", "loud"))
    _ensure_kept([lost, kept])
    assert (lost.kept_ns, kept.kept_ns) == ((), ((3,),))


def test_without_a_watch_there_are_no_conditions():
    clock = FakeClock()
    run = measure({"a": clock.inference("a", 3.0)}, config(), clock=clock.read)["a"]
    assert (run.block_conditions, run.refused) == (BlockConditions(), ())


def test_the_log_keeps_the_first_rule_of_a_round():
    rounds = RoundLog()
    for name, rule in (("a", ""), ("b", "loud"), ("c", "hot")):
        rounds.note(name, BlockReading({}, rule))
    rounds.close_round()
    assert rounds.refused() == ("loud",)


def test_throttled_blocks_that_count_are_noted():
    run = Run(((1,),), 0, block_conditions=BlockConditions(temperature_c=(99.5,), trip_c=99.0))
    (note,) = _throttled({"a": [run]}, config())
    assert "1 of 1 blocks" in note
    assert "99.5 °C" in note
    assert _throttled({"a": [run]}, config(refuse_throttled=True)) == []
