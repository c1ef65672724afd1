"""Every data layout has the family's names and runs the contract in its unit test; a new layout is one new file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekd.datasets.layouts
from edgekd.core.errors import RecipeError
from edgekd.core.family import load, names
from edgekd.core.schema import parse
from edgekd.core.tensor import TensorSpec
from edgekd.datasets.pictures import write_picture
from edgekd.datasets.samples import NetworkInput, labelled_samples
from edgekd.tasks import super_resolution
from tests.contract import layout_contract
from tests.contract.layout_contract import Example

NAME = "lr_and_hr"
SOURCE = '''"""Two folders of images with equal names: ``lr`` and ``hr``."""

from dataclasses import dataclass

import numpy as np

from edgekd.core.errors import RecipeError
from edgekd.datasets.item import Item
from edgekd.datasets.order import EpochOrder
from edgekd.datasets.pictures import picture_paths, read_picture
from edgekd.tasks import super_resolution


@dataclass(frozen=True, slots=True)
class Config:
    flip: float = 0.5

    def __post_init__(self):
        if not 0 <= self.flip <= 1:
            raise RecipeError(f"flip = {self.flip}; a share from 0 to 1 was expected")


class Training:
    def __init__(self, folders, config, options, seed):
        self.paths = [path for folder in folders for path in picture_paths(folder / "lr")]
        self.order, self.config, self.options, self.seed = EpochOrder(len(self.paths), seed), config, options, seed

    def __getitem__(self, index):
        path = self.paths[self.order[index]]
        images = [read_picture(path), read_picture(path.parents[1] / "hr" / path.name)]
        if np.random.default_rng((self.seed, index)).random() < self.config.flip:
            images = [image[:, ::-1] for image in images]
        return tuple(super_resolution.preprocess(image, self.options) for image in images)


def validation(folders, config, options):
    for folder in folders:
        for path in picture_paths(folder / "lr"):
            yield Item(path.stem, read_picture(path), read_picture(folder / "hr" / path.name))
'''


@pytest.mark.parametrize("name", names("datasets.layouts"))
def test_a_layout_has_the_names_of_the_family(name: str) -> None:
    layout_contract.check_names(load("datasets.layouts", name))


@pytest.mark.parametrize("name", names("datasets.layouts"))
def test_a_layouts_unit_test_runs_the_contract(name: str, root: Path) -> None:
    test = root / "tests" / "unit" / "datasets" / "layouts" / f"test_{name}.py"
    assert "layout_contract.CHECKS" in test.read_text(encoding="utf-8")


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Example]:
    """A layout in a folder of its own, which the package also looks into, and data for it."""
    data, code = tmp_path / "data", tmp_path / "code"
    rng = np.random.default_rng(0)
    for part, side in (("lr", 8), ("hr", 16)):
        (data / part).mkdir(parents=True)
        for index in range(3):
            write_picture(rng.integers(0, 256, (side, side, 3), dtype=np.uint8), data / part / f"{index}.png")
    code.mkdir()
    (code / f"{NAME}.py").write_text(SOURCE, encoding="utf-8")
    # In place: the import system and ``family.names`` share this list.
    edgekd.datasets.layouts.__path__.append(str(code))
    layout: Any = load("datasets.layouts", NAME)
    yield Example(layout, data, layout.Config(), {"scale": 2})
    edgekd.datasets.layouts.__path__.remove(str(code))
    sys.modules.pop(f"edgekd.datasets.layouts.{NAME}")
    delattr(edgekd.datasets.layouts, NAME)


@pytest.mark.parametrize("check", layout_contract.CHECKS, ids=lambda check: check.__name__)
def test_a_new_layout_is_one_new_file(example: Example, check: Any) -> None:
    assert NAME in names("datasets.layouts")
    layout_contract.check_names(example.layout)
    check(example)


def test_a_new_layouts_validation_images_become_samples(example: Example) -> None:
    network_input = NetworkInput(TensorSpec("input", (1, 3, 8, 8), "float32"), super_resolution, example.options)
    stream = labelled_samples(example.folder, network_input, example.layout, example.config)
    samples = list(stream.samples)
    assert [sample.name for sample in samples] == ["0", "1", "2"]
    assert all(sample.target.shape == (16, 16, 3) for sample in samples)


def test_a_new_layouts_options_are_checked_by_its_own_bounds(example: Example) -> None:
    with pytest.raises(RecipeError, match=r"data\.options\.flip = 1\.5"):
        parse(example.layout.Config, {"flip": 1.5}, "data.options")
