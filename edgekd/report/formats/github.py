"""A gate's verdict as GitHub workflow commands: one annotation for each check that did not pass.

Source: GitHub Docs, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

from edgekd.report.gate_table import plain_text, verdict_line
from edgekd.report.nodes import check_words
from edgekd.results.verdict import Verdict

FILE_NAME = "gate.github.txt"
READ_BY = "GitHub Actions, from a step's output"

_COMMANDS = {"regress": "error", "inconclusive": "warning"}


def render_verdict(verdict: Verdict) -> str:
    """Return the commands: errors for regressions, warnings for inconclusive checks, a notice with the verdict."""
    lines = []
    for check in verdict.checks:
        if check.status in _COMMANDS:
            title = f"{check.candidate}: {check.metric}"
            lines.append(_command(_COMMANDS[check.status], title, check_words(verdict, check)))
    lines.append(_command("notice", "edgekd gate", verdict_line(verdict)))
    return "\n".join(lines) + "\n"


def _command(name: str, title: str, text: str) -> str:
    return f"::{name} title={_property(title)}::{_data(text)}"


def _data(text: str) -> str:
    return plain_text(text).replace("%", "%25")


def _property(text: str) -> str:
    # A property ends at a comma, a command at "::".
    return _data(text).replace(":", "%3A").replace(",", "%2C")
