"""Reporter: receives the progress of a long job. A terminal's bar, a JSON log and a quiet run are three of them."""

from __future__ import annotations

import json
import sys
from typing import Literal, Protocol, TextIO

# "refused": a library rejected its input; the run continues without the file that the stage would have made.
StageState = Literal["started", "done", "skipped", "refused"]


class Reporter(Protocol):
    """Receives progress. A text is one sentence without indentation; the reporter decides how to show it."""

    def stage(self, name: str, state: StageState, detail: str = "") -> None:
        """Report that a stage of a run started, ended, was skipped or refused; ``detail`` is its outcome in words."""

    def step(self, name: str, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` steps of a long measurement or training called ``name`` have ended."""

    def message(self, text: str) -> None:
        """Report something worth knowing."""

    def warning(self, text: str) -> None:
        """Report an assumption or a problem with which the job continues."""


class QuietReporter:
    """Shows nothing."""

    def stage(self, name: str, state: StageState, detail: str = "") -> None:
        """Show nothing."""

    def step(self, name: str, done: int, total: int) -> None:
        """Show nothing."""

    def message(self, text: str) -> None:
        """Show nothing."""

    def warning(self, text: str) -> None:
        """Show nothing."""


class JsonReporter:
    """Writes one JSON object per line: ``{"event": "stage", "name": ..., "state": ..., "detail": ...}``.

    Args:
        file: Where lines are written; stderr by default.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file or sys.stderr

    def stage(self, name: str, state: StageState, detail: str = "") -> None:
        """Write a "stage" event."""
        self._write(event="stage", name=name, state=state, detail=detail)

    def step(self, name: str, done: int, total: int) -> None:
        """Write a "step" event."""
        self._write(event="step", name=name, done=done, total=total)

    def message(self, text: str) -> None:
        """Write a "message" event."""
        self._write(event="message", text=text)

    def warning(self, text: str) -> None:
        """Write a "warning" event."""
        self._write(event="warning", text=text)

    def _write(self, **event: object) -> None:
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()  # whoever reads the log sees each event when it happens
