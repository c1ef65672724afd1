"""Photographs, options and small networks for any task, derived from the task itself and from the pairs' recipes."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekd.core.family import load
from edgekd.core.protocols import HasBaseline, Pictures
from edgekd.core.recipe import load_recipe, pair_names, pairs_root
from edgekd.core.samples import Samples
from edgekd.datasets.pictures import read_picture

PHOTOGRAPHS = ("grass", "rocket_pad", "retina_a", "hubble")


def photograph(name: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the upper left corner of one of edgekd's own photographs: (*size, 3) uint8."""
    image = read_picture(pairs_root() / "edsr_from_edsr" / "pictures" / "calibration" / f"{name}.png")
    assert image.shape[0] >= size[0]
    assert image.shape[1] >= size[1]
    return np.ascontiguousarray(image[: size[0], : size[1]])


def image_samples(size: tuple[int, int], count: int = 2 * len(PHOTOGRAPHS)) -> Samples:
    """Return photographs as the samples of a graph that includes preprocessing: "input", (1, *size, 3) uint8."""
    names = [PHOTOGRAPHS[index % len(PHOTOGRAPHS)] for index in range(count)]
    return Samples.of({"input": np.stack([photograph(name, size)[None] for name in names])}, "photographs of the test")


@cache
def options_of(name: str) -> dict[str, Any]:
    """Return the ``[task]`` of the first pair that has this task, or nothing where no pair has it."""
    for pair in pair_names():
        recipe = load_recipe(pairs_root() / pair / "recipe.toml")
        if recipe.pair is not None and recipe.pair.task == name:
            return dict(recipe.task)
    return {}


class TaskNetwork(nn.Module):
    """One convolution, and what its task needs after it: logits of an image or of each pixel, or an image."""

    def __init__(self, name: str, size: tuple[int, int]) -> None:
        super().__init__()
        task, options = load("tasks", name), options_of(name)
        channels = task.preprocess(np.zeros((*size, 3), np.uint8), options).shape[0]
        self.is_classifier = task.CRITERION == "cross_entropy"
        self.is_pooled = self.is_classifier and not isinstance(task, Pictures)
        self.scale = 1 if self.is_classifier else _scale(task, size, options)
        outputs = len(task.class_names(options)) if self.is_classifier else 3 * self.scale**2
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.conv = nn.Conv2d(channels, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        if self.is_pooled:
            return 5 * y.mean(dim=(2, 3))  # times 5: probabilities that differ
        return torch.tanh(y) if self.scale == 1 else nn.functional.pixel_shuffle(y, self.scale)


def _scale(task: ModuleType, size: tuple[int, int], options: dict[str, Any]) -> int:
    """Return how many times larger the task's output is than its input, which its baseline tells."""
    if not isinstance(task, HasBaseline):
        return 1
    return int(task.baseline(np.zeros((*size, 3), np.uint8), options).shape[0]) // size[0]
