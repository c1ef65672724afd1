"""A gate's verdict as SARIF 2.1.0: for GitHub's code scanning and for editors.

Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0", 2020.
"""

from __future__ import annotations

import json
from typing import Any

from edgekd import __version__
from edgekd.report.gate_table import FIGURES
from edgekd.report.nodes import check_words
from edgekd.results.gate import Check, Limits, Verdict

FILE_NAME = "gate.sarif"
MACHINES_READ = "SARIF 2.1.0"

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render_verdict(verdict: Verdict) -> str:
    """Return the log: a rule a figure, a result a check that did not pass; inconclusive is a warning."""
    rules = [{"id": name, "shortDescription": {"text": FIGURES[name]}} for name in Limits.__slots__]
    driver = {"name": "edgekd gate", "version": __version__, "rules": rules}
    results = [_result(verdict, check) for check in verdict.checks if check.status != "pass"]
    run = {"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _result(verdict: Verdict, check: Check) -> dict[str, Any]:
    # Code scanning wants a file to point at: the limits are what was broken.
    place = {
        "physicalLocation": {"artifactLocation": {"uri": "limits.toml"}, "region": {"startLine": 1}},
        "logicalLocations": [{"name": check.candidate, "kind": "module"}],
    }
    return {
        "ruleId": check.metric,
        "ruleIndex": Limits.__slots__.index(check.metric),
        "level": "error" if check.status == "regress" else "warning",
        "message": {"text": check_words(verdict, check)},
        "locations": [place],
    }
