"""Markdown that shows text as itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekd.report.figures import candidate_table
from edgekd.report.formats import markdown
from tests.unit.report.example_result import NOTICE, bare, example, staged


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
    evil = replace(example().candidates[0], name="a|b\n|c")
    for result in (example(), bare(), example(candidates=(evil,))):
        lines = markdown.table(candidate_table(result)).splitlines()
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
        assert len(lines) == 2 + len(result.candidates)


def test_engines_come_with_their_notice():
    text = markdown.render(example())
    assert f"> tensorrt\\_rtx: {NOTICE}" in text
    assert "33 of 37" in text
    assert "Engines" not in markdown.render(bare())


def test_stages_have_a_table_where_they_were_timed():
    text = markdown.render(staged())
    assert "| teacher/fp32 | 2.00 | 59.9 | 2.00 | 63.9 | 1 |" in text.partition("### From picture to answer")[2]
    assert "From picture" not in markdown.render(example())
