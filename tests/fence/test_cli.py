"""The command line starts light: what --help must not import, and one exit code a kind of error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "numpy", "onnx", "onnxruntime", "tensorrt", "tensorrt_rtx", "PIL", "scipy", "skimage", "timm", "tqdm"}

LOADED = """
import json, sys
if len(sys.argv) > 2:
    __import__(sys.argv.pop(2))
sys.argv = ["edgekd", *json.loads(sys.argv[1])]
from edgekd.cli import main
try:
    main()
except SystemExit as stop:
    print(json.dumps([stop.code, sorted({name.partition(".")[0] for name in sys.modules})]), file=sys.stderr)
"""


def loaded(arguments: list[str], *crossing: str) -> tuple[int, set[str]]:
    """Run the command line in a fresh interpreter; return its exit code and what it imported."""
    command = [sys.executable, "-c", LOADED, json.dumps(arguments), *crossing]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    return code or 0, set(modules)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_is_light(arguments: list[str]) -> None:
    code, modules = loaded(arguments)
    assert code == 0
    assert modules & HEAVY == set()


def test_a_heavy_import_is_noticed() -> None:
    _, modules = loaded(["--help"], "numpy")
    assert modules & HEAVY == {"numpy"}


def test_listing_pairs_needs_no_torch() -> None:
    code, modules = loaded(["models"])
    assert code == 0
    assert "torch" not in modules


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "no_such_pair"], 2),
        (["run"], 2),
        (["brew"], 2),
        (["show", "no_such_file"], 2),
        (["models", "--surplus"], 2),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(arguments: list[str], code: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgekd", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert done.stderr
    assert list(tmp_path.iterdir()) == []
