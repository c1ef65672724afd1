"""The gate's verdict: checks of single figures, what they add up to, and the file that keeps them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from edgekd import __version__
from edgekd.core.artifact import Artifact, publish, read_json
from edgekd.core.errors import IntegrityError, RecipeError
from edgekd.core.family import load_module
from edgekd.core.provenance import Provenance, digest_of
from edgekd.core.schema import parse
from edgekd.results.layer_diff import LayerDiff

VERDICT_SCHEMA = 1

Status = Literal["pass", "regress", "inconclusive"]

# The command line's exit codes; those of errors stand in core.errors.
_EXIT_CODES: dict[Status, int] = {"pass": 0, "regress": 1, "inconclusive": 4}
# The figures of ``Limits`` that are times: only these are explained by a profile.
TIMED = ("latency", "latency_p99", "throughput")


@dataclass(frozen=True, slots=True)
class Check:
    """One figure of one candidate against its limit.

    Attributes:
        candidate, metric: Name of the candidate, and a field of ``Limits``.
        old, new: The figures: ms, inferences per second, bytes, or the primary metric's unit.
        change: How much worse, in the limit's unit: a share, or the metric's unit; below 0 is better.
        low, high: Its 95 % interval; equal to ``change`` if the figure is exact, None if a side was not measured.
        p: One-sided p-value of "the new one is not worse"; None if the figure is exact.
        limit: The largest ``change`` that is allowed.
        status: pass, regress or inconclusive.
        processes: Number of processes behind a timed figure (for energy: windows, one per process); otherwise 0.
        processes_needed: If inconclusive: how many processes would decide it; None if no reasonable number would.
        reason: Why it is inconclusive, in words; "" otherwise.
    """

    candidate: str
    metric: str
    old: float | None
    new: float | None
    change: float | None
    low: float | None
    high: float | None
    p: float | None
    limit: float
    status: Status
    processes: int = 0
    processes_needed: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks, and what they add up to.

    Attributes:
        title: The result's.
        mode: "paired" (both engines timed interleaved) or "recorded" (two results of different times).
        checks: In the order of candidates, then of ``Limits``.
        notes: The result's.
        layer_diffs: For each candidate in ``slower``: which nodes take more time, as far as profiles show it.
    """

    title: str
    mode: Literal["paired", "recorded"]
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    layer_diffs: tuple[LayerDiff, ...] = ()

    @property
    def status(self) -> Status:
        """Regress if any check does, else inconclusive if any is, else pass."""
        found = {check.status for check in self.checks}
        return "regress" if "regress" in found else "inconclusive" if "inconclusive" in found else "pass"

    @property
    def exit_code(self) -> int:
        """The command line's exit code: 0 pass, 1 regress, 4 inconclusive."""
        return _EXIT_CODES[self.status]

    @property
    def processes_needed(self) -> int | None:
        """How many processes would decide every open check that more processes can decide; None if there is none."""
        needed = [check.processes_needed for check in self.checks if check.processes_needed is not None]
        return max(needed, default=None)

    @property
    def slower(self) -> tuple[str, ...]:
        """The candidates of which a timed figure regressed."""
        slower = [check.candidate for check in self.checks if check.status == "regress" and check.metric in TIMED]
        return tuple(dict.fromkeys(slower))

    def to_json(self) -> str:
        """Return the text of ``verdict.json``."""
        derived = {"status": self.status, "processes_needed": self.processes_needed}
        return json.dumps({"schema": VERDICT_SCHEMA, **derived, **asdict(self)}, indent=1) + "\n"

    def _repr_html_(self) -> str:
        # Notebooks look for this name. The report room lies above this one, so it is loaded by name.
        page: str = load_module("edgekd.report.notebook").verdict_html(self)
        return page


def publish_verdict(verdict: Verdict, path: Path, parents_sha256: Sequence[str]) -> Artifact:
    """Write a ``verdict.json`` and its manifest.

    Args:
        verdict: What was decided.
        path: Where it is written.
        parents_sha256: The result files it was decided from: the new one, then the accepted one if it is another file.

    Raises:
        InputError: The folder cannot be written.
        MachineError: The disk is full.
    """
    limits = {check.metric: check.limit for check in verdict.checks}
    made_by = Provenance("gate", tuple(parents_sha256), digest_of(limits), {"edgekd": __version__})
    facts = {"status": verdict.status, "mode": verdict.mode}
    return publish(Artifact("verdict", path, made_by=made_by, facts=facts), verdict.to_json())


def read_verdict(path: Path) -> Verdict:
    """Read a ``verdict.json``.

    Raises:
        IntegrityError: The file is not a verdict, its schema is newer than this edgekd, or its status is not the one
            that its checks add up to.
    """
    data = read_json(path)
    if not isinstance(data, dict) or "schema" not in data:
        raise IntegrityError(f"{path} is not an edgekd verdict: it has no schema number; give a verdict.json")
    schema = data.pop("schema")
    if type(schema) is not int or schema != VERDICT_SCHEMA:
        raise IntegrityError(f"{path} has schema {schema!r}; this edgekd reads {VERDICT_SCHEMA}: run the gate again")
    status = data.pop("status", None)
    data.pop("processes_needed", None)  # derived from the checks
    try:
        verdict = parse(Verdict, data, "verdict")
    except RecipeError as err:
        raise IntegrityError(f"{path} is not an edgekd verdict: {err}") from err
    if not verdict.checks:
        raise IntegrityError(f"{path} holds no check; run the gate again")
    if status != verdict.status:
        raise IntegrityError(
            f"{path} says {status!r}, its checks add up to {verdict.status!r}: it was edited; run the gate again"
        )
    return verdict
