"""A pair that trains in a second, and what the tests of training ask of it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from edgekd.core.config import Role
from edgekd.core.recipe import load_recipe
from edgekd.distill import train
from edgekd.networks.checkpoint import network, save_weights

MODEL = """
from torch import nn

class Net(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(),
                                  nn.Conv2d(channels, 12, 3, padding=1), nn.PixelShuffle(2))
    def forward(self, x):
        return self.body(x)

def teacher():
    return Net(6)

def student():
    return Net(4)
"""
RECIPE = """
[pair]
task = "super_resolution"
[task]
scale = 2
[data]
options = { patch = 8 }
[distill.student]
method = "logits"
steps = 6
batch_size = 4
warmup_steps = 2
checkpoint_every = 3
precision = "fp32"
"""
FEATURE_LAYER = '[distill.student.feature_layers]\nfirst = { student = "body.0", teacher = "body.0" }\n'


def make_pair(root: Path) -> Path:
    """Write a pair with a teacher's weights into ``root``, and a folder "pictures" beside it; return its folder."""
    folder = root / "tiny"
    (folder / "weights").mkdir(parents=True)
    (folder / "model.py").write_text(MODEL)
    (folder / "recipe.toml").write_text(RECIPE)
    torch.manual_seed(0)
    renew_teacher(folder)
    (root / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for index in range(3):
        smooth = np.kron(rng.integers(0, 256, (6, 6, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        Image.fromarray(smooth).save(root / "pictures" / f"{index}.png")
    return folder


def renew_teacher(pair: Path) -> None:
    """Write other weights for the pair's teacher, as its model.py is now."""
    save_weights(network(pair, "teacher"), pair / "weights" / "teacher.safetensors", torch.float32, {})


def job_of(pair: Path, out: str, role: Role = "student") -> train.TrainJob:
    """Return the job that trains into the folder ``out`` beside the pair."""
    teacher = pair / "weights" / "teacher.safetensors"
    return train.TrainJob(pair, role, teacher, [pair.parent / "pictures"], pair.parent / out, quiet=True)


def run_training(pair: Path, out: str, *overrides: str) -> Path:
    """Train the student and return the path of its weights."""
    return train.run(job_of(pair, out), load_recipe(pair / "recipe.toml", overrides))


def read_log(out: Path) -> list[list[str]]:
    """Read a run's log.csv: the header and the rows."""
    with (out / "log.csv").open() as file:
        return list(csv.reader(file))
