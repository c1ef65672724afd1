"""Options that several commands share, and how commands print: the answer to stdout, progress to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
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
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="WHERE:NAME",
        help="What builds the network of a lone checkpoint: timm:NAME, torchvision:NAME, path.py:function or "
        "package.module:function, each with ?argument=value.",
    ),
]
InputSize = Annotated[
    str | None, typer.Option("--input-size", metavar="HxW", help="Of the network's input, like 224 or 480x640.")
]
Mean = Annotated[str | None, typer.Option("--mean", help="Of each channel, like 0.485,0.456,0.406.")]
Std = Annotated[str | None, typer.Option("--std", help="Of each channel, like 0.229,0.224,0.225.")]
Scale = Annotated[float | None, typer.Option("--scale", help="What a white pixel is fed as: 1 or 255.")]
Channels = Annotated[str | None, typer.Option("--channels", metavar="rgb|bgr", help="Their order.")]
Layout = Annotated[str | None, typer.Option("--layout", metavar="nchw|nhwc", help="Order of the axes.")]
Resize = Annotated[
    str | None,
    typer.Option("--resize", metavar="letterbox|stretch|crop", help="How images are brought to the input's size."),
]
TaskName = Annotated[str | None, typer.Option("--task", help="What the network is for, like classification.")]
Classes = Annotated[
    Path | None, typer.Option("--classes", metavar="FILE", help="Names of the classes, one a line, in output order.")
]


# Option → its key of ``[input]``.
_INPUT_KEYS = {
    "input_size": "size",
    **{name: name for name in ("mean", "std", "scale", "channels", "layout", "resize")},
}


def network_overrides(options: Mapping[str, Any]) -> list[str]:
    """Return the options of a network of the user's own, those above that were typed, as recipe overrides.

    Args:
        options: Every option of the command by name, ``typer.Context.params``.

    Raises:
        InputError: One of them has the wrong form, or the file of ``--classes`` cannot be read.
    """
    found = [f"pair.task={json.dumps(options['task'])}"] if options.get("task") is not None else []
    for name, key in _INPUT_KEYS.items():
        value = options[name]
        if value is None:
            continue
        if key == "size":
            value = _sides(value)
        elif key in ("mean", "std"):
            value = _numbers(key, value)
        found.append(f"input.{key}={json.dumps(value)}")
    if options.get("classes") is not None:
        found.append(f"task.classes={json.dumps(_lines(options['classes']), ensure_ascii=False)}")
    return found


def _sides(text: str) -> list[int]:
    sides = text.lower().split("x")
    if not 1 <= len(sides) <= 2 or not all(side.isascii() and side.isdigit() and len(side) < 10 for side in sides):
        raise InputError(f"--input-size {text!r}; HEIGHTxWIDTH in pixels was expected, like 480x640 or 224")
    return [int(sides[0]), int(sides[-1])]


def _numbers(key: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as err:
        raise InputError(f"--{key} {text!r}; one number, or three with commas between them, was expected") from err


def _lines(path: Path) -> list[str]:
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as err:
        raise InputError(f"cannot read {path} ({err}); a text file with one class name a line was expected") from err
    return [name for name in names if name]


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
