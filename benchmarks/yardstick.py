"""Write edgekd/bench/yardstick.onnx, the fixed network that every benchmark is timed beside.

    python benchmarks/yardstick.py

Four 3x3 convolutions with ReLU between them, 16 channels of 96x96, weights from a fixed seed: two milliseconds of one
core. A change here makes every recorded baseline incomparable; a test holds the file to this script.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekd.bench.yardstick import INPUT, OUTPUT

FILE = Path(__file__).resolve().parents[1] / "edgekd" / "bench" / "yardstick.onnx"
_LAYERS, _CHANNELS = 4, 16


def model(layers: int = _LAYERS) -> onnx.ModelProto:
    """Return the network, or one like it of another depth."""
    draw = np.random.default_rng(0)
    nodes, weights, value = [], [], INPUT.name
    for layer in range(layers):
        shape = (_CHANNELS, 3 if layer == 0 else _CHANNELS, 3, 3)
        weight = draw.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{layer}"))
        last = layer == layers - 1
        summed = OUTPUT.name if last else f"c{layer}"
        nodes.append(helper.make_node("Conv", [value, f"w{layer}"], [summed], f"conv{layer}", pads=[1, 1, 1, 1]))
        if not last:
            nodes.append(helper.make_node("Relu", [summed], [f"r{layer}"], f"relu{layer}"))
        value = f"r{layer}"
    ends = [helper.make_tensor_value_info(spec.name, TensorProto.FLOAT, spec.shape) for spec in (INPUT, OUTPUT)]
    graph = helper.make_graph(nodes, "yardstick", ends[:1], ends[1:], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


if __name__ == "__main__":
    FILE.write_bytes(model().SerializeToString())
    print(f"{FILE.stat().st_size} bytes")
