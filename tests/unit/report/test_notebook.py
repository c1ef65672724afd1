"""HTML for notebooks: whole, escaped, without style sheet or script."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from edgekd.report.notebook import result_html, verdict_html
from edgekd.report.tables import candidate_table
from tests.unit.report.example_result import CAVEAT, bare, example, timed_stages
from tests.unit.report.example_verdict import AWKWARD_NAME, layer_diff, verdict
from tests.unit.report.hostile_result import HOSTILE, hostile


class Parsed(HTMLParser):
    """Collects tags, texts and cells, and checks that tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.cells, self.open = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], "a tag was not closed"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.open[-1] == "td":
            self.cells.append(data)


@pytest.mark.parametrize("result", [example(), bare(), timed_stages()], ids=["pair", "bare", "stages"])
def test_a_result_is_one_element_with_its_table(result):
    found = Parsed(result_html(result))
    assert found.tags[0][0] == "div"
    assert result.title in found.texts
    (row, *_) = candidate_table(result).rows
    assert found.cells[: len(row)] == list(row)


def test_caveats_and_notes_are_shown():
    text = result_html(example())
    assert CAVEAT in text
    assert "a busy machine" in text


def test_the_runs_time_is_shown_where_it_is_known():
    assert "Run time by stage" in result_html(timed_stages())
    assert "Run time" not in result_html(example())


def test_no_text_becomes_markup():
    found = Parsed(result_html(hostile()))
    assert {tag for tag, _ in found.tags} == {"div", "b", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert HOSTILE in found.texts


def test_only_inline_styles_are_used():
    for text in (result_html(example()), verdict_html(verdict())):
        assert not any(tag in ("style", "script", "link", "img") for tag, _ in Parsed(text).tags)
        assert "class=" not in text
        assert "http" not in text


def test_a_verdict_has_its_line_and_a_row_a_check():
    found = Parsed(verdict_html(verdict("net")))
    assert any(text.startswith("regress: net: latency") for text in found.texts)
    assert found.cells.count("net") == len(verdict("net").checks)


@pytest.mark.parametrize(("limits", "status"), [({}, "regress"), ({"latency": 0.9}, "inconclusive")])
def test_a_verdict_has_the_colour_of_its_status(limits, status):
    colours = {"regress": "#d0342c", "inconclusive": "#b7791f"}
    found = verdict(**limits)
    assert found.status == status
    assert f"color:{colours[status]}" in verdict_html(found)
    passed = verdict(latency=0.9, peak_memory=None)
    assert not any(colour in verdict_html(passed) for colour in colours.values())


def test_an_awkward_name_is_flattened():
    texts = Parsed(verdict_html(verdict())).texts
    assert not any("\x00" in text for text in texts)
    assert AWKWARD_NAME not in texts


def test_nodes_of_a_regression_are_a_table():
    found = Parsed(verdict_html(replace(verdict("net"), layer_diffs=(layer_diff(),))))
    assert "body" in found.cells
    assert "+3.00" in found.cells
    unknown = replace(verdict("net"), layer_diffs=(layer_diff(changes=(), reason="there is no profile"),))
    assert "there is no profile" in verdict_html(unknown)
    assert "body" not in Parsed(verdict_html(unknown)).cells


def test_notes_of_a_verdict_are_shown():
    assert "on battery" in verdict_html(replace(verdict("net"), notes=("on battery",)))


def test_the_same_object_gives_the_same_html():
    assert result_html(example()) == result_html(example())
    assert verdict_html(verdict()) == verdict_html(verdict())
