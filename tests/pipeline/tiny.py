"""A pair and a foreign network small enough to go through every stage in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.torch import save_file

RECIPE = """
[pair]
task = "super_resolution"
[task]
scale = 2
[data]
calibration = "pictures"
evaluation = "pictures"
[export]
shape = [1, 3, 24, 24]
[build]
backends = ["onnxruntime"]
[bench]
blocks = 2
block_ms = 1.0
warmup_ms = 1.0
"""


def tiny_onnx(path: Path) -> Path:
    """Write a network of one convolution, (1, 3, 16, 16) → (1, 4, 16, 16)."""
    weight = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["c"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 16, 16))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4, 16, 16))],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def tiny_pair(folder: Path, recipe: str = RECIPE) -> Path:
    """Write a pair whose networks are one convolution and a pixel shuffle, with pictures and weights."""
    (folder / "weights").mkdir(parents=True)
    (folder / "model.py").write_text(
        "from torch import nn\n\n"
        "def teacher():\n    return nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2))\n\n"
        "student = teacher\n"
    )
    (folder / "recipe.toml").write_text(recipe)
    generator = torch.Generator().manual_seed(0)
    for role in ("teacher", "student"):
        # Every output pixel is its input pixel, give or take: a network worth scoring.
        weight = 0.02 * torch.randn(12, 3, 3, 3, generator=generator)
        for output in range(12):
            weight[output, output // 4, 1, 1] += 1.0
        save_file({"0.weight": weight, "0.bias": torch.zeros(12)}, folder / "weights" / f"{role}.safetensors")
    pictures(folder / "pictures")
    return folder


def pictures(folder: Path) -> Path:
    """Write eight pictures of soft blocks, 64 x 64."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(8):
        blocks = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        Image.fromarray(blocks).save(folder / f"{index}.png")
    return folder
