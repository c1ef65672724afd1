"""A gate's verdict as GitHub workflow commands: annotations on the run, one a check that did not pass.

Source: GitHub Docs, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

from edgekd.report.gate_table import plain_text, verdict_line
from edgekd.report.nodes import check_words
from edgekd.results.gate import Verdict

FILE_NAME = "gate.github.txt"
MACHINES_READ = "GitHub Actions, from a step's output"


def render_verdict(verdict: Verdict) -> str:
    """Return the commands: an error a regress, a warning a check that stays open, and a notice with the whole."""
    commands = {"regress": "error", "inconclusive": "warning"}
    lines = [
        _command(commands[check.status], f"{check.candidate}: {check.metric}", check_words(verdict, check))
        for check in verdict.checks
        if check.status in commands
    ]
    return "\n".join([*lines, _command("notice", "edgekd gate", verdict_line(verdict))]) + "\n"


def _command(name: str, title: str, text: str) -> str:
    return f"::{name} title={_property(title)}::{_data(text)}"


def _data(text: str) -> str:
    return plain_text(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
