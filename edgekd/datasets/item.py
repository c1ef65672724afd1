"""One picture of a validation set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Item:
    """What is seen, and what is true.

    Attributes:
        name: Of the picture, for people.
        seen: (H, W, 3) uint8 RGB, before the task's ``preprocess``.
        truth: What the task's ``metric`` compares with: a picture (H, W, 3) uint8, labels (H, W) int64, or a class ().
    """

    name: str
    seen: NDArray[np.uint8]
    truth: NDArray[Any]
