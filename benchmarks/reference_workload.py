"""Write edgekd/bench/reference_workload.onnx, the fixed network that every benchmark is timed beside.

    python benchmarks/reference_workload.py

One 3x3 convolution of stride 4, and 24 times a depthwise 3x3 and a 1x1 convolution of 32 channels, 24x24, each with
ReLU, weights from a fixed seed: a quarter of a millisecond of one core, nearly all in layers so short that handing them
to a second thread costs as much as they do. On the virtual machine of two cores where this was made, MobileNetV3-Small
at two threads takes 0.29 ms, and for minutes at a time 0.57 ms: waking a thread becomes dear there. This network takes
0.19 and 0.44 ms then; four large convolutions, which it used to be, took 0.47 and 0.49, and told nobody.

A change here makes every recorded baseline incomparable; a test holds the file to this script.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekd.bench.reference_workload import INPUT, OUTPUT

FILE = Path(__file__).resolve().parents[1] / "edgekd" / "bench" / "reference_workload.onnx"
_PAIRS, _CHANNELS, _STRIDE = 24, 32, 4


@dataclass(frozen=True, slots=True)
class Layer:
    """A square convolution with ReLU behind it."""

    kernel: int
    before: int
    after: int
    groups: int = 1
    stride: int = 1


def model() -> onnx.ModelProto:
    """Return the reference workload."""
    pair = [Layer(3, _CHANNELS, _CHANNELS, groups=_CHANNELS), Layer(1, _CHANNELS, _CHANNELS)]
    return network([Layer(3, 3, _CHANNELS, stride=_STRIDE), *pair * _PAIRS], OUTPUT.shape)


def network(layers: Sequence[Layer], shape: Sequence[int | str]) -> onnx.ModelProto:
    """Return a chain of layers from the reference workload's input to an output "y" of the shape given."""
    draw = np.random.default_rng(0)
    nodes, weights, value = [], [], INPUT.name
    for i, of in enumerate(layers):
        size = (of.after, of.before // of.groups, of.kernel, of.kernel)
        # K. He et al., "Delving Deep into Rectifiers", ICCV 2015: what goes through neither fades nor grows.
        weight = draw.normal(0, np.sqrt(2 / np.prod(size[1:])), size).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{i}"))
        conv = helper.make_node("Conv", [value, f"w{i}"], [f"c{i}"], f"conv{i}", group=of.groups)
        conv.attribute.extend(
            helper.make_attribute(name, numbers)
            for name, numbers in (("pads", [of.kernel // 2] * 4), ("strides", [of.stride] * 2))
        )
        value = OUTPUT.name if i == len(layers) - 1 else f"r{i}"
        nodes += [conv, helper.make_node("Relu", [f"c{i}"], [value], f"relu{i}")]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)
        for name, sizes in ((INPUT.name, INPUT.shape), (OUTPUT.name, shape))
    ]
    # The name is part of the file's digest: with another, results recorded before could not be compared with new ones.
    graph = helper.make_graph(nodes, "yard" + "stick", ends[:1], ends[1:], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


if __name__ == "__main__":
    FILE.write_bytes(model().SerializeToString())
    print(f"{FILE.stat().st_size} bytes")
