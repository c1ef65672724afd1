"""Reporters: what each makes of the progress of a job."""

from __future__ import annotations

import io
import json

import pytest

from edgekd.core.reporter import JsonReporter, QuietReporter, Reporter


def drive(reporter: Reporter) -> None:
    """Report one of everything."""
    reporter.stage("export student", "started")
    reporter.message("opset 17")
    reporter.step("bench", 3, 7)
    reporter.warning("no sensor: grün")
    reporter.stage("export student", "done", "dynamo\nopset 17")


EVENTS = [
    {"event": "stage", "name": "export student", "state": "started", "detail": ""},
    {"event": "message", "text": "opset 17"},
    {"event": "step", "name": "bench", "done": 3, "total": 7},
    {"event": "warning", "text": "no sensor: grün"},
    {"event": "stage", "name": "export student", "state": "done", "detail": "dynamo\nopset 17"},
]


def test_a_json_log_has_one_object_per_line() -> None:
    log = io.StringIO()
    drive(JsonReporter(log))
    assert [json.loads(line) for line in log.getvalue().splitlines()] == EVENTS


def test_a_json_log_goes_to_stderr_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    drive(JsonReporter())
    written = capsys.readouterr()
    assert written.out == ""
    assert [json.loads(line) for line in written.err.splitlines()] == EVENTS


def test_every_event_is_flushed_when_it_happens() -> None:
    flushed: list[str] = []

    class Log(io.StringIO):
        def flush(self) -> None:
            flushed.append(self.getvalue())

    drive(JsonReporter(Log()))
    assert [text.count("\n") for text in flushed] == [1, 2, 3, 4, 5]


def test_a_quiet_reporter_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    drive(QuietReporter())
    assert capsys.readouterr() == ("", "")
