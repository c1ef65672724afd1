"""Time engines in turns on this machine: latency percentiles, throughput, memory; with --samples, their accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from edgekd.bench import suite, trtexec
from edgekd.bench.scoring import scoring_of
from edgekd.cli._options import Json, Output, Quiet, Samples, Sets, progress_bar, talker
from edgekd.core import family
from edgekd.core.artifact import Artifact, read_artifact, sha256_of
from edgekd.core.errors import InputError
from edgekd.core.recipe import recipe_from
from edgekd.core.schema import to_plain
from edgekd.results.result import read_result


def command(
    engines: Annotated[list[Path], typer.Argument(help="Engines that edgekd built here; the first is compared with.")],
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
    """Time engines in turns on this machine: latency percentiles, throughput, memory; with --samples, accuracy.

    With --times nothing is run: the result is made of what trtexec measured on a board that has no Python.
    """
    out = output or Path("result.json")
    if times or profile or target or tensorrt:
        given = _by_trtexec(times or (), profile, (target, tensorrt), set_ or ())
        if len(engines) > 1:
            raise InputError(f"--times is of one engine, {len(engines)} were given; give each its own result")
        trtexec.run(engines[0], given, out)
    else:
        _measure(engines, samples, set_ or (), out, suite.Told(talker(quiet), progress_bar(quiet)))
    if json_:
        typer.echo(out.read_text(), nl=False)
    else:
        typer.echo(family.load("report.formats", "terminal").render(read_result(out), None), nl=False)
        typer.echo(f"\nresult  {out}")


def _measure(engines: Sequence[Path], samples: Path | None, sets: Sequence[str], out: Path, told: suite.Told) -> None:
    artifacts = [read_artifact(path) for path in engines]
    subjects = suite.subjects(artifacts)
    recipe = recipe_from({}, [f"bench.backend={suite.backend_of(artifacts)}", *sets])
    feeds = Artifact("samples", samples, sha256_of(samples)) if samples else None
    scoring = scoring_of(artifacts[0], feeds) if feeds else None
    setting = suite.Setting(engines[0].stem, recipe.bench, feeds, scoring)
    made_by = suite.provenance(subjects, setting, to_plain(recipe.bench))
    suite.run(subjects, setting, made_by, out, told)


def _by_trtexec(
    times: Sequence[Path], profile: Path | None, named: tuple[str | None, str | None], sets: Sequence[str]
) -> trtexec.Given:
    """Check that what trtexec's files do not say was given too."""
    target, tensorrt = named
    if not times or not target or not tensorrt:
        flags = {"--times": times, "--target": target, "--tensorrt": tensorrt}
        missing = " and ".join(flag for flag, value in flags.items() if not value)
        raise InputError(
            f"{missing} not given; a result by trtexec needs --times FILE --target BOARD --tensorrt RELEASE"
        )
    config = recipe_from({}, [f"bench.warmup_ms={trtexec.WARMUP_MS}", *sets]).bench
    return trtexec.Given(tuple(times), profile, target, tensorrt, config.warmup_ms)
