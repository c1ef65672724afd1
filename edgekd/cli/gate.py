"""Judge a new engine by the accepted one: pass, regress (exit 1) or inconclusive (exit 4)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from edgekd.bench import suite
from edgekd.bench.scoring import scoring_of
from edgekd.cli._given import onnx_artifact
from edgekd.cli._options import Json, Output, Quiet, Samples, Sets, progress_bar, talker
from edgekd.core import family
from edgekd.core.artifact import Artifact, atomic_path, manifest_path, read_artifact, sha256_of, write_atomic
from edgekd.core.config import BenchConfig
from edgekd.core.errors import InputError, MachineError, RecipeError, UnknownName
from edgekd.core.recipe import read_toml, recipe_from
from edgekd.core.schema import parse, to_plain
from edgekd.results import gate
from edgekd.results.layer_diff import blame
from edgekd.results.result import BenchmarkResult, read_result
from edgekd.runtime import build

NEW, ACCEPTED = "new", "accepted"
# What is asked where no limits.toml is given.
_USUAL = gate.Limits(latency=0.03, peak_memory=0.05, engine_size=0.05)
# What took turns needs no yardstick, and nobody asks about the stages. A minute is for all looks together.
_PAIRED = (f"bench.processes={gate.PROCESSES}", "bench.budget_s=60", "bench.stages=false", "bench.yardstick=false")


def command(
    new: Annotated[Path, typer.Argument(help="The new engine or ONNX file, with --against; or a result.json.")],
    against: Annotated[
        Path | None,
        typer.Option("--against", help="The accepted engine or ONNX file: both are measured in turns, now."),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="The accepted result.json, of equal conditions.")
    ] = None,
    limits: Annotated[
        Path | None, typer.Option("--limits", help="A limits.toml; latency 3 %, memory and size 5 % without one.")
    ] = None,
    candidate: Annotated[
        list[str] | None, typer.Option("--candidate", help="With --baseline: judge this one only. Repeatable.")
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Make the new one the accepted one, whatever the verdict.")
    ] = False,
    write: Annotated[
        list[str] | None,
        typer.Option("--write", metavar="FORMAT=PATH", help="Also write markdown, junit, sarif or github. Repeatable."),
    ] = None,
    samples: Samples = None,
    output: Output = None,
    set_: Sets = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge a new engine by the accepted one: pass, regress (exit 1) or inconclusive (exit 4).

    With --against, both are timed in turns, so that a noisy machine, or another one, falls on both, up to three times
    while it is not clear: the way to gate a pull request. With --baseline, a result is judged by a recorded one.
    """
    accepted = against or baseline
    if accepted is None or (against and baseline):
        raise InputError("give either --against ENGINE, to measure both now, or --baseline RESULT, recorded earlier")
    asked = _asked(limits, scored=bool(baseline or samples))
    writers = [_writer(text) for text in write or ()]
    talk = talker(quiet)
    if against:
        kept = output and output.with_suffix(".result.json")
        told = suite.Told(talk, progress_bar(quiet))
        verdict = _measured((new, against), samples, set_ or [], kept, asked, told)
    else:
        found = read_result(new)
        if accept and not accepted.exists():
            _accept(new, accepted)
            talk(f"{accepted} did not exist: {new} is the baseline now")
            return
        verdict = gate.judge_recorded(found, _baseline(accepted, new), asked, candidate or ())
    if output is not None:
        write_atomic(output, verdict.to_json())
    for render, path in writers:
        write_atomic(path, render(verdict))
    typer.echo(verdict.to_json() if json_ else _terminal(verdict), nl=False)
    if accept:
        _accept(new, accepted)
        talk(f"accepted: {new} is {accepted} now")
        return
    raise typer.Exit(verdict.exit_code)


def _terminal(verdict: gate.Verdict) -> str:
    text: str = family.load("report.formats", "terminal").render_verdict(verdict)
    return text


def _asked(path: Path | None, *, scored: bool) -> gate.Limits:
    found = read_limits(path) if path else _USUAL
    if found.accuracy is not None and not scored:
        raise InputError("the limits ask about accuracy; --samples is missing: give a run's evaluation.npz to score")
    return found


def read_limits(path: Path) -> gate.Limits:
    """Read a limits.toml.

    Raises:
        InputError: It is missing.
        RecipeError: It is no TOML, has an unknown figure, a value that is no limit, or asks about nothing.
    """
    data = read_toml(path, "a limits.toml")
    if set(data) != {"limits"}:
        raise RecipeError(f"{path} has {', '.join(data) or 'nothing'}; one table was expected: [limits]")
    found = parse(gate.Limits, data["limits"], "limits")
    if not found.asked():
        raise RecipeError(f"{path} asks about nothing; [limits] takes {', '.join(gate.Limits.__slots__)}")
    return found


def _writer(text: str) -> tuple[Callable[[gate.Verdict], str], Path]:
    """Parse ``--write FORMAT=PATH``."""
    name, _, path = text.partition("=")
    known = [
        format_
        for format_ in family.names("report.formats")
        if hasattr(family.load("report.formats", format_), "render_verdict")
    ]
    if name not in known:
        raise UnknownName.among("format of a verdict", name, known)
    if not path:
        raise InputError(f"--write {text!r} is not FORMAT=PATH, like junit=gate.xml")
    return family.load("report.formats", name).render_verdict, Path(path)


def _measured(
    paths: tuple[Path, Path],
    samples: Path | None,
    sets: Sequence[str],
    kept: Path | None,
    asked: gate.Limits,
    told: suite.Told,
) -> gate.Verdict:
    """Time the new and the accepted engine in turns and judge; the raw result stays at ``kept``, where that is a path.

    Only where time regressed are both profiled: nobody asks a good engine where its time goes.
    """
    given = Artifact("samples", samples, sha256_of(samples)) if samples else None
    with tempfile.TemporaryDirectory(prefix="edgekd-gate-") as folder:
        out = kept or Path(folder) / "result.json"
        config = recipe_from({}, [*_PAIRED, *sets]).bench
        # The first is whose answers stand for the truth where the samples have none.
        names = (ACCEPTED, NEW)
        engines = [_engine(path, Path(folder) / name, config) for name, path in zip(names, paths[::-1], strict=True)]
        config = replace(config, backend=suite.backend_of(engines))
        subjects = [
            replace(subject, name=name)
            for name, engine in zip(names, engines, strict=True)
            for subject in suite.subjects([engine])
        ]
        scoring = scoring_of(engines[0], given) if given else None
        setting = suite.Setting(paths[0].stem, config, given, scoring, profiled=False)
        made = suite.run(subjects, setting, suite.provenance(subjects, setting, to_plain(config)), out, told)
        verdict = _judged(subjects, setting, made, asked, told)
        if not verdict.slower:
            return verdict
        told.say("      slower: timing both engines' nodes in turns, with profiling on")
        result = suite.profiled(subjects, setting, read_result(out))
        return replace(verdict, blames=(blame(result.candidate(NEW), result.candidate(ACCEPTED)),))


def _judged(
    subjects: Sequence[suite.Subject], setting: suite.Setting, made: Artifact, asked: gate.Limits, told: suite.Told
) -> gate.Verdict:
    """Judge, and look again with as many processes more while it is open, more could tell, and the budget lasts."""
    looks, config = 1, setting.config
    while True:
        verdict = gate.judge_paired(read_result(made.path), NEW, ACCEPTED, asked)
        if verdict.status != "inconclusive" or verdict.needs is None or looks == gate.LOOKS:
            return verdict
        spent_s = float(made.facts["timed_s"])
        left_s = config.budget_s - spent_s
        if left_s < spent_s / looks:
            told.say(f"      not clear, and {left_s:.0f} s of bench.budget_s are not enough to look again")
            return verdict
        looks += 1
        told.say(f"      not clear: look {looks} of {gate.LOOKS} at most, {config.processes} processes more")
        try:
            longer = replace(setting, config=replace(config, budget_s=left_s))
            made = suite.longer(subjects, longer, made, told)
        except MachineError as err:
            told.say(f"      that look was lost: {err}")
            return verdict


def _engine(path: Path, folder: Path, config: BenchConfig) -> Artifact:
    """Return an engine as it is, an ONNX file built here and now by the recipe's backend."""
    if path.suffix != ".onnx":
        return read_artifact(path)
    folder.mkdir()
    onnx = onnx_artifact(path, {}, folder)
    return build.run(onnx, config.backend, folder / f"{path.stem}.engine", threads=config.threads)


def _baseline(path: Path, new: Path) -> BenchmarkResult:
    if not path.exists():
        raise InputError(f"{path} does not exist; --accept makes {new} the baseline")
    return read_result(path)


def _accept(new: Path, accepted: Path) -> None:
    """Copy a file and its manifest over the accepted one's, each whole or not at all."""
    if new.resolve() == accepted.resolve():
        return
    manifest_path(accepted).unlink(missing_ok=True)  # what it says is no longer true
    for source, target in ((new, accepted), (manifest_path(new), manifest_path(accepted))):
        if source.exists():
            with atomic_path(target) as temporary:
                shutil.copyfile(source, temporary)
