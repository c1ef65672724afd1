"""Time engines interleaved on this machine: latency percentiles, throughput, memory; with --samples, accuracy too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from edgekd.bench import trtexec
from edgekd.cli._options import Json, Output, Quiet, Samples, Sets, reporter
from edgekd.core import family
from edgekd.core.errors import InputError
from edgekd.core.recipe import recipe_from
from edgekd.pipeline import library
from edgekd.results.result import read_result


def command(
    engines: Annotated[list[Path], typer.Argument(help="Engines that edgekd built here; the first is the reference.")],
    output: Output = None,
    samples: Samples = None,
    times: Annotated[
        list[Path] | None,
        typer.Option("--times", help="What trtexec --exportTimes wrote of the engine, on a board; one file a process."),
    ] = None,
    profile: Annotated[
        Path | None, typer.Option("--profile", help="With --times: what trtexec --exportProfile wrote.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="With --times: the board; edgekd targets, or any name.")
    ] = None,
    tensorrt: Annotated[
        str | None, typer.Option("--tensorrt", help="With --times: the release of trtexec, like 8.5.2.")
    ] = None,
    set_: Sets = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Time engines interleaved on this machine: latency percentiles, throughput, memory; with --samples, accuracy.

    With --times nothing is run: the result is made of what trtexec measured on a board that has no Python.
    """
    out = output or Path("result.json")
    if times or profile or target or tensorrt:
        files = _trtexec_files(times or (), profile, (target, tensorrt), set_ or ())
        if len(engines) > 1:
            raise InputError(f"--times is of one engine, {len(engines)} were given; give each its own result")
        trtexec.run(engines[0], files, out)
        result = read_result(out)
    else:
        result = library.bench(engines, out, samples=samples, overrides=set_ or (), reporter=reporter(quiet))
    if json_:
        typer.echo(out.read_text(), nl=False)
    else:
        typer.echo(family.load("report.formats", "terminal").render(result, None), nl=False)
        typer.echo(f"\nresult  {out}")


def _trtexec_files(
    times: Sequence[Path], profile: Path | None, named: tuple[str | None, str | None], sets: Sequence[str]
) -> trtexec.TrtexecFiles:
    """Check that what trtexec's files do not say was given too."""
    target, tensorrt = named
    if not times or not target or not tensorrt:
        flags = {"--times": times, "--target": target, "--tensorrt": tensorrt}
        missing = " and ".join(flag for flag, value in flags.items() if not value)
        raise InputError(
            f"{missing} not given; a result by trtexec needs --times FILE --target BOARD --tensorrt RELEASE"
        )
    config = recipe_from({}, [f"bench.warmup_ms={trtexec.WARMUP_MS}", *sets]).bench
    return trtexec.TrtexecFiles(tuple(times), profile, target, tensorrt, config.warmup_ms)
