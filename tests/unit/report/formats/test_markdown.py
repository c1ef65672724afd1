"""The report as GitHub Markdown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekd.report.formats import markdown
from edgekd.report.tables import candidate_table
from tests.unit.report.example_result import CAVEAT, bare, example, timed_end_to_end, timed_stages
from tests.unit.report.example_verdict import layer_diff, verdict


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", "a\\|b"),
        ("<script>", "&lt;script>"),
        ("two\nlines", "two lines"),
        ("*bold* _x_ `c` [l]", "\\*bold\\* \\_x\\_ \\`c\\` \\[l\\]"),
        ("R&D", "R&amp;D"),
    ],
)
def test_text_shows_as_itself(text, expected):
    assert markdown.escape(text) == expected


def test_every_row_has_as_many_cells_as_the_head():
    awkward = replace(example().candidates[0], name="a|b\n|c")
    for result in (example(), bare(), example(candidates=(awkward,))):
        lines = markdown.table(candidate_table(result)).splitlines()
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
        assert len(lines) == 2 + len(result.candidates)


def test_engines_come_with_their_caveat():
    text = markdown.render(example())
    assert f"> tensorrt\\_rtx: {CAVEAT}" in text
    assert "33 of 37" in text
    assert "Engines" not in markdown.render(bare())


def test_end_to_end_times_have_a_table_where_they_were_timed():
    text = markdown.render(timed_end_to_end())
    assert "| teacher/fp32 | 2.00 | 59.9 | 2.00 | 63.9 | 1 |" in text.partition("### End-to-end latency")[2]
    assert "End-to-end" not in markdown.render(example())


def test_the_runs_time_has_a_table_where_it_is_known():
    text = markdown.render(timed_stages())
    assert "| distill | 90.0 | 60 % |" in text.partition("### Run time by stage")[2]
    assert "Run time" not in markdown.render(example())


def test_empty_lists_have_no_heading():
    text = markdown.render(bare())
    assert [line for line in text.splitlines() if line.startswith("#")] == ["## foreign.onnx"]


def test_a_verdict_has_its_checks_its_nodes_and_its_notes():
    text = markdown.render_verdict(replace(verdict("net"), layer_diffs=(layer_diff(),), notes=("on battery",)))
    assert "| regress | net | latency, median ms |" in text
    assert "| body | Conv | 4.00 | 7.00 | +3.00 | 90 % |" in text
    assert "- on battery" in text


def test_a_verdict_without_a_profile_gives_the_reason_instead():
    unknown = layer_diff(changes=(), reason="there is no profile")
    text = markdown.render_verdict(replace(verdict("net"), layer_diffs=(unknown,)))
    assert "there is no profile" in text
    assert "| body" not in text
