"""The tensorrt backend with a simulated library: what a build reports, and versions that are too old."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from edgekd.core.errors import TargetMismatch
from edgekd.core.tensor import TensorSpec
from tests.unit.backends.simulated_trt import SimulatedTensorRT

STATIC = TensorSpec("x", (1, 3), "float32")


@pytest.fixture
def trt() -> SimulatedTensorRT:
    return SimulatedTensorRT()


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    (tmp_path / "net.onnx").write_bytes(b"any")
    return tmp_path / "net.onnx"


@pytest.fixture
def backend(trt: SimulatedTensorRT, monkeypatch: pytest.MonkeyPatch):
    """Load edgekd/backends/tensorrt.py with the simulated library, on a machine that has a driver."""
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    monkeypatch.delitem(sys.modules, "edgekd.backends.tensorrt", raising=False)
    module = importlib.import_module("edgekd.backends.tensorrt")
    monkeypatch.setattr(module, "require_driver", lambda action: None)
    yield module.BACKEND
    sys.modules.pop("edgekd.backends.tensorrt")


def test_the_backend_builds_and_counts_layers(backend, trt: SimulatedTensorRT, onnx: Path) -> None:
    engine = onnx.with_suffix(".engine")
    report = backend.build(onnx, (STATIC,), engine, threads=3)
    assert engine.read_bytes() == b"plan"
    assert trt.build_config.builder.max_threads == 3
    assert report.facts["tensorrt"] == "10.3.0"
    assert (report.facts["convolutions"], report.facts["engine_convolutions"]) == (2, 1)
    assert report.facts["int8_convolutions"] == 1
    backend.build(onnx, (STATIC,), engine)
    assert trt.build_config.builder.max_threads == 0  # 0 leaves the choice to the library


@pytest.mark.parametrize("version", ["8.6.2", "10.2.0.19"])
def test_the_backend_refuses_a_tensorrt_that_is_too_old(
    backend, trt: SimulatedTensorRT, onnx: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(SimulatedTensorRT, "__version__", version)
    for action in (
        lambda: backend.build(onnx, (STATIC,), onnx.with_suffix(".engine")),
        lambda: backend.open(onnx),
        lambda: backend.open_profiled(onnx),
    ):
        with pytest.raises(TargetMismatch, match=version):
            action()


def test_an_engine_that_does_not_open_after_its_build(backend, trt: SimulatedTensorRT, onnx: Path) -> None:
    trt.opened = None
    with pytest.raises(TargetMismatch, match="out of memory"):
        backend.build(onnx, (STATIC,), onnx.with_suffix(".engine"))
