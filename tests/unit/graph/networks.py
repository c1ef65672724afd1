"""Small ONNX networks for tests, written with ONNX's own text parser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper

from edgekd.convert.import_onnx import synthetic_feeds
from edgekd.core.artifact import Artifact, sha256_of
from edgekd.core.samples import Samples
from edgekd.graph.model import input_specs, save_onnx, specs


def convolutions(seed: int = 0) -> ModelProto:
    """Conv, ReLU, Conv, pool, Gemm, Softmax: every kind of layer that INT8 takes but MatMul."""
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
    """An If whose branches use an outer tensor, and an integer scalar input that chooses."""
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


def artifact_of(model: ModelProto, path: Path) -> Artifact:
    """Save ``model`` and return it as an artifact somebody gave."""
    save_onnx(model, path)
    inputs, outputs = specs(model)
    return Artifact("onnx", path, sha256_of(path), inputs, outputs)


def real_samples(model: ModelProto, count: int = 8) -> Samples:
    """Feeds that claim to be real."""
    made = synthetic_feeds(input_specs(model), count, seed=3)
    return Samples(made.inputs, made.names, "pictures of the test")
