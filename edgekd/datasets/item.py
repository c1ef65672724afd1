"""One image of a validation set, with its ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Item:
    """An image and its ground truth.

    Attributes:
        name: The image's name, for people.
        image: (H, W, 3) uint8 RGB, before the task's ``preprocess``.
        target: What the task's ``metric`` compares with: an image (H, W, 3) uint8, labels (H, W) int64, or a class ().
    """

    name: str
    image: NDArray[np.uint8]
    target: NDArray[Any]
