"""Every task has the family's names and runs the contract in its unit test; a new task is one new file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekd.tasks
from edgekd.core.family import load, names
from edgekd.core.protocols import Degrades, HasBaseline, HasLegend, Labels, Pictures, Summarizes, Tileable
from edgekd.core.tensor import TensorSpec
from edgekd.runtime.predictor import Predictor
from tests.contract import task_contract
from tests.contract.task_contract import Example

NAME = "exposure"
SOURCE = '''"""Exposure: dark images in, bright images out; the input is made from the target."""

import numpy as np

from edgekd.core.errors import InputError

METRICS = ("closeness",)
PRIMARY = "closeness"
CRITERION = "mse"
LAYOUT = "hr_patches"
BASELINE = "doubled"
TILE_OVERLAP = 2


def _factor(options):
    factor = options.get("factor")
    if factor not in (2, 4):
        raise InputError(f"task.factor = {factor!r}; 2 or 4 was expected")
    return factor


def degrade(image, options):
    return image // _factor(options), image


def fit(image, target, size, options):
    _factor(options)
    if size is None:
        return image, target
    return image[:size[0], :size[1]], None if target is None else target[:size[0], :size[1]]


def preprocess(image, options):
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / np.float32(255)


def postprocess(output, options):
    return np.clip(np.asarray(output, np.float32).transpose(1, 2, 0), 0, 1)


def picture(output, options):
    return (output * 255 + 0.5).astype(np.uint8)


def baseline(image, options):
    return np.clip(image * (_factor(options) / 255), 0, 1).astype(np.float32)


def metric(output, target, options):
    return {"closeness": 1 - float(np.abs(output - target / 255).mean())}
'''


@pytest.mark.parametrize("name", names("tasks"))
def test_a_task_has_the_names_of_the_family(name: str) -> None:
    task_contract.check_names(load("tasks", name))


@pytest.mark.parametrize("name", names("tasks"))
def test_a_tasks_unit_test_runs_the_contract(name: str, root: Path) -> None:
    assert "task_contract.CHECKS" in (root / "tests" / "unit" / "tasks" / f"test_{name}.py").read_text(encoding="utf-8")


@pytest.fixture
def new_task(tmp_path: Path) -> Iterator[Any]:
    """A task in a folder of its own, which the package also looks into."""
    (tmp_path / f"{NAME}.py").write_text(SOURCE, encoding="utf-8")
    # In place: the import system and ``family.names`` share this list.
    edgekd.tasks.__path__.append(str(tmp_path))
    yield load("tasks", NAME)
    edgekd.tasks.__path__.remove(str(tmp_path))
    sys.modules.pop(f"edgekd.tasks.{NAME}")
    delattr(edgekd.tasks, NAME)


@pytest.fixture
def example(new_task: Any) -> Example:
    options = {"factor": 2}
    image, target = new_task.degrade(task_contract.photo(), options)
    return Example(
        new_task,
        options,
        ("factor", 3),
        image,
        target,
        wrong_target=255 - target,
        network_output=lambda fitted: fitted.transpose(2, 0, 1) / np.float32(255),
    )


@pytest.mark.parametrize("check", task_contract.CHECKS, ids=lambda check: check.__name__)
def test_a_new_task_is_one_new_file(example: Example, check: Any) -> None:
    assert NAME in names("tasks")
    task_contract.check_names(example.task)
    check(example)


def test_a_new_tasks_images_go_through_an_engine_in_tiles(example: Example) -> None:
    class Brighten:
        inputs = (TensorSpec("x", (1, 3, 24, 40), "float32"),)
        outputs = (TensorSpec("y", (1, 3, 24, 40), "float32"),)

        def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"y": feeds["x"] * 2}

        def close(self) -> None:
            """Nothing is held."""

    found = Predictor(Brighten(), example.task, example.options).predict(example.image)
    np.testing.assert_array_equal(found.picture, example.image * 2)


def test_capabilities_are_told_by_what_a_file_has(new_task: Any) -> None:
    for capability in (Degrades, HasBaseline, Pictures, Tileable):
        assert isinstance(new_task, capability)
    for capability in (HasLegend, Labels, Summarizes):
        assert not isinstance(new_task, capability)
