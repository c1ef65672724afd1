"""The command line: parse, one library call, print. One verb a file; only the verb that was asked for is imported."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from edgekd import __version__
from edgekd.core import family
from edgekd.core.errors import EXIT_BUG, EXIT_INTERRUPTED, EdgeKDError

# The order of the stages, then what looks at their results; a file that is not named here comes last.
_ORDER = """
    run distill export simplify quantize preflight build bench compare gate report infer show doctor models targets
""".split()


def main() -> None:
    """Run the command line and exit with DESIGN's codes. One of the two doors where every exception ends."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    try:
        code = _app(arguments)(args=arguments, prog_name="edgekd")
    except SystemExit as stop:  # how typer ends, whatever it has to say; an interrupt too
        code = stop.code
    except EdgeKDError as err:
        typer.echo(f"edgekd: {' '.join(str(err).split())}", err=True)
        return err.exit_code
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except Exception:  # noqa: BLE001 - the door: anything else is our bug
        traceback.print_exc()
        typer.echo("edgekd: this is a bug in edgekd; please report it with the lines above", err=True)
        return EXIT_BUG
    if code == EXIT_INTERRUPTED:
        typer.echo("edgekd: interrupted; what was finished stands, run again to go on", err=True)
    return code if isinstance(code, int) else 0


def _app(arguments: list[str]) -> typer.Typer:
    """Build the application: the verb on the command line for real, the others as their first docstring line."""
    app = typer.Typer(
        name="edgekd",
        help="Take a distilled student network to an engine on a Jetson-class board, and prove it was worth it.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback(help=app.info.help, epilog=_main_options.__doc__)(_main_options)
    asked = next((argument for argument in arguments if not argument.startswith("-")), None)
    verbs = family.names("cli")
    for verb in sorted(verbs, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)):
        app.command(verb)(family.load("cli", verb).command if verb == asked else _stub(verb))
    return app


def _stub(verb: str) -> Callable[[], None]:
    """A stand-in that only shows up in the listing of ``--help``."""

    def command() -> None:
        raise AssertionError("the asked-for verb is always the real one")

    with (Path(__file__).parent / f"{verb}.py").open(encoding="utf-8") as file:
        command.__doc__ = file.readline().strip().strip('"')
    return command


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"edgekd {__version__}")
        raise typer.Exit


def _main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Exit codes: 0 good, 1 regress, 2 the input, 3 this machine cannot, 4 inconclusive, 5 not comparable, 70 a bug."""
