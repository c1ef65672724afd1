"""TensorRT-RTX: the real parser and builder, without a GPU, on graphs in each precision and on ones it must refuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from edgekd.core.errors import BuildError, EdgeKDError, InputError
from edgekd.core.tensor import TensorSpec
from tests.unit.backends import tiny

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed here; try: pip install 'edgekd[rtx]'")

from edgekd.backends import tensorrt_rtx
from edgekd.backends.tensorrt_rtx import BACKEND


def _facts(onnx: Path, *inputs: TensorSpec) -> dict[str, int]:
    return dict(BACKEND.build(onnx, inputs or (tiny.INPUT,), onnx.with_suffix(".engine")).facts)


def test_float32_convolution(tmp_path: Path) -> None:
    facts = _facts(tiny.write_conv(tmp_path / "net.onnx"))
    assert (facts["convolutions"], facts["engine_convolutions"]) == (1, 1)
    assert (facts["int8_convolutions"], facts["fp16_convolutions"]) == (0, 0)


def test_float16_convolution(tmp_path: Path) -> None:
    facts = _facts(tiny.write_conv(tmp_path / "net.onnx", dtype="float16"))
    assert (facts["engine_convolutions"], facts["int8_convolutions"], facts["fp16_convolutions"]) == (1, 0, 1)


def test_int8_convolution(tmp_path: Path) -> None:
    facts = _facts(tiny.write_int8_conv(tmp_path / "net.onnx"))
    assert (facts["engine_convolutions"], facts["int8_convolutions"]) == (1, 1)


def test_same_graph_same_engine(tmp_path: Path) -> None:
    first, second = (tiny.write_conv(tmp_path / f"{i}.onnx") for i in range(2))
    _facts(first)
    _facts(second)
    assert first.with_suffix(".engine").read_bytes() == second.with_suffix(".engine").read_bytes()


@pytest.mark.parametrize(
    ("broken", "node", "advice"),
    [({"quantized_bias": True}, "'dq_b'", "QuantizeBias=False"), ({"zero_point": 3}, "'q'", "ActivationSymmetric")],
    ids=["bias", "zero-point"],
)
def test_refusals_name_the_node_and_the_way_out(tmp_path: Path, broken: dict, node: str, advice: str) -> None:
    with pytest.raises(BuildError) as error:
        _facts(tiny.write_int8_conv(tmp_path / "net.onnx", **broken))
    assert node in str(error.value)
    assert advice in str(error.value)
    assert "cudaError" not in str(error.value)


def test_unknown_operator(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"node 'after' \(NoSuchThing\)"):
        _facts(tiny.write_conv(tmp_path / "net.onnx", op="NoSuchThing"))


def test_cut_file(tmp_path: Path) -> None:
    path = tiny.write_conv(tmp_path / "net.onnx")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="not a readable ONNX file"):
        _facts(path)


def test_dynamic_input_needs_its_range(tmp_path: Path) -> None:
    path = tiny.write_conv(tmp_path / "net.onnx", batch="batch")
    with pytest.raises(InputError, match="--dim batch=SIZE"):
        _facts(path, TensorSpec("x", tiny.DYNAMIC_INPUT.shape, "float32"))
    with pytest.raises(InputError, match="'x' is dynamic"):
        _facts(path, TensorSpec("other", (1,), "float32"))


def test_a_builder_that_crashes_is_a_build_error_with_its_last_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\necho 'Assertion failed: tactic' >&2\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crashing))
    with pytest.raises(BuildError, match=r"net\.onnx ended by SIGSEGV; .*Assertion failed: tactic"):
        _facts(tiny.write_conv(tmp_path / "net.onnx"))
    assert not (tmp_path / "net.engine").exists()


def test_a_build_that_does_not_end_is_a_build_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_rtx, "_BUILD_TIMEOUT_S", 0.01)
    with pytest.raises(BuildError, match=r"net\.onnx did not finish"):
        _facts(tiny.write_conv(tmp_path / "net.onnx"))


def test_threads_and_relative_paths_reach_the_builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.write_conv(tmp_path / "net.onnx")
    monkeypatch.chdir(tmp_path)
    report = BACKEND.build(Path("net.onnx"), (tiny.INPUT,), Path("net.engine"), threads=1)
    assert report.facts["engine_convolutions"] == 1
    assert (tmp_path / "net.engine").stat().st_size > 0


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _facts(tiny.write_conv(tmp_path / "net.onnx"))
    assert capfd.readouterr() == ("", "")


def test_the_caveat_says_that_it_is_no_jetson_engine(tmp_path: Path) -> None:
    assert "not a Jetson engine" in BACKEND.caveat
    assert "SM87" in json.dumps(_facts(tiny.write_conv(tmp_path / "net.onnx")))


def test_open_without_a_gpu_refuses_and_does_not_crash(tmp_path: Path) -> None:
    engine = tmp_path / "e.engine"
    engine.write_bytes(b"anything")
    with pytest.raises(EdgeKDError):
        BACKEND.open(engine)
