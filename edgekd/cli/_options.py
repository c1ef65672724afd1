"""Options that several verbs share, spelt once, and how they talk: the answer to stdout, the rest to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekd.core.errors import InputError

_BAR = 30  # characters of a progress bar

Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe key, like quantize.scheme=int8. Repeatable."),
]
Dims = Annotated[
    list[str] | None,
    typer.Option("--dim", metavar="NAME=SIZE", help="Size of a dynamic dimension of a foreign ONNX file. Repeatable."),
]
Images = Annotated[
    Path | None, typer.Option("--images", help="Folder of your own pictures to calibrate on, instead of the recipe's.")
]
Samples = Annotated[
    Path | None, typer.Option("--samples", help="A samples archive that a run made (calibration.npz, evaluation.npz).")
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Where to write.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable, on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on stderr but errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say everything: what each stage found.")]
Module = Annotated[
    str | None,
    typer.Option("--module", metavar="PACKAGE.MODULE:CALLABLE", help="Which network a lone checkpoint belongs to."),
]


def talker(quiet: bool) -> Callable[[str], None]:
    """Return what prints a line of talk on stderr, or swallows it."""
    return (lambda line: None) if quiet else lambda line: typer.echo(line, err=True)


def progress_bar(quiet: bool) -> Callable[[str, int, int], None] | None:
    """Return what draws (name, steps done, steps in all) on stderr, or None where nobody would see it."""
    if quiet or not sys.stderr.isatty():
        return None

    def draw(name: str, done: int, total: int) -> None:
        filled = _BAR * done // total
        line = f"      {'━' * filled}{'╌' * (_BAR - filled)} {100 * done // total:3d} %  {name:<24}"
        typer.echo(f"\r{line}" if done < total else f"\r{' ' * len(line)}\r", nl=False, err=True)

    return draw


def answer(data: Any) -> None:
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
