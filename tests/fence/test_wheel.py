"""The wheel: complete, and alive beside numpy alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgekd.core.artifact import Artifact, publish
from edgekd.core.tensor import TensorSpec
from edgekd.results.result import read_result

BUILD = "import sys; from hatchling import build; print(getattr(build, sys.argv[1])(sys.argv[2]))"


def built(root: Path, what: str, folder: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", BUILD, what, str(folder)], cwd=root, capture_output=True, text=True, check=True
    )
    return folder / done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(root, "build_wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def board(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds numpy and the wheel, and nothing else."""
    folder = tmp_path_factory.mktemp("board")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    numpy = Path(np.__file__).parent
    for part in (numpy, *numpy.parent.glob("numpy.libs"), *numpy.parent.glob("numpy-*.dist-info")):
        (site / part.name).symlink_to(part)
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    return folder


def agent(board: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    command = [str(board / "bin" / "python"), "-m", "edgekd.agent", *arguments]
    return subprocess.run(command, cwd=board, env=environment, capture_output=True, text=True, check=False)


def test_the_wheel_is_complete(root: Path, wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (root / "edgekd").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".tmp":
            assert path.relative_to(root).as_posix() in names
    for recipe in (root / "models").glob("*/recipe.toml"):
        for path in recipe.parent.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".tmp":
                assert f"edgekd/_models/{path.relative_to(root / 'models').as_posix()}" in names
    assert not [name for name in names if name.startswith(("tests", "models", "benchmarks"))]


def test_the_sdist_is_complete(root: Path, tmp_path: Path) -> None:
    with tarfile.open(built(root, "build_sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        "pyproject.toml",
        "constraints.txt",
        "Makefile",
        "README.md",
        "LICENSE",
        "tests/conftest.py",
        "edgekd/agent.py",
    }
    assert wanted <= names
    assert {path.relative_to(root).as_posix() for path in (root / "models").glob("*/recipe.toml")} <= names


def test_the_board_has_numpy_and_edgekd_only(board: Path) -> None:
    for module in ("typer", "torch", "onnx", "yaml", "pip"):
        done = subprocess.run(
            [str(board / "bin" / "python"), "-c", f"import {module}"], cwd=board, capture_output=True, check=False
        )
        assert done.returncode == 1, module


def test_selftest_beside_numpy_alone(board: Path) -> None:
    done = agent(board, "selftest", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True


def test_doctor_beside_numpy_alone(board: Path) -> None:
    done = agent(board, "doctor", "--json")
    assert done.returncode == 0, done.stderr
    backends = json.loads(done.stdout)["backends"]
    assert backends["null"]["loads"] is True
    assert "pip install 'edgekd[compile]'" in backends["onnxruntime"]["why"]


def test_build_and_bench_beside_numpy_alone(board: Path, tmp_path: Path) -> None:
    onnx = tmp_path / "m.onnx"
    specs = (TensorSpec("x", (1, 3, 4, 4), "float32"),)
    publish(Artifact("onnx", onnx, inputs=specs, outputs=specs), "a network")
    engine, result = tmp_path / "m.engine", tmp_path / "result.json"
    done = agent(board, "build", str(onnx), "--backend", "null", "-o", str(engine))
    assert done.returncode == 0, done.stderr
    done = agent(board, "bench", str(engine), "-o", str(result), "--budget-s", "0", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["p50_ms"].keys() == {c.name for c in read_result(result).candidates}
    for wrong, code in ((["build", str(onnx), "--backend", "nil", "-o", "x"], 2), (["bench", str(onnx), "-o", "x"], 2)):
        done = agent(board, *wrong)
        assert done.returncode == code
        assert len(done.stderr.splitlines()) == 1
    done = agent(board, "build", str(onnx), "--backend", "onnxruntime", "-o", "x")
    assert done.returncode == 3
    assert "'onnxruntime', which is not installed here" in done.stderr


def test_selftest_fails_where_the_board_needs_more(board: Path, tmp_path: Path) -> None:
    crossed = tmp_path / "crossed"
    shutil.copytree(board, crossed, symlinks=True)
    measure = next(crossed.glob("lib/python*/site-packages/edgekd/core/clock.py"))
    measure.write_text("import typer\n" + measure.read_text().replace("from __future__ import annotations\n", ""))
    done = agent(crossed, "selftest")
    assert done.returncode != 0
    assert "No module named 'typer'" in done.stderr
