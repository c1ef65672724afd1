"""What every data layout must do. A layout's unit test runs ``CHECKS`` on a folder of its own."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.core.errors import InputError
from edgekd.core.schema import parse
from edgekd.datasets.item import Item


@dataclass(frozen=True)
class Example:
    """A small folder of data that a layout can read.

    Attributes:
        layout: The layout's module.
        folder: At least two images to train on, all of one size.
        config: The layout's ``Config``; its samples differ from each other.
        options: A recipe's ``[task]``.
    """

    layout: Any
    folder: Path
    config: Any
    options: Mapping[str, Any]

    def training(self, seed: int = 0) -> Any:
        """Open the folder for training."""
        return self.layout.Training([self.folder], self.config, self.options, seed)


def check_names(layout: Any) -> None:
    """The layout has what ``datasets.layouts`` requires, and its defaults are valid."""
    assert dataclasses.is_dataclass(layout.Config)
    assert layout.Config.__dataclass_params__.frozen
    parse(layout.Config, {}, "data.options")
    assert list(inspect.signature(layout.Training).parameters) == ["folders", "config", "options", "seed"]
    assert list(inspect.signature(layout.validation).parameters) == ["folders", "config", "options"]


def check_a_sample_is_an_input_and_a_target(example: Example) -> None:
    network_input, target = example.training()[0]
    assert network_input.dtype == np.float32
    assert network_input.ndim == 3
    assert np.isfinite(network_input).all()
    assert target.dtype in (np.float32, np.int64)


def check_samples_of_a_batch_have_one_shape(example: Example) -> None:
    training = example.training()
    shapes = {tuple(array.shape for array in training[index]) for index in range(6)}
    assert len(shapes) == 1


def check_a_sample_depends_on_seed_and_index_alone(example: Example) -> None:
    forwards, backwards = example.training(seed=1), example.training(seed=1)
    later = {index: backwards[index] for index in (40, 7, 0)}
    for index in range(41):  # several epochs of a small folder
        sample = forwards[index]
        for found, expected in zip(later.get(index, sample), sample, strict=True):
            np.testing.assert_array_equal(found, expected)


def check_another_seed_gives_other_samples(example: Example) -> None:
    one, other = example.training(seed=1), example.training(seed=2)
    assert any(not np.array_equal(one[index][0], other[index][0]) for index in range(12))


def check_validation_yields_items_one_by_one(example: Example) -> None:
    items = example.layout.validation([example.folder], example.config, example.options)
    assert iter(items) is items, "a list would hold every image in memory"
    for item in items:
        assert isinstance(item, Item)
        assert item.name
        assert item.image.dtype == np.uint8
        assert item.image.shape[2:] == (3,)


def check_a_missing_folder_is_named(example: Example) -> None:
    with pytest.raises(InputError, match="nowhere"):
        example.layout.Training([example.folder / "nowhere"], example.config, example.options, 0)


CHECKS: tuple[Callable[[Example], None], ...] = (
    check_a_sample_is_an_input_and_a_target,
    check_samples_of_a_batch_have_one_shape,
    check_a_sample_depends_on_seed_and_index_alone,
    check_another_seed_gives_other_samples,
    check_validation_yields_items_one_by_one,
    check_a_missing_folder_is_named,
)
