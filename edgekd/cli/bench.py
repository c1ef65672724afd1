"""Time engines in turns on this machine: latency percentiles, throughput, memory; with --samples, their accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekd.bench import suite
from edgekd.cli import _options
from edgekd.cli._options import Json, Output, Quiet, Sets, progress_bar, talker
from edgekd.core import family
from edgekd.core.artifact import Artifact, read_artifact, sha256_of
from edgekd.core.recipe import recipe_from
from edgekd.core.result import read_result
from edgekd.core.samples import Samples
from edgekd.core.schema import to_plain


def command(
    engines: Annotated[list[Path], typer.Argument(help="Engines that edgekd built here; the first is compared with.")],
    output: Output = None,
    samples: _options.Samples = None,
    set_: Sets = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Time engines in turns on this machine: latency percentiles, throughput, memory; with --samples, accuracy."""
    artifacts = [read_artifact(path) for path in engines]
    subjects = suite.subjects(artifacts)
    recipe = recipe_from({}, [f"bench.backend={suite.backend_of(artifacts)}", *(set_ or ())])
    feeds = Artifact("samples", samples, sha256_of(samples)) if samples else None
    scoring = suite.scoring(artifacts[0], feeds) if feeds else None
    if samples and len(engines) == 1 and Samples.load(samples).truth is None:
        scoring = None  # one engine's agreement with itself says nothing
    setting = suite.Setting(engines[0].stem, recipe.bench, feeds, scoring)
    out = output or Path("result.json")
    made_by = suite.provenance(subjects, setting, to_plain(recipe.bench))
    suite.run(subjects, setting, made_by, out, suite.Told(talker(quiet), progress_bar(quiet)))
    if json_:
        typer.echo(out.read_text(), nl=False)
    else:
        typer.echo(family.load("report", "terminal").render(read_result(out), None), nl=False)
        typer.echo(f"\nresult  {out}")
