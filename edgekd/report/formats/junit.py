"""A gate's verdict as JUnit XML, one test case a check, for CI servers that list tests."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from edgekd.report.gate_table import plain_text
from edgekd.report.nodes import check_words
from edgekd.results.verdict import Verdict

FILE_NAME = "gate.junit.xml"
READ_BY = "Jenkins, GitLab and other readers of JUnit's XML"

# An undecided check is skipped, with its reason: as a failure it would be a false alarm.
_TAGS = {"regress": "failure", "inconclusive": "skipped"}


def render_verdict(verdict: Verdict) -> str:
    """Return the XML: a regression is a failure, an inconclusive check is skipped."""
    counts = {status: sum(check.status == status for check in verdict.checks) for status in _TAGS}
    head = (
        f'<testsuite name={_attribute(f"edgekd gate: {verdict.title}")} tests="{len(verdict.checks)}" '
        f'failures="{counts["regress"]}" skipped="{counts["inconclusive"]}" errors="0">'
    )
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', head]
    for check in verdict.checks:
        case = f"  <testcase classname={_attribute(check.candidate)} name={_attribute(check.metric)}"
        tag = _TAGS.get(check.status)
        if tag is None:
            lines.append(f"{case}/>")
        else:
            message = _attribute(check_words(verdict, check))
            lines += [f"{case}>", f"    <{tag} message={message}/>", "  </testcase>"]
    return "\n".join([*lines, "</testsuite>"]) + "\n"


def _attribute(text: str) -> str:
    return quoteattr(plain_text(text))  # XML 1.0 cannot hold control characters, not even escaped
