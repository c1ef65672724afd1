"""Time per node: the slowest nodes, and which nodes a regression comes from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekd.report.nodes import (
    check_words,
    layer_diff_head,
    layer_diff_line,
    layer_diff_table,
    node_charts,
    node_lines,
    node_section,
)
from edgekd.results.result import NodeTime
from edgekd.results.verdict import TIMED, Check, Verdict
from tests.unit.report.example_result import example
from tests.unit.report.example_verdict import layer_diff

NODES = tuple(NodeTime(f"node\n{i}", "Conv" if i else "", 4.0 - i / 5, 0.01) for i in range(18))
SUM_MS = sum(node.median_ms for node in NODES)


def profiled(nodes=NODES):
    """Make a result whose teacher/int8 and student/int8 were profiled."""
    found = [replace(c, nodes=nodes) if c.precision == "int8" else c for c in example().candidates]
    return example(candidates=tuple(found))


def test_a_line_names_the_slowest_nodes_of_each_profiled_candidate():
    lines = node_lines(profiled())
    assert len(lines) == 2
    assert lines[0].startswith("teacher/int8, nodes with profiling on: profiled sum ")
    assert f"node 0 4.00 ms ({100 * 4 / SUM_MS:.0f} %)" in lines[0]
    assert "node 3" not in lines[0]
    assert node_lines(example()) == ()


def test_a_chart_has_the_slowest_nodes_and_one_bar_for_the_rest():
    teacher, student = node_charts(profiled(NODES[::-1]))
    assert (teacher.candidate, teacher.role, student.role) == ("teacher/int8", 0, 1)
    assert [bar.ms for bar in teacher.bars[:2]] == [4.0, 3.8]
    assert (len(teacher.bars), teacher.bars[-1].name, teacher.bars[-1].nodes) == (16, "3 others", 3)
    assert sum(bar.share for bar in teacher.bars) == pytest.approx(1)
    assert sum(bar.ms for bar in teacher.bars) == pytest.approx(teacher.sum_ms)


def test_a_profile_of_zeros_has_no_shares():
    zeros = (NodeTime("a", "Conv", 0.0), NodeTime("b", "Conv", 0.0))
    assert [bar.share for bar in node_charts(profiled(zeros))[0].bars] == [0.0, 0.0]
    assert "a 0.000 ms (–)" in node_lines(profiled(zeros))[0]
    assert "width:0.0%" in node_section(profiled(zeros))


def test_the_rest_has_no_bar_and_its_width_is_relative_to_the_slowest():
    section = node_section(profiled())
    assert section.count("<li") == 32
    assert section.count("width:100.0%") == 2
    assert section.count("<i></i>") == 2
    assert node_section(example()) == ""


def test_changes_are_signed_and_marked_where_they_are_within_the_scatter():
    table = layer_diff_table(layer_diff())
    assert table.rows[0] == ("body", "Conv", "4.00", "7.00", "+3.00", "90 %")
    assert table.rows[1] == ("fused", "–", "absent", "0.500", "+0.500", "15 %")
    assert table.rows[2] == ("relu", "Relu", "0.500", "absent", "~ -0.500", "-15 %")
    assert table.rows[3] == ("2 others", "", "", "", "-0.100", "")


def test_nothing_is_left_over_of_a_small_network():
    assert len(layer_diff_table(layer_diff(others=0)).rows) == 3
    assert "other" not in layer_diff_line(layer_diff(others=0))
    assert "1 other -" in layer_diff_line(layer_diff(others=1))


def test_a_line_names_new_nodes_and_those_that_are_gone():
    line = layer_diff_line(layer_diff())
    assert "body +3.00 ms (90 %), fused +0.500 ms (new, 15 %), relu ~ -0.500 ms (gone, -15 %)" in line
    assert "2 others -0.100 ms" in line


def test_a_node_without_a_share_stands_without_one():
    nodes = tuple(replace(node, share=None) for node in layer_diff().changes)
    found = layer_diff(changes=nodes)
    assert "body +3.00 ms, fused +0.500 ms (new), relu" in layer_diff_line(found)
    assert [row[-1] for row in layer_diff_table(found).rows[:3]] == ["–", "–", "–"]


def test_a_profile_that_did_not_grow_says_so():
    assert "does not show" in layer_diff_head(layer_diff(new_sum_ms=5.0))
    assert "does not show" not in layer_diff_head(layer_diff())


def test_without_a_profile_there_is_a_reason():
    line = layer_diff_line(layer_diff(changes=(), reason="there is no profile of the new engine"))
    assert line == "net: no node is named: there is no profile of the new engine"


def test_equal_profiles_name_no_node():
    assert ": none" in layer_diff_line(layer_diff(changes=(), others=0))


@pytest.mark.parametrize("metric", [*TIMED, "engine_size"])
@pytest.mark.parametrize("status", ["regress", "inconclusive"])
def test_only_a_regression_of_time_is_explained_by_nodes(metric, status):
    check = Check("net", metric, 1.0, 1.2, 0.2, 0.1, 0.3, 0.001, 0.03, status)
    found = check_words(Verdict("edsr", "paired", (check,), layer_diffs=(layer_diff(),)), check)
    assert ("body +3.00 ms" in found) is (metric in TIMED and status == "regress")


def test_another_candidates_profile_explains_nothing():
    check = Check("net", "latency", 1.0, 1.2, 0.2, 0.1, 0.3, 0.001, 0.03, "regress")
    other = layer_diff(candidate="other")
    assert "body" not in check_words(Verdict("edsr", "paired", (check,), layer_diffs=(other,)), check)
