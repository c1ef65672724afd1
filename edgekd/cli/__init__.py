"""The command line: parse, one library call, print. One command a file; only the given command is imported."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from edgekd import __version__
from edgekd.core import family
from edgekd.core.errors import EXIT_BUG, EXIT_INTERRUPTED, EdgeKDError

# The order of the stages, then what shows their results; a file that is not named here comes last.
_ORDER = """
    run distill export simplify quantize preflight build bench compare gate report infer show doctor models targets
""".split()


def main() -> None:
    """Run the command line and exit with the codes of ``core/errors.py``; every exception ends here or in the agent."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    try:
        code = _app(arguments)(args=arguments, prog_name="edgekd")
    except SystemExit as stop:  # typer ends like this, after help, usage errors and interrupts
        code = stop.code
    except EdgeKDError as err:
        typer.echo(f"edgekd: {' '.join(str(err).split())}", err=True)
        return err.exit_code
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except Exception:  # noqa: BLE001 - the last handler: anything else is our bug
        traceback.print_exc()
        typer.echo("edgekd: this is a bug in edgekd; please report it with the lines above", err=True)
        return EXIT_BUG
    if code == EXIT_INTERRUPTED:
        typer.echo("edgekd: interrupted; finished stages are kept, run again to continue", err=True)
    return code if isinstance(code, int) else 0


def _app(arguments: list[str]) -> typer.Typer:
    """Build the application: the given command for real, the others by the first line of their docstring."""
    app = typer.Typer(
        name="edgekd",
        help="Take a distilled student network to an engine on a Jetson-class board, and measure its gains and costs.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback(help=app.info.help, epilog=_main_options.__doc__)(_main_options)
    given = next((argument for argument in arguments if not argument.startswith("-")), None)
    verbs = family.names("cli")
    for verb in sorted(verbs, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)):
        app.command(verb)(family.load("cli", verb).command if verb == given else _stub(verb))
    return app


def _stub(verb: str) -> Callable[[], None]:
    """Return a stand-in for the listing of ``--help``."""

    def command() -> None:
        raise AssertionError("the given command is never a stand-in")

    spec = importlib.util.find_spec(f"{__name__}.{verb}")  # finds the file without importing it
    origin = spec.origin if spec is not None else None
    assert origin is not None, verb  # the family has just listed it
    with Path(origin).open(encoding="utf-8") as file:
        command.__doc__ = file.readline().strip().strip('"')
    return command


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgekd {__version__}")
        raise typer.Exit


def _main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Exit codes: 0 good, 1 regress, 2 bad input, 3 this machine cannot, 4 inconclusive, 5 not comparable, 70 a bug."""
