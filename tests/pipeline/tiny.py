"""A pair and a foreign network small enough to go through every stage in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.torch import save_file

# The quicker exporter, and no onnxsim: each has tests of its own.
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
exporter = "torchscript"
[simplify]
enabled = false
[build]
backends = ["onnxruntime"]
[bench]
processes = 1
min_rounds = 2
budget_s = 1.0
block_ms = 1.0
warmup_ms = 1.0
"""

# What a tiny pair of each other task is made of: (its [task], layout, channels in and out, what follows the convs).
_OTHERS = {
    "classification": (
        "classes = ['leaf', 'spot', 'mold']\nsize = 16", "class_folders", 3, 3,
        "nn.AdaptiveAvgPool2d(1), nn.Flatten()",
    ),
    "segmentation": ("classes = ['sky', 'road', 'car']", "image_labels", 3, 3, "nn.Identity()"),
    "dehazing": ("size = 32\nwindow = 3\nbox = 5\nscore = 'network'", "hazy_clear", 4, 3, "nn.Tanh()"),
}  # fmt: skip


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


def tiny_pair_of(task: str, folder: Path, evaluation: str = "pictures") -> Path:
    """Write a pair of another task whose networks are one convolution, with eight unlabelled pictures.

    Its sizes, ``[network]``, are ``width``; the recipe is small.toml, and recipe.toml of another width has no weights.
    """
    options, layout, channels, classes, tail = _OTHERS[task]
    (folder / "weights").mkdir(parents=True)
    (folder / "model.py").write_text(
        "from torch import nn\n\n"
        "def teacher(width=64):\n"
        f"    return nn.Sequential(nn.Conv2d({channels}, width, 3, padding=1), nn.ReLU(), "
        f"nn.Conv2d(width, {classes}, 1), {tail})\n\n"
        "student = teacher\n"
    )
    (folder / "recipe.toml").write_text(_recipe_of(task, options, layout, channels, evaluation))
    small = (folder / "recipe.toml").read_text().replace("[task]", _SMALL)
    (folder / "small.toml").write_text(small)
    generator = torch.Generator().manual_seed(0)
    for role, width in (("teacher", 6), ("student", 4)):
        draw = {
            "0.weight": torch.randn(width, channels, 3, 3, generator=generator) / 3,
            "0.bias": torch.zeros(width),
            "2.weight": torch.randn(classes, width, 1, 1, generator=generator) / 2,
            "2.bias": torch.zeros(classes),
        }
        save_file(draw, folder / "weights" / f"small_{role}.safetensors")
    pictures(folder / "pictures")
    return folder


_SMALL = """teacher = "weights/small_teacher.safetensors"
student = "weights/small_student.safetensors"
[network]
teacher = { width = 6 }
student = { width = 4 }
[task]"""


def _recipe_of(task: str, options: str, layout: str, channels: int, evaluation: str) -> str:
    head, _, tail = RECIPE.partition("[export]")
    tail = tail.replace("[1, 3, 24, 24]", f"[1, {channels}, 32, 32]")
    head = head.replace("super_resolution", task).replace("scale = 2", options)
    head = head.replace('evaluation = "pictures"', f'evaluation = "{evaluation}"\nlayout = "{layout}"')
    return f"{head}[quantize]\nschemes = ['fp32']\n[export]{tail}"


def labelled(task: str, folder: Path) -> Path:
    """Write a user's data set of one of these tasks, held-out part and all, as its layout has it."""
    rng = np.random.default_rng(1)

    def write(array: np.ndarray, *parts: str) -> None:
        path = folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)

    for index in range(6):
        image = np.kron(rng.integers(0, 256, (5, 6, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        if task == "classification":
            for part in ("train", "val"):
                write(image, part, ("a leaf", "b spot", "c mold")[index % 3], f"{index}.png")
        elif task == "segmentation":
            labels = np.kron(rng.choice([0, 1, 2, 255], (5, 6)), np.ones((8, 8))).astype(np.uint8)
            write(image, "val", f"{index}.png")
            write(labels, "valannot", f"{index}.png")
        else:
            write(image, "gt", f"{index}.png")
            write((image // 2 + 100).astype(np.uint8), "hazy", f"{index}_1.png")
    return folder


def pictures(folder: Path) -> Path:
    """Write eight pictures of soft blocks, 64 x 64."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(8):
        blocks = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        Image.fromarray(blocks).save(folder / f"{index}.png")
    return folder
