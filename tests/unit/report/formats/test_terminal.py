"""Tables that fit the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgekd.report.formats import terminal
from edgekd.results.compare import compare
from tests.unit.report.example_result import bare, example, staged


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("result", [example(), bare()], ids=["pair", "bare"])
def test_no_line_is_wider_than_asked(width, result):
    lines = terminal.render(result, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert not any(line != line.rstrip() for line in lines)


def test_no_name_is_broken_at_80_columns():
    text = terminal.render(example(), width=80)
    assert all(text.count(candidate.name) >= 2 for candidate in example().candidates)


def test_one_table_where_there_is_room_and_two_where_there_is_not():
    for width, tables in ((140, 1), (80, 0)):
        lines = terminal.render(example(), width=width).splitlines()
        assert sum("p50 ms" in line and "peak MiB" in line for line in lines) == tables


def test_a_file_gets_no_colour_even_if_asked_for(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in terminal.render(example())


def test_a_terminal_gets_colour():
    file = io.StringIO()
    terminal.show(example(), Console(file=file, force_terminal=True, color_system="standard", width=100))
    assert "\x1b[" in file.getvalue()


def test_a_comparison_marks_what_cannot_be_told():
    text = terminal.render_comparison(compare([example()], "student/fp32"), width=80)
    row = next(line for line in text.splitlines() if line.strip().startswith("student/fp16"))
    assert "~" in row
    assert max(map(len, text.splitlines())) <= 80


def test_a_comparison_of_several_results_names_them():
    text = terminal.render_comparison(compare([example(), example(title="after")]), width=120)
    assert "student/int8 of after" in text


def test_stages_have_a_table_where_they_were_timed():
    text = terminal.render(staged(), width=100)
    assert "From picture to answer" in text
    (line,) = [line for line in text.splitlines() if line.strip().startswith("student/fp32") and "4.0" in line]
    assert line.split()[1:5] == ["2.00", "12.0", "2.00", "16.0"]
    assert "From picture" not in terminal.render(example(), width=100)
