"""Small ONNX networks for tests, written with ONNX's own text parser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper

from edgekd.core.artifact import Artifact, publish
from edgekd.core.samples import Samples
from edgekd.graph.model import input_specs, specs, to_bytes


def convolutions(seed: int = 0) -> ModelProto:
    """Return Conv, ReLU, grouped Conv, pooling and Gemm, with random weights and one metadata entry."""
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[1,3,16,16] picture) => (float[1,5] scores) {
            [first] a = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (picture, w1, b1)
            [relu] b = Relu (a)
            [second] c = Conv <kernel_shape = [3,3], pads = [1,1,1,1], group = 2> (b, w2)
            [pool] d = GlobalAveragePool (c)
            [flat] e = Flatten (d)
            [dense] scores = Gemm (e, w3, b3)
        }
    """)
    rng = np.random.default_rng(seed)
    shapes = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 4, 3, 3), "w3": (8, 5), "b3": (5,)}
    for name, shape in shapes.items():
        model.graph.initializer.append(numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name))
    onnx.helper.set_model_props(model, {"edgekd.pair": "a_from_b"})
    return model


def branches() -> ModelProto:
    """Return an If whose branches read a tensor of the graph around it, chosen by an int64 scalar input."""
    return onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 16]>
        net (float[batch, length] input, int64 sr) => (float[batch, length] output)
        <int64 rate = {16000}, float two = {2.0}> {
            cond = Equal (sr, rate)
            output = If (cond) <
                then_branch = yes () => (float[batch, length] y) { y = Mul (input, two) },
                else_branch = no () => (float[batch, length] z) { z = Neg (input) }
            >
        }
    """)


def parse(text: str) -> ModelProto:
    """Return the model that ``text`` describes in ONNX's text format, opset 17."""
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')


def artifact_of(model: ModelProto, path: Path) -> Artifact:
    """Publish ``model`` as a file that somebody gave us."""
    inputs, outputs = specs(model)
    return publish(Artifact("onnx", path, inputs=inputs, outputs=outputs), to_bytes(model))


def real_samples(model: ModelProto, count: int = 8) -> Samples:
    """Return random feeds of ``model`` whose origin is "user", so that INT8 can be calibrated on them."""
    rng = np.random.default_rng(3)
    inputs = {}
    for spec in input_specs(model):
        shape = (count, *spec.at("opt"))
        if spec.dtype.startswith("float"):
            inputs[spec.name] = rng.random(shape).astype(spec.dtype)
        else:
            inputs[spec.name] = rng.integers(0, 2, shape).astype(spec.dtype)
    return Samples.of(inputs, "images of the test")
