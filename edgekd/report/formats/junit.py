"""A gate's verdict as JUnit XML: one test case a check, for CI servers that list tests."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from edgekd.report.gate_table import plain_text
from edgekd.report.nodes import check_words
from edgekd.results.gate import Verdict

FILE_NAME = "gate.junit.xml"
MACHINES_READ = "JUnit's schema as Jenkins, GitLab and others read it"


def render_verdict(verdict: Verdict) -> str:
    """Return the XML: regress is a failure, inconclusive is skipped with its reason: CI must not cry wolf."""
    counts = {status: sum(check.status == status for check in verdict.checks) for status in ("regress", "inconclusive")}
    head = (
        f'<testsuite name={_attribute(f"edgekd gate: {verdict.title}")} tests="{len(verdict.checks)}" '
        f'failures="{counts["regress"]}" skipped="{counts["inconclusive"]}" errors="0">'
    )
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', head]
    for check in verdict.checks:
        case = f"  <testcase classname={_attribute(check.candidate)} name={_attribute(check.metric)}"
        tag = {"regress": "failure", "inconclusive": "skipped"}.get(check.status)
        said = f">\n    <{tag} message={_attribute(check_words(verdict, check))}/>\n  </testcase>" if tag else "/>"
        lines.append(case + said)
    return "\n".join([*lines, "</testsuite>"]) + "\n"


def _attribute(text: str) -> str:
    return quoteattr(plain_text(text))
