"""Every GPU backend on a real GPU: parity in each precision, the device's own times, memory that is freed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.backends._driver import require_driver
from edgekd.core import family
from edgekd.core.errors import MachineError, MissingDependency, TargetMismatch
from edgekd.core.protocols import Backend, GpuBackend, ProfilingBackend, TimedSession
from tests.unit.backends import tiny

LEAK_BYTES = 32 * 1024 * 1024
# Precision → largest error over largest output: TF32 and FP16 have ten bits of mantissa, INT8 steps of 1/127.
PRECISIONS = {"fp32": 1e-2, "fp16": 2e-2, "int8": 5e-2}


@pytest.fixture(scope="module", autouse=True)
def _gpu() -> None:
    try:
        require_driver("tests/gpu")
    except MachineError as err:
        pytest.skip(str(err))


@pytest.fixture(params=family.names("backends"))
def backend(request: pytest.FixtureRequest) -> Backend:
    try:
        found: Any = family.load("backends", request.param).BACKEND
        is_gpu = isinstance(found, GpuBackend)
        if not is_gpu:
            pytest.skip(f"{request.param} runs on the CPU")
        family.load_module("edgekd.backends._cuda")
    except MissingDependency as err:
        pytest.skip(str(err))
    return found


def _write(precision: str, path: Path) -> Path:
    if precision == "int8":
        return tiny.write_int8_conv(path)
    return tiny.write_conv(path, dtype="float16" if precision == "fp16" else "float32")


def _open(backend, onnx: Path, spec: tiny.TensorSpec = tiny.INPUT) -> TimedSession:
    engine = onnx.with_suffix(".engine")
    report = backend.build(onnx, (spec,), engine)
    try:
        return backend.open(engine)
    except TargetMismatch as err:
        if "compute_capability" in report.facts:  # built for one that this GPU need not have
            pytest.skip(str(err))
        raise


@pytest.mark.parametrize("precision", PRECISIONS)
def test_numbers(backend, precision: str, tmp_path: Path) -> None:
    session = _open(backend, _write(precision, tmp_path / "net.onnx"))
    x = tiny.feed()["x"]
    found = session.run({"x": x.astype(session.inputs[0].dtype)})["y"]
    target = tiny.expected(x)
    assert np.abs(found.astype(np.float32) - target).max() <= PRECISIONS[precision] * target.max()
    session.close()


def test_device_times_are_the_device_s(backend, tmp_path: Path) -> None:
    session = _open(backend, _write("fp32", tmp_path / "net.onnx"))
    times = session.run_timed(tiny.feed())
    assert min(times.h2d_ms, times.gpu_compute_ms, times.d2h_ms) > 0
    session.close()


def test_layers_are_timed_by_the_library_s_profiler(backend, tmp_path: Path) -> None:
    _open(backend, _write("fp32", tmp_path / "net.onnx")).close()
    assert isinstance(backend, ProfilingBackend)
    session = backend.open_profiled(tmp_path / "net.engine")
    for _ in range(5):
        session.run(tiny.feed())
    nodes = session.nodes()
    assert {len(node.times_ms) for node in nodes} == {5}
    assert sum(sum(node.times_ms) for node in nodes) > 0
    session.close()


def test_every_size_of_the_profile(backend, tmp_path: Path) -> None:
    session = _open(backend, tiny.write_conv(tmp_path / "net.onnx", batch="batch"), tiny.DYNAMIC_INPUT)
    for batch in (4, 1, 2):
        assert session.run(tiny.feed(batch=batch))["y"].shape[0] == batch
    session.close()


def test_closing_frees_device_memory(backend, tmp_path: Path) -> None:
    session = _open(backend, _write("fp32", tmp_path / "net.onnx"))
    cuda = pytest.importorskip("pycuda.driver")
    before, _ = cuda.mem_get_info()
    engine = tmp_path / "net.engine"
    for _ in range(20):
        other = backend.open(engine)
        other.run(tiny.feed())
        other.close()
    after, _ = cuda.mem_get_info()
    assert before - after < LEAK_BYTES
    session.close()


def test_what_is_not_an_engine(backend, tmp_path: Path) -> None:
    engine = tmp_path / "broken.engine"
    engine.write_bytes(bytes(4096))
    with pytest.raises(TargetMismatch, match=r"broken\.engine does not open"):
        backend.open(engine)
