"""The report as text that fits the terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from edgekd.report.formats import terminal
from edgekd.results.compare import compare
from tests.unit.report.example_result import bare, example, timed_end_to_end, timed_stages
from tests.unit.report.example_verdict import layer_diff, verdict


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("result", [example(), bare(), timed_stages()], ids=["pair", "bare", "stages"])
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


def test_a_file_has_no_colour_whatever_the_environment_asks_for(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in terminal.render(example())


def test_a_terminal_has_colour():
    file = io.StringIO()
    terminal.show(example(), Console(file=file, force_terminal=True, color_system="standard", width=100))
    assert "\x1b[" in file.getvalue()


def test_a_comparison_marks_what_is_not_measurable():
    text = terminal.render_comparison(compare([example()], "student/fp32"), width=80)
    row = next(line for line in text.splitlines() if line.strip().startswith("student/fp16"))
    assert "~" in row
    assert max(map(len, text.splitlines())) <= 80


def test_a_comparison_of_several_results_names_them():
    text = terminal.render_comparison(compare([example(), example(title="after")]), width=120)
    assert "student/int8 of after" in text


def test_end_to_end_times_have_a_table_where_they_were_timed():
    text = terminal.render(timed_end_to_end(), width=100)
    assert "End-to-end latency" in text
    lines = text.partition("End-to-end latency")[2].splitlines()
    line = next(line for line in lines if line.strip().startswith("student/fp32"))
    assert line.split()[1:5] == ["2.00", "12.0", "2.00", "16.0"]
    assert "End-to-end" not in terminal.render(example(), width=100)


def test_the_runs_time_has_a_table_where_it_is_known():
    lines = [line.split() for line in terminal.render(timed_stages()).splitlines()]
    assert ["distill", "90.0", "60", "%"] in lines
    assert ["total", "150.0"] in lines
    assert "Run time" not in terminal.render(example())


def test_the_precision_has_a_column_only_where_a_name_lacks_it():
    assert "precision" not in terminal.render(example(), width=200)
    placed = tuple(replace(c, name=f"{c.name}/tensorrt") for c in example().candidates)
    assert "precision" not in terminal.render(example(candidates=placed), width=200)
    named = (replace(example().candidates[0], name="mine"), *example().candidates[1:])
    assert "precision" in terminal.render(example(candidates=named), width=200)


def test_a_long_build_log_is_shortened():
    engines = tuple(replace(row, summary="word " * 60) for row in example().engines)
    text = terminal.render(example(engines=engines), width=200)
    assert "…" in text
    assert text.count("word") < 30 * len(engines)


def test_a_name_is_not_read_as_markup():
    result = example(title="[bold]x[/bold]")
    assert "[bold]x[/bold]" in terminal.render(result)


def test_a_verdict_has_its_checks_its_nodes_and_its_notes():
    found = replace(verdict("net"), layer_diffs=(layer_diff(),), notes=("on battery",))
    text = terminal.render_verdict(found, width=120)
    assert "! on battery" in text
    assert ["body", "Conv", "4.00", "7.00", "+3.00", "90", "%"] in [line.split() for line in text.splitlines()]
    assert text.splitlines()[-1].startswith("regress: net: latency")


def test_a_verdict_without_a_profile_gives_the_reason_instead():
    unknown = layer_diff(changes=(), reason="there is no profile")
    text = terminal.render_verdict(replace(verdict("net"), layer_diffs=(unknown,)), width=120)
    assert "there is no profile" in text
    assert "operator" not in text
