"""Peak memory of a process that only runs one engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekd.backends.null import BACKEND
from edgekd.bench import memory
from edgekd.core.samples import Samples
from edgekd.core.tensor import TensorSpec

FEEDS = {"a/b c": np.ones((1, 3), np.float32), "n": np.array([7], np.int64)}


@pytest.fixture
def engine(tmp_path):
    inputs = [TensorSpec("a/b c", (1, 3), "float32"), TensorSpec("n", (1,), "int64")]
    BACKEND.build(tmp_path / "model.onnx", inputs, tmp_path / "model.engine")
    return tmp_path / "model.engine"


def test_a_child_process_tells_its_idle_and_peak_memory(engine):
    found = memory.peak("null", engine, FEEDS, 1)
    assert found.reason == ""
    assert found.idle_bytes is not None
    assert found.peak_bytes is not None
    assert 5e6 < found.idle_bytes <= found.peak_bytes < 500e6


def test_without_proc_the_figures_are_none_with_the_reason(engine, tmp_path):
    found = memory.peak("null", engine, FEEDS, proc=tmp_path / "no-proc")
    assert (found.idle_bytes, found.peak_bytes) == (None, None)
    assert "/proc/self/status" in found.reason


def test_a_child_that_fails_gives_its_last_words(tmp_path):
    broken = tmp_path / "broken.engine"
    broken.write_text("{}")
    found = memory.peak("null", broken, FEEDS)
    assert found.peak_bytes is None
    assert "ended with 1" in found.reason
    assert "not an engine of the null backend" in found.reason


@pytest.mark.parametrize(
    ("stdout", "expected"),
    [
        ('library banner\n{"idle_bytes": 10, "peak_bytes": 20}\n', (10, 20, "")),
        ("nonsense\n", (None, None, "'nonsense'")),
        ("[1]\n", (None, None, "[1]")),
        ("", (None, None, "nothing")),
    ],
)
def test_the_answer_is_the_last_line(stdout, expected):
    found = memory._answer(subprocess.CompletedProcess([], 0, stdout, ""))
    assert (found.idle_bytes, found.peak_bytes) == expected[:2]
    assert expected[2] in found.reason


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Name:\tpython\nVmHWM:\t  200 kB\nVmRSS:\t  100 kB\n", (102400, 204800)),
        ("Name:\tpython\nVmRSS:\t  100 kB\n", None),
        ("VmHWM:\nVmRSS:\n", None),
        ("VmHWM:\tx kB\nVmRSS:\t1 kB\n", None),
    ],
)
def test_resident_reads_the_kernels_words(tmp_path, status, expected):
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "status").write_text(status)
    assert memory.resident(tmp_path) == expected


def test_it_runs_as_a_module(engine, tmp_path):
    feeds = tmp_path / "feeds.npz"
    Samples({name: array[None] for name, array in FEEDS.items()}, ("feeds",), "test").save(feeds)
    command = [sys.executable, "-m", "edgekd.bench.memory", "--backend=null", f"--engine={engine}", f"--feeds={feeds}"]
    root = Path(memory.__file__).parents[2]
    child = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, timeout=60)
    assert set(json.loads(child.stdout)) == {"idle_bytes", "peak_bytes"}


def test_the_childs_side_answers_in_json(engine, tmp_path, capsys):
    feeds = tmp_path / "feeds.npz"
    Samples({name: array[None] for name, array in FEEDS.items()}, ("feeds",), "test").save(feeds)
    assert memory.main(["--backend=null", f"--engine={engine}", f"--feeds={feeds}"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert 0 < answer["idle_bytes"] <= answer["peak_bytes"]
    assert memory.main(["--backend=null", f"--engine={engine}", f"--feeds={feeds}", f"--proc={tmp_path}"]) == 0
    assert json.loads(capsys.readouterr().out) == {"idle_bytes": None, "peak_bytes": None}
