"""Every command has the names of the family and a help; a new command is one new file of ``edgekd/cli/``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from edgekd import cli
from edgekd.core import family
from tests.contract.new_member import new_member

NEW = "greet"
NEW_SOURCE = '''"""Greet somebody by name: what a new file in edgekd/cli/ must contain."""

from typing import Annotated

import typer

from edgekd.cli._options import Json, print_json
from edgekd.core.errors import InputError


def command(
    name: Annotated[str, typer.Argument(help="Whom to greet.")],
    json_: Json = False,
) -> None:
    """Greet somebody by name."""
    if not name:
        raise InputError(f"the name is {name!r}; a name was expected")
    if json_:
        print_json({"greeted": name})
    else:
        typer.echo(f"hello {name}")
'''
Captured = pytest.CaptureFixture[str]


@pytest.fixture(params=[*family.names("cli"), NEW])
def name(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param != NEW:
        yield request.param
        return
    with new_member("cli", NEW, NEW_SOURCE, tmp_path):
        yield NEW


@pytest.fixture
def module(name: str) -> ModuleType:
    return family.load("cli", name)


def test_the_first_line_of_the_file_is_a_sentence(module: ModuleType) -> None:
    first = Path(str(module.__file__)).read_text(encoding="utf-8").splitlines()[0]
    assert first == f'"""{first[3:-3]}"""', "--help shows this line alone"
    assert first.endswith('."""')


def test_a_command_is_annotated_and_described(module: ModuleType) -> None:
    assert module.command.__doc__
    parameters = inspect.signature(module.command).parameters.values()
    assert all(parameter.annotation is not inspect.Parameter.empty for parameter in parameters)


def test_help_explains_every_argument_and_option(name: str, module: ModuleType, capsys: Captured) -> None:
    assert cli._run([name, "--help"]) == 0
    assert f"Usage: edgekd {name}" in capsys.readouterr().out
    for parameter in inspect.signature(module.command, eval_str=True).parameters.values():
        if parameter.name == "context":
            continue  # typer.Context is no option
        (info,) = parameter.annotation.__metadata__
        assert info.help, parameter.name


def test_help_lists_a_new_command_last_and_does_not_import_it(tmp_path: Path, capsys: Captured) -> None:
    known = family.names("cli")
    with new_member("cli", NEW, NEW_SOURCE, tmp_path):
        assert cli._run(["--help"]) == 0
        listing = capsys.readouterr().out
        assert "edgekd.cli.greet" not in sys.modules
    assert "Greet somebody by name" in listing
    assert listing.index(f" {NEW} ") > max(listing.index(f" {verb} ") for verb in known)


def test_a_new_command_runs_by_its_name_alone(tmp_path: Path, capsys: Captured) -> None:
    with new_member("cli", NEW, NEW_SOURCE, tmp_path):
        assert cli._run([NEW, "board", "--json"]) == 0
        assert capsys.readouterr().out == '{\n "greeted": "board"\n}\n'
        assert cli._run([NEW, ""]) == 2
        assert "a name was expected" in capsys.readouterr().err
    assert cli._run([NEW, "board"]) == 2  # the file is gone, and so is the command
