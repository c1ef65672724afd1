"""A verdict as a table and in sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekd.report.gate_table import METRIC_NAMES, check_line, plain_text, verdict_line, verdict_table
from edgekd.results.limits import Limits
from edgekd.results.verdict import Check, Verdict
from tests.unit.report.example_verdict import AWKWARD_NAME, verdict

LATENCY = Check("net", "latency", 1.0, 1.2, 0.2, 0.1, 0.314, 0.001, 0.03, "regress")
PASSED = replace(LATENCY, new=1.0, change=0.0, low=-0.01, high=0.01, status="pass")
OPEN = replace(LATENCY, status="inconclusive", processes_needed=12, reason="7 processes are too few to decide")
EXACT = replace(LATENCY, metric="engine_size", old=1048576.0, new=2097152.0, change=1.0, low=1.0, high=1.0, p=None)
UNKNOWN = Check("net", "energy", None, None, None, None, None, None, 0.1, "inconclusive", reason="there is no sensor")


def judged(*checks, mode="paired"):
    return Verdict("edsr", mode, checks)


def test_every_limit_has_a_name():
    assert set(METRIC_NAMES) == set(Limits.__slots__)


def test_a_check_is_a_row():
    (row,) = verdict_table(judged(LATENCY)).rows
    assert row == (
        *("regress", "net", "latency, median ms", "1.00", "1.20", "20.0 % (10.0 to 31.4 %)", "3.0 %", "0.001"),
    )


def test_an_exact_figure_has_no_interval_and_no_p():
    (row,) = verdict_table(judged(EXACT)).rows
    assert row[3:] == ("1.00", "2.00", "100.0 %", "3.0 %", "–")


def test_what_was_not_measured_is_a_dash():
    (row,) = verdict_table(judged(UNKNOWN)).rows
    assert row[3:] == ("–", "–", "unknown", "10.0 %", "–")


def test_accuracy_is_in_the_metrics_unit():
    accuracy = replace(LATENCY, metric="accuracy", old=37.9, new=37.65, change=0.25, low=0.25, high=0.25)
    (row,) = verdict_table(judged(accuracy)).rows
    assert row[3:7] == ("37.9", "37.65", "0.25", "0.03")
    assert "worse by 0.25, limit 0.03" in check_line(accuracy)


def test_a_check_in_a_line_has_the_change_the_limit_and_both_figures():
    line = check_line(LATENCY)
    assert "net: latency is worse by 20.0 % (10.0 to 31.4 %), limit 3.0 %" in line
    assert "accepted 1.00, new 1.20" in line


def test_an_open_check_has_its_reason():
    assert check_line(UNKNOWN) == "net: energy is inconclusive: there is no sensor"


@pytest.mark.parametrize(("mode", "how"), [("paired", "interleaved"), ("recorded", "recorded baseline")])
def test_a_pass_names_how_it_was_measured(mode, how):
    line = verdict_line(judged(PASSED, PASSED, mode=mode))
    assert line.startswith("pass: 2 of 2 ")
    assert how in line


def test_every_regression_is_named_before_anything_open():
    line = verdict_line(judged(LATENCY, OPEN, EXACT))
    assert line.startswith("regress: net: latency is 20.0 % worse")
    assert "engine size is 100.0 % worse" in line
    assert "too few" not in line


def test_an_open_verdict_tells_what_to_do():
    line = verdict_line(judged(PASSED, OPEN, UNKNOWN))
    assert line.startswith("inconclusive: net: latency, 7 processes are too few")
    assert "and 1 more" in line
    assert "bench.processes=12" in line
    assert "bench.processes" not in verdict_line(judged(UNKNOWN))
    assert "more" not in verdict_line(judged(UNKNOWN))


def test_texts_are_one_line_without_control_characters():
    assert plain_text(AWKWARD_NAME) == "net <&>::,% "
    found = verdict()
    texts = [verdict_line(found), *map(check_line, found.checks)]
    for text in texts:
        assert "\n" not in text
        assert text.isprintable()
