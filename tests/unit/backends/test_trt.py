"""Building with a simulated TensorRT: refusals, hints, optimization profiles and the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.backends import _trt
from edgekd.core.errors import BuildError, InputError
from edgekd.core.tensor import DimRange, TensorSpec
from tests.unit.backends.simulated_trt import ParserError, SimulatedTensorRT

STATIC = TensorSpec("x", (1, 3), "float32")
DYNAMIC = TensorSpec("x", ("batch", 3), "float32", {"batch": DimRange(1, 2, 4)})


@pytest.fixture
def trt() -> SimulatedTensorRT:
    return SimulatedTensorRT()


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    (tmp_path / "net.onnx").write_bytes(b"any")
    return tmp_path / "net.onnx"


def build(trt: SimulatedTensorRT, onnx: Path, *inputs: TensorSpec) -> _trt.Built:
    return _trt.build(trt, onnx, inputs or (STATIC,), lambda builder, config: None)


def test_a_build_counts_convolutions_and_keeps_the_log(trt: SimulatedTensorRT, onnx: Path) -> None:
    trt.messages = [("info", "start"), ("warning", "weights\n  outside"), ("warning", "weights\noutside"), ("info", "")]
    built = build(trt, onnx)
    assert (built.engine, built.convolutions, built.network_layers) == (b"plan", 2, 3)
    assert built.messages == ("start", "weights\n  outside", "weights\noutside", "")
    assert built.warnings == ("weights outside",)  # each once, on one line
    assert trt.build_config.config.profiling_verbosity == "detailed"


def test_lines_about_a_missing_driver_are_no_warnings(trt: SimulatedTensorRT, onnx: Path) -> None:
    trt.messages = [("warning", "CUDA initialization failure with error: 35"), ("warning", "cudaError 35\nthe cause")]
    assert build(trt, onnx).warnings == ("the cause",)


@pytest.mark.parametrize(
    ("errors", "parts"),
    [
        ([ParserError("bad node", "conv1", "Conv")], ["net.onnx: node 'conv1' (Conv): bad node"]),
        ([ParserError("bad"), ParserError("worse")], ["bad (and 1 more)"]),
        ([ParserError("Plugin not found", "n", "Fancy")], ["(Fancy)", "To do: TensorRT has no such operator"]),
        ([ParserError("the zero point of x")], ["ActivationSymmetric"]),
    ],
)
def test_a_parser_that_refuses(trt: SimulatedTensorRT, onnx: Path, errors: list[ParserError], parts: list[str]) -> None:
    trt.parser_errors = errors
    with pytest.raises(BuildError, match="parser refuses") as error:
        build(trt, onnx)
    assert all(part in str(error.value) for part in parts)


def test_a_damaged_file_is_the_users(trt: SimulatedTensorRT, onnx: Path) -> None:
    trt.parser_errors = [ParserError("Failed to parse the ONNX model")]
    with pytest.raises(InputError, match="not a readable ONNX file"):
        build(trt, onnx)


def test_a_parser_that_gives_no_reason(trt: SimulatedTensorRT, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="it gave no reason"):
        build(trt, tmp_path / "missing.onnx")


def test_a_builder_that_refuses_gives_its_last_three_errors(trt: SimulatedTensorRT, onnx: Path) -> None:
    trt.engine = None
    trt.messages = [("error", f"error {number}") for number in range(5)]
    trt.messages += [("warning", "no error"), ("internal error", "UINT8 is not supported"), ("error", "cudaError 35")]
    with pytest.raises(BuildError) as error:
        build(trt, onnx)
    assert "error 3; error 4; UINT8 is not supported. To do: quantize symmetrically" in str(error.value)
    assert "error 2" not in str(error.value)


def test_long_messages_are_cut(trt: SimulatedTensorRT, onnx: Path) -> None:
    trt.parser_errors = [ParserError("x" * 10_000)]
    with pytest.raises(BuildError) as error:
        build(trt, onnx)
    assert len(str(error.value)) < 600


def test_a_dynamic_input_becomes_a_profile(trt: SimulatedTensorRT, onnx: Path) -> None:
    trt.input_shape = (-1, 3)
    build(trt, onnx, DYNAMIC)
    assert trt.profiles == [("x", (1, 3), (2, 3), (4, 3))]


def test_a_static_input_needs_no_profile(trt: SimulatedTensorRT, onnx: Path) -> None:
    build(trt, onnx, STATIC)
    assert trt.profiles == []


def test_a_dynamic_input_without_a_range(trt: SimulatedTensorRT, onnx: Path) -> None:
    trt.input_shape = (-1, 3)
    with pytest.raises(InputError, match="'x' is dynamic"):
        build(trt, onnx, TensorSpec("other", (1,), "float32"))
