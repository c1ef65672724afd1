"""Imports point down, and a bare board can import its side: import-linter's contracts, and the import itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"

# What runs on a board. Recipes are read on the workstation; the engine files are each about one library.
BOARD_ROOMS = ("agent.py", "backends", "bench", "core", "machine", "results", "runtime", "targets", "tasks")
EXEMPT = {
    "edgekd.core.recipe",
    "edgekd.backends.onnxruntime",
    "edgekd.backends.tensorrt",
    "edgekd.backends.tensorrt_rtx",
    "edgekd.backends._rtx_build",
    "edgekd.backends._cuda",
}
ABSENT = (
    *("torch", "onnx", "onnxruntime", "tensorrt", "tensorrt_rtx", "pycuda", "PIL", "tqdm", "safetensors", "skimage"),
    *("typer", "click", "rich", "pydantic", "yaml", "tomllib", "tomli"),
)

IMPORT_ALL = """
import importlib, json, sys
modules, absent = json.loads(sys.argv[1]), set(json.loads(sys.argv[2]))
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
failed = {}
for module in modules:
    try:
        importlib.import_module(module)
    except ImportError as err:
        failed[module] = str(err)
print(json.dumps(failed))
"""


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """A copy of the package and its contracts, to cross fences in."""
    shutil.copytree(root / "edgekd", tmp_path / "edgekd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def board_modules(folder: Path) -> list[str]:
    rooms = [folder / "edgekd" / room for room in BOARD_ROOMS]
    paths = [path for room in rooms for path in (room.rglob("*.py") if room.is_dir() else [room])]
    names = [path.relative_to(folder).as_posix().removesuffix(".py").removesuffix("/__init__") for path in paths]
    return sorted({name.replace("/", ".") for name in names} - EXEMPT)


def import_bare(folder: Path) -> dict[str, str]:
    """Import the board's side where what a board lacks cannot be imported; return module → why not."""
    command = [sys.executable, "-c", IMPORT_ALL, json.dumps(board_modules(folder)), json.dumps(ABSENT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    failed: dict[str, str] = json.loads(done.stdout)
    return failed


def test_the_contracts_hold(root: Path) -> None:
    code, said = lint(root)
    assert code == 0, said


@pytest.mark.parametrize(
    ("file", "text", "contract"),
    [
        ("core/crossing.py", "from edgekd.runtime import build", "Imports point down"),
        ("results/crossing.py", "from edgekd.machine import conditions", "Imports point down"),
        ("quantize/crossing.py", "from edgekd.convert import simplify", "Imports point down"),
        ("new_room.py", "", "Imports point down"),
        ("bench/crossing.py", "import torch", "What runs on a bare board"),
        ("core/crossing.py", "def late():\n    import typer", "What runs on a bare board"),
        ("bench/crossing.py", "from edgekd.core import recipe", "Recipes stay on the workstation"),
    ],
)
def test_a_contract_that_is_crossed_breaks(copy: Path, file: str, text: str, contract: str) -> None:
    (copy / "edgekd" / file).write_text(f'"""Crosses a fence."""\n{text}\n')
    code, said = lint(copy)
    assert code == 1, said
    assert any(line.startswith(contract) and "BROKEN" in line for line in said.splitlines()), said


def test_a_bare_board_can_import_its_side(root: Path) -> None:
    modules = board_modules(root)
    assert {"edgekd.agent", "edgekd.bench.timing", "edgekd.backends.null", "edgekd.core.artifact"} <= set(modules)
    assert import_bare(root) == {}


def test_a_board_side_file_that_needs_more_is_named(copy: Path) -> None:
    (copy / "edgekd" / "tasks" / "crossing.py").write_text('"""Crosses."""\nimport yaml\n')
    assert import_bare(copy) == {"edgekd.tasks.crossing": "No module named 'yaml'"}


def test_only_files_about_a_library_are_exempt(root: Path) -> None:
    for module in EXEMPT:
        assert (root / f"{module.replace('.', '/')}.py").is_file(), f"{module} is gone: take it off the list"
