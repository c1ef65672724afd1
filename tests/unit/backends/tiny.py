"""Networks small enough to check by hand: a 1x1 convolution and ReLU, in each precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekd.core.tensor import DimRange, TensorSpec

CHANNELS = 16
SIZE = 8
WEIGHT = (np.arange(CHANNELS * CHANNELS, dtype=np.float32).reshape(CHANNELS, CHANNELS, 1, 1) % 7 - 3) / 8
INPUT = TensorSpec("x", (1, CHANNELS, SIZE, SIZE), "float32")
OUTPUT = TensorSpec("y", (1, CHANNELS, SIZE, SIZE), "float32")
BATCH = {"batch": DimRange(1, 2, 4)}
DYNAMIC_INPUT = TensorSpec("x", ("batch", CHANNELS, SIZE, SIZE), "float32", BATCH)


def feed(seed: int = 0, batch: int = 1) -> dict[str, NDArray[Any]]:
    """Return random feeds for the network."""
    return {"x": np.random.default_rng(seed).random((batch, CHANNELS, SIZE, SIZE), np.float32)}


def expected(x: NDArray[Any]) -> NDArray[Any]:
    """Compute the network in numpy.

    Args:
        x: (N, C, H, W) float32.
    """
    return np.maximum(np.einsum("oi,nihw->nohw", WEIGHT[:, :, 0, 0], x), 0)


def write_conv(path: Path, *, dtype: str = "float32", batch: int | str = 1, op: str = "Relu") -> Path:
    """Write conv + ``op`` in one float type."""
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], "conv"), helper.make_node(op, ["c"], ["y"], "after")]
    return _write(path, nodes, [numpy_helper.from_array(WEIGHT.astype(dtype), "w")], element, batch)


def write_int8_conv(path: Path, *, zero_point: int = 0, quantized_bias: bool = False) -> Path:
    """Write Q/DQ → conv; by default in the form that TensorRT accepts."""
    constants = {
        "x_scale": np.array(1 / 127, np.float32),
        "x_zero": np.array(zero_point, np.int8),
        "w_q": (WEIGHT * 8).astype(np.int8),
        "w_scale": np.full(CHANNELS, 1 / 8, np.float32),
        "w_zero": np.zeros(CHANNELS, np.int8),
        "b_q": np.zeros(CHANNELS, np.int32),
        "b_zero": np.zeros(CHANNELS, np.int32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["x_q"], "q"),
        helper.make_node("DequantizeLinear", ["x_q", "x_scale", "x_zero"], ["x_d"], "dq"),
        helper.make_node("DequantizeLinear", ["w_q", "w_scale", "w_zero"], ["w"], "dq_w", axis=0),
        helper.make_node("DequantizeLinear", ["b_q", "w_scale", "b_zero"], ["b"], "dq_b", axis=0),
        helper.make_node("Conv", ["x_d", "w", "b"] if quantized_bias else ["x_d", "w"], ["c"], "conv"),
        helper.make_node("Relu", ["c"], ["y"], "after"),
    ]
    if not quantized_bias:
        del nodes[3], constants["b_q"], constants["b_zero"]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return _write(path, nodes, initializers, TensorProto.FLOAT, 1)


def write_if(path: Path) -> Path:
    """Write a network whose convolutions are in the branches of an If."""
    branches = {
        name: helper.make_graph(
            [helper.make_node("Conv", ["x", "w"], [f"{name}_c"]), helper.make_node(op, [f"{name}_c"], [f"{name}_y"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)],
        )
        for name, op in (("then_branch", "Relu"), ("else_branch", "Sigmoid"))
    }
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        helper.make_node("Greater", ["top", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], **branches),
    ]
    constants = [numpy_helper.from_array(WEIGHT, "w"), numpy_helper.from_array(np.array(0, np.float32), "zero")]
    return _write(path, nodes, constants, TensorProto.FLOAT, 1)


def _write(path: Path, nodes: list[Any], initializers: list[Any], element: int, batch: int | str) -> Path:
    shape = [batch, CHANNELS, SIZE, SIZE]
    x, y = (helper.make_tensor_value_info(name, element, shape) for name in ("x", "y"))
    graph = helper.make_graph(nodes, "tiny", [x], [y], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
