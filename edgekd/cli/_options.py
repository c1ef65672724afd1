"""Options that several commands share, and how commands print: the answer to stdout, progress to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekd.core import family
from edgekd.core.errors import InputError
from edgekd.core.reporter import QuietReporter, Reporter, StageState

_BAR = 30  # characters of a progress bar

Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe key, like bench.processes=15. Repeatable."),
]
Dims = Annotated[
    list[str] | None,
    typer.Option("--dim", metavar="NAME=SIZE", help="Size of a dynamic dimension of an ONNX file. Repeatable."),
]
CalibrationImages = Annotated[
    Path | None,
    typer.Option("--calibration-images", help="Folder of your own images to calibrate on, instead of the recipe's."),
]
Samples = Annotated[
    Path | None, typer.Option("--samples", help="A samples archive that a run made: calibration.npz, evaluation.npz.")
]
Reports = Annotated[
    list[str] | None,
    typer.Option(
        "--report",
        metavar="FORMAT=PATH",
        help=f"Write a report in this format: {', '.join(family.names('report.formats'))}. Repeatable.",
    ),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Where to write.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable, on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing on stderr but errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print everything that each stage found.")]
Module = Annotated[
    str | None,
    typer.Option("--module", metavar="PACKAGE.MODULE:CALLABLE", help="Which network a lone checkpoint belongs to."),
]


class TerminalReporter:
    """Prints progress on stderr; draws a bar where that is a terminal."""

    def stage(self, name: str, state: StageState, detail: str = "") -> None:
        """Print a line when a stage starts, and its outcome below it."""
        if state == "started":
            self._print(f"  {name} …")
        elif state == "done":
            self._print(f"      {detail}")
        else:
            self._print(f"  {name}: {state}: {detail}" if state == "refused" else f"  {name}: {detail}")

    def step(self, name: str, done: int, total: int) -> None:
        """Draw the bar."""
        if not sys.stderr.isatty():
            return
        filled = _BAR * done // total
        line = f"      {'━' * filled}{'╌' * (_BAR - filled)} {100 * done // total:3d} %  {name:<24}"
        typer.echo(f"\r{line}" if done < total else f"\r{' ' * len(line)}\r", nl=False, err=True)

    def message(self, text: str) -> None:
        """Print a line."""
        self._print(f"      {text}")

    def warning(self, text: str) -> None:
        """Print a line that stands out."""
        self._print(f"! {text}")

    def _print(self, line: str) -> None:
        typer.echo(line, err=True)


def reporter(quiet: bool) -> Reporter:
    """Return what shows progress on stderr, or nothing."""
    return QuietReporter() if quiet else TerminalReporter()


def print_json(data: Any) -> None:
    """Print plain data as JSON on stdout."""
    typer.echo(json.dumps(data, indent=1))


def sizes(dims: list[str] | None) -> dict[str, int]:
    """Parse ``--dim NAME=SIZE``.

    Raises:
        InputError: One of them is not that, or the size is not a positive integer.
    """
    found = {}
    for text in dims or []:
        name, equals, size = text.rpartition("=")
        if not equals or not name or not size.isascii() or not size.isdigit() or int(size) < 1:
            raise InputError(f"--dim {text!r} is not NAME=SIZE with a positive whole number, like height=320")
        found[name] = int(size)
    return found


def report_paths(reports: Sequence[str] | None) -> list[tuple[str, Path]]:
    """Parse ``--report FORMAT=PATH`` into (format, path).

    Raises:
        InputError: One of them has no path.
    """
    found = []
    for text in reports or []:
        name, _, path = text.partition("=")
        if not name or not path:
            raise InputError(f"--report {text!r} is not FORMAT=PATH, like markdown=result.md")
        found.append((name, Path(path)))
    return found
