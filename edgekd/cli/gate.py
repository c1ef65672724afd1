"""Judge a new engine by the accepted one: pass, regress (exit 1) or inconclusive (exit 4)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli._options import Json, Output, Quiet, Reports, Samples, Sets, report_paths, reporter
from edgekd.core.artifact import atomic_path, manifest_path, sha256_of, write_atomic
from edgekd.core.errors import InputError
from edgekd.pipeline import library
from edgekd.pipeline.inputs import limits_of
from edgekd.report.format import verdict_format
from edgekd.results.gate import publish_verdict


def command(
    new: Annotated[Path, typer.Argument(help="The new engine or ONNX file, with --against; or a result.json.")],
    against: Annotated[
        Path | None,
        typer.Option("--against", help="The accepted engine or ONNX file: both are measured interleaved, now."),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="The accepted result.json, of equal conditions.")
    ] = None,
    limits: Annotated[
        Path | None, typer.Option(help="A limits.toml; latency 3 %, memory and size 5 % without one.")
    ] = None,
    candidate: Annotated[
        list[str] | None, typer.Option(help="With --baseline: judge this one only. Repeatable.")
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Make the new one the accepted one in any case.")] = False,
    report: Reports = None,
    samples: Samples = None,
    output: Output = None,
    set_: Sets = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge a new engine by the accepted one: pass, regress (exit 1) or inconclusive (exit 4).

    With --against, both are timed interleaved, so that noise and drift affect both, with up to three interim analyses
    while the verdict is inconclusive. With --baseline, a result is judged by a recorded one.
    """
    accepted = against or baseline
    if accepted is None or (against and baseline):
        raise InputError("give either --against ENGINE, to measure both now, or --baseline RESULT, recorded earlier")
    checked = limits_of(limits)
    writers = [(verdict_format(name), path) for name, path in report_paths(report)]
    progress = reporter(quiet)
    if baseline is not None and not baseline.exists():
        _start_baseline(new, baseline, accept)
        progress.message(f"{baseline} did not exist: {new} is the baseline now")
        return
    raw_result = output.with_suffix(".result.json") if output is not None and against is not None else None
    verdict = library.gate(
        new,
        against=against,
        baseline=baseline,
        limits=checked,
        candidates=candidate or (),
        samples=samples,
        overrides=set_ or (),
        out=raw_result,
        reporter=progress,
    )
    if output is not None:
        publish_verdict(verdict, output, tuple(map(sha256_of, [raw_result] if raw_result else [new, accepted])))
    for writer, path in writers:
        write_atomic(path, writer.render_verdict(verdict))
    typer.echo(verdict.to_json() if json_ else verdict_format("terminal").render_verdict(verdict), nl=False)
    if not accept:
        raise typer.Exit(verdict.exit_code)
    _accept(new, accepted)
    progress.message(f"{new} is {accepted} now")


def _start_baseline(new: Path, baseline: Path, accept: bool) -> None:
    """Make a result the first baseline. Raises InputError where it is no result, or nobody accepts it."""
    if not accept:
        raise InputError(f"{baseline} does not exist; --accept makes {new} the baseline")
    library.load(new)
    _accept(new, baseline)


def _accept(new: Path, accepted: Path) -> None:
    """Copy a file and its manifest over the accepted one's, each whole or not at all."""
    if new.resolve() == accepted.resolve():
        return
    manifest_path(accepted).unlink(missing_ok=True)  # it would no longer match its file
    for source, target in ((new, accepted), (manifest_path(new), manifest_path(accepted))):
        if source.exists():
            with atomic_path(target) as temporary:
                shutil.copyfile(source, temporary)
