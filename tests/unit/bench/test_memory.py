"""Peak memory of a process that only runs one engine."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.bench import memory
from edgekd.core.tensor import TensorSpec
from tests.unit.bench.engines import candidate, null_engine

FEEDS = {"a/b c": np.ones((1, 3), np.float32), "n": np.array([7], np.int64)}
SPECS = (TensorSpec("a/b c", (1, 3), "float32"), TensorSpec("n", (1,), "int64"))


@pytest.fixture
def one(tmp_path):
    return candidate("one", null_engine(tmp_path, SPECS), FEEDS, tmp_path)


def test_a_child_process_measures_idle_and_peak_memory(one):
    found = memory.measure(one, "null", 1)
    assert found.reason == ""
    assert found.idle_bytes is not None
    assert found.peak_bytes is not None
    assert 5e6 < found.idle_bytes <= found.peak_bytes < 500e6


def test_without_proc_the_figures_are_none_with_the_reason(one, tmp_path):
    found = memory.measure(one, "null", proc=tmp_path / "no-proc")
    assert (found.idle_bytes, found.peak_bytes) == (None, None)
    assert "/proc/self/status" in found.reason


def test_a_child_that_fails_gives_its_reason(one):
    one.engine.write_text("{}")
    found = memory.measure(one, "null")
    assert found.peak_bytes is None
    assert "not an engine of the null backend" in found.reason


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Name:\tpython\nVmHWM:\t  200 kB\nVmRSS:\t  100 kB\n", (102400, 204800)),
        ("Name:\tpython\nVmRSS:\t  100 kB\n", None),
        ("VmHWM:\nVmRSS:\n", None),
        ("VmHWM:\tx kB\nVmRSS:\t1 kB\n", None),
    ],
)
def test_resident_reads_the_kernels_fields(tmp_path, status, expected):
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "status").write_text(status)
    assert memory.resident(tmp_path) == expected


def test_the_childs_side_returns_plain_figures(one, tmp_path):
    plan = {"candidate": one.to_json(), "backend": "null", "threads": 1, "proc": "/proc"}
    found = memory.measure_here(plan)
    assert 0 < found["idle_bytes"] <= found["peak_bytes"]
    assert memory.measure_here({**plan, "proc": str(tmp_path)}) == {"idle_bytes": None, "peak_bytes": None}
