"""Which nodes a slower engine spends its time in: profiles made by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgekd.core.family import load, names
from edgekd.report.nodes import blame_line, blame_table
from edgekd.results.gate import Limits, judge_paired, judge_recorded
from edgekd.results.layer_diff import blame
from edgekd.results.result import NodeTime
from tests.unit.report.example_result import example
from tests.unit.results.test_gate import beside, timed

OLD = (NodeTime("stem", "Conv", 1.0, 0.01), NodeTime("body", "Conv", 4.0, 0.05), NodeTime("relu", "Relu", 0.5, 0.2))
NEW = (NodeTime("stem", "Conv", 1.0, 0.01), NodeTime("body", "Conv", 7.0, 0.05), NodeTime("relu", "Relu", 0.6, 0.2))


def pair(old=OLD, new=NEW, new_ms=13.0):
    return timed("new", new_ms, nodes=new), timed("old", 10.0, nodes=old)


def test_the_furthest_first_with_its_share():
    found = blame(*pair())
    assert [(node.name, node.old_ms, node.new_ms, node.is_clear) for node in found.moved] == [
        ("body", 4.0, 7.0, True),
        ("relu", 0.5, 0.6, False),  # within what both scatter
    ]
    assert found.moved[0].share == pytest.approx(3 / 3.1)
    assert (found.others, found.others_ms) == (1, 0.0)
    assert (found.old_sum_ms, found.new_sum_ms) == (5.5, pytest.approx(8.6))
    assert found.old_latency_ms == pytest.approx(10, rel=0.02)


def test_nodes_of_one_engine_alone_are_new_or_gone():
    fused = (NodeTime("stem+body", "FusedConv", 6.0, 0.0), NodeTime("relu", "Relu", 0.5, 0.0))
    found = {node.name: node for node in blame(*pair(new=fused)).moved}
    assert (found["stem+body"].old_ms, found["stem+body"].change_ms) == (None, 6.0)
    assert (found["body"].new_ms, found["body"].change_ms) == (None, -4.0)
    assert "relu" not in found
    line = blame_line(blame(*pair(new=fused)))
    assert "stem+body +6.00 ms (new, 600 %), body -4.00 ms (gone, -400 %)" in line


def test_nodes_of_one_name_are_added_up():
    twice = (*OLD, NodeTime("body", "Conv", 2.0, 0.0))
    (moved, *_) = blame(*pair(new=twice)).moved
    assert (moved.name, moved.old_ms, moved.new_ms) == ("body", 4.0, 6.0)


def test_what_is_left_over_is_summed():
    old = tuple(NodeTime(f"n{i}", "Conv", 1.0) for i in range(9))
    new = tuple(NodeTime(f"n{i}", "Conv", 1.0 + i / 10) for i in range(9))
    slower, accepted = pair(old, new)
    found = blame(slower, accepted, most=2)
    assert [node.name for node in found.moved] == ["n8", "n7"]
    assert (found.others, found.others_ms) == (7, pytest.approx(2.1))
    assert blame_table(found).rows[-1][0] == "7 others"


def test_a_profile_that_does_not_show_it_says_so_and_gives_no_share():
    found = blame(*pair(NEW, OLD))
    assert {node.share for node in found.moved} == {None}
    assert "which does not show it" in blame_line(found)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [((), NEW, "no profile of the accepted engine"), ((), (), "the accepted engine or the new engine")],
)
def test_without_a_profile_it_says_why(old, new, says):
    found = blame(*pair(old, new))
    assert found.moved == ()
    assert says in found.why
    assert says in blame_line(found)


@pytest.mark.parametrize("metric", ["latency", "latency_p99", "throughput"])
def test_only_time_that_regressed_is_blamed_and_no_verdict_changes(metric):
    limits = Limits(**{metric: 0.03, "engine_size": 0.0})
    for new_ms, blamed in ((13.0, ["new"]), (10.0, [])):
        new, old = pair(new_ms=new_ms)
        verdict = judge_paired(example(candidates=(old, new)), "new", "old", limits)
        assert [found.candidate for found in verdict.blames] == blamed
        bare = example(candidates=(replace(old, nodes=()), replace(new, nodes=())))
        assert judge_paired(bare, "new", "old", limits).checks == verdict.checks


def test_a_size_that_regressed_blames_nobody():
    new, old = pair(new_ms=10.0)
    result = example(candidates=(old, replace(new, engine_bytes=2_000_000)))
    verdict = judge_paired(result, "new", "old", Limits(latency=0.5, engine_size=0.0))
    assert (verdict.status, verdict.blames) == ("regress", ())


@pytest.mark.parametrize(
    "name", [name for name in names("report.formats") if hasattr(load("report.formats", name), "render_verdict")]
)
def test_recorded_results_blame_in_every_format(name):
    old, new = (beside(timed("net", ms, nodes=of)) for ms, of in ((10.0, OLD), (13.0, NEW)))
    verdict = judge_recorded(new, old, Limits(latency=0.03))
    assert json.loads(verdict.to_json())["blames"][0]["moved"][0]["name"] == "body"
    text = " ".join(load("report.formats", name).render_verdict(verdict).split())
    assert "with profiling on" in text
    assert "+3.00" in text
    assert "97 %" in text
    assert "~ +0.100" in text.replace("\\~", "~")
    without = judge_recorded(beside(timed("net", 13.0)), old, Limits(latency=0.03))
    assert "there is no profile of the new engine" in load("report.formats", name).render_verdict(without).replace(
        "\n", " "
    )
