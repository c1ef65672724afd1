"""A gate's verdict as SARIF 2.1.0, for GitHub's code scanning and for editors.

Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0", 2020.
"""

from __future__ import annotations

import json
from typing import Any

from edgekd import __version__
from edgekd.report.gate_table import METRIC_NAMES
from edgekd.report.nodes import check_words
from edgekd.results.limits import Limits
from edgekd.results.verdict import Check, Verdict

FILE_NAME = "gate.sarif"
READ_BY = "SARIF 2.1.0 readers"

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"regress": "error", "inconclusive": "warning"}


def render_verdict(verdict: Verdict) -> str:
    """Return the log: one rule for each metric, one result for each check that did not pass."""
    rules = [{"id": name, "shortDescription": {"text": METRIC_NAMES[name]}} for name in Limits.__slots__]
    driver = {"name": "edgekd gate", "version": __version__, "rules": rules}
    results = [_result(verdict, check) for check in verdict.checks if check.status in _LEVELS]
    run = {"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}  # as Python counts
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _result(verdict: Verdict, check: Check) -> dict[str, Any]:
    # Code scanning needs a file to point at: the one with the limits.
    location = {
        "physicalLocation": {"artifactLocation": {"uri": "limits.toml"}, "region": {"startLine": 1}},
        "logicalLocations": [{"name": check.candidate, "kind": "module"}],
    }
    return {
        "ruleId": check.metric,
        "ruleIndex": Limits.__slots__.index(check.metric),
        "level": _LEVELS[check.status],
        "message": {"text": check_words(verdict, check)},
        "locations": [location],
    }
