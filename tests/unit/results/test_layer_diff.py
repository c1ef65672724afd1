"""Which nodes of a slower engine take more time, on profiles made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekd.results.gate import Limits, judge_paired
from edgekd.results.layer_diff import layer_diff
from edgekd.results.result import NodeTime
from tests.unit.report.example_result import example
from tests.unit.results.timed_candidates import NEW_NODES, OLD_NODES, profiled, timed


def test_the_largest_change_comes_first_with_its_share():
    found = layer_diff(*profiled())
    assert [(node.name, node.old_ms, node.new_ms, node.is_clear) for node in found.changes] == [
        ("body", 4.0, 7.0, True),
        ("relu", 0.5, 0.6, False),  # within the scatter of both profiles
    ]
    assert found.changes[0].share == pytest.approx(3 / 3.1)
    assert (found.others, found.others_ms) == (1, 0.0)
    assert (found.old_sum_ms, found.new_sum_ms) == (5.5, pytest.approx(8.6))
    assert found.old_latency_ms == pytest.approx(10, rel=0.02)
    assert found.new_latency_ms == pytest.approx(13, rel=0.02)


def test_nodes_of_only_one_engine_are_new_or_gone():
    fused = (NodeTime("stem+body", "FusedConv", 6.0, 0.0), NodeTime("relu", "Relu", 0.5, 0.0))
    found = {node.name: node for node in layer_diff(*profiled(new=fused)).changes}
    assert (found["stem+body"].old_ms, found["stem+body"].change_ms) == (None, 6.0)
    assert (found["body"].new_ms, found["body"].change_ms) == (None, -4.0)
    assert (found["body"].op, found["stem+body"].op) == ("Conv", "FusedConv")
    assert "relu" not in found


def test_nodes_that_share_a_name_are_added_up():
    twice = (*OLD_NODES, NodeTime("body", "Conv", 2.0, 0.0))
    (change, *_) = layer_diff(*profiled(new=twice)).changes
    assert (change.name, change.old_ms, change.new_ms) == ("body", 4.0, 6.0)


@pytest.mark.parametrize(("mad_ms", "is_clear"), [(0.0, True), (0.7, True), (0.71, False), (None, True)])
def test_a_change_is_clear_beyond_the_scatter_of_both(mad_ms, is_clear):
    """Two MADs of 0.7 add up to 0.99 in squares, which is less than the change of 1.0."""
    old, new = (NodeTime("conv", "Conv", 1.0, mad_ms),), (NodeTime("conv", "Conv", 2.0, mad_ms),)
    (change,) = layer_diff(*profiled(old, new)).changes
    assert change.is_clear is is_clear


def test_the_remaining_nodes_are_summed():
    old = tuple(NodeTime(f"n{i}", "Conv", 1.0) for i in range(9))
    new = tuple(NodeTime(f"n{i}", "Conv", 1.0 + i / 10) for i in range(9))
    found = layer_diff(*profiled(old, new), most=2)
    assert [node.name for node in found.changes] == ["n8", "n7"]
    assert (found.others, found.others_ms) == (7, pytest.approx(2.1))


def test_profiles_whose_sum_did_not_grow_give_no_share():
    found = layer_diff(*profiled(NEW_NODES, OLD_NODES))
    assert {node.share for node in found.changes} == {None}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ((), NEW_NODES, "no profile of the accepted engine"),
        (OLD_NODES, (), "no profile of the new engine"),
        ((), (), "the accepted engine or the new engine"),
    ],
)
def test_without_a_profile_there_is_a_reason(old, new, says):
    found = layer_diff(*profiled(old, new))
    assert (found.changes, found.others) == ((), 0)
    assert says in found.reason
    assert found.new_latency_ms > found.old_latency_ms  # these need no profile


@pytest.mark.parametrize("metric", ["latency", "latency_p99", "throughput"])
def test_profiles_explain_only_times_that_regressed_and_change_no_verdict(metric):
    limits = Limits(**{metric: 0.03, "engine_size": 0.0})
    for new_ms, explained in ((13.0, ["new"]), (10.0, [])):
        new, old = profiled(new_ms=new_ms)
        verdict = judge_paired(example(candidates=(old, new)), "new", "old", limits)
        assert [found.candidate for found in verdict.layer_diffs] == explained
        bare = example(candidates=(replace(old, nodes=()), replace(new, nodes=())))
        assert judge_paired(bare, "new", "old", limits).checks == verdict.checks


def test_a_size_that_regressed_is_not_explained_by_layers():
    new, old = timed("new", 10.0, nodes=NEW_NODES, engine_bytes=2_000_000), timed("old", 10.0, nodes=OLD_NODES)
    verdict = judge_paired(example(candidates=(old, new)), "new", "old", Limits(latency=0.5, engine_size=0.0))
    assert (verdict.status, verdict.layer_diffs) == ("regress", ())
