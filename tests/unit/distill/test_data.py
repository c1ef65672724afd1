"""The data of a run: batches by (seed, step), shares of several processes, digests of folders, validation."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from edgekd.core.config import TrainConfig
from edgekd.core.errors import InputError, RecipeError
from edgekd.core.recipe import load_recipe
from edgekd.datasets.item import Item
from edgekd.distill.data import TrainingData, batches, digest_of_folders, open_data, validate
from edgekd.tasks import super_resolution

CPU = torch.device("cpu")
CONFIG = TrainConfig(steps=4, batch_size=6)


class Indices:
    """Samples that are their own index."""

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        return np.array([index], np.float32), np.array([-index], np.float32)


def _indices(first_step: int = 0, process: tuple[int, int] = (0, 1), config: TrainConfig = CONFIG) -> list[list[int]]:
    data = TrainingData(Indices(), [])
    found = []
    for inputs, targets in batches(data, config, first_step, process, CPU):
        assert torch.equal(inputs, -targets)
        found.append(inputs[:, 0].int().tolist())
    return found


def test_steps_read_consecutive_samples() -> None:
    assert _indices() == [list(range(6 * step, 6 * step + 6)) for step in range(4)]


@pytest.mark.parametrize("first_step", [0, 1, 3, 4])
def test_a_resumed_run_reads_what_remains(first_step: int) -> None:
    assert _indices(first_step) == _indices()[first_step:]


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_processes_share_each_batch_in_equal_parts(count: int) -> None:
    shares = [_indices(process=(index, count)) for index in range(count)]
    together = [[i for share in step for i in share] for step in zip(*shares, strict=True)]
    assert together == _indices()
    assert {len(batch) for share in shares for batch in share} == {6 // count}


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(InputError, match=r"batch_size 6 .* 4 processes"):
        _indices(process=(0, 4))


def test_readers_in_other_processes_change_nothing() -> None:
    assert _indices(config=dataclasses.replace(CONFIG, steps=2, workers=1)) == _indices()[:2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "1.png").write_bytes(b"12")
    (tmp_path / "data" / "list.txt").write_text("a/1")
    return tmp_path / "data"


def test_digest_follows_names_and_sizes_of_pictures_and_lists(folder: Path) -> None:
    before = digest_of_folders([folder])
    (folder / "a" / "1.png").write_bytes(b"123")
    larger = digest_of_folders([folder])
    (folder / "a" / "1.png").rename(folder / "a" / "2.png")
    renamed = digest_of_folders([folder])
    (folder / "list.txt").unlink()
    assert len({before, larger, renamed, digest_of_folders([folder])}) == 4


def test_digest_ignores_other_files_and_where_the_folder_is(folder: Path) -> None:
    before = digest_of_folders([folder])
    for name in ("last.safetensors", "student.safetensors.json", "events.out"):
        (folder / name).write_bytes(b"x")
    assert digest_of_folders([folder]) == before
    moved = folder.rename(folder.parent / "moved")
    assert digest_of_folders([moved]) == before


def test_options_of_the_training_override_the_recipes(pair: Path) -> None:
    recipe, pictures = load_recipe(pair / "recipe.toml"), [pair.parent / "pictures"]
    config = recipe.distill.student
    assert open_data(pictures, recipe, config, "hr_patches").training[0][0].shape == (3, 8, 8)
    larger = dataclasses.replace(config, data={"patch": 12})
    assert open_data(pictures, recipe, larger, "hr_patches").training[0][0].shape == (3, 12, 12)


def test_unlabelled_pictures_take_the_task_and_none_of_the_recipes_options(pair: Path) -> None:
    # "patch" is an option of the recipe's own layout, which this layout does not have.
    recipe, pictures = load_recipe(pair / "recipe.toml"), [pair.parent / "pictures"]
    config = dataclasses.replace(recipe.distill.student, data={"crop": [10, 12]})
    data = open_data(pictures, recipe, config, "unlabelled")
    assert data.training[0][0].shape == (3, 10, 12)
    assert not list(data.validation)


def test_unknown_option_of_a_layout_is_named(pair: Path) -> None:
    recipe = load_recipe(pair / "recipe.toml")
    config = dataclasses.replace(recipe.distill.student, data={"pach": 8})
    with pytest.raises(RecipeError, match=r"data\.options\.pach.*patch"):
        open_data([pair.parent / "pictures"], recipe, config, "hr_patches")


class Nearest(nn.Module):
    """Doubles height and width; wrong in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) * (0 if self.training else 1)


def _items(count: int) -> list[Item]:
    rng = np.random.default_rng(0)
    small = [rng.integers(0, 256, (12, 12, 3)).astype(np.uint8) for _ in range(count)]
    return [Item(str(i), image, image.repeat(2, axis=0).repeat(2, axis=1)) for i, image in enumerate(small)]


def test_validation_is_in_eval_mode_and_restores_the_mode() -> None:
    network = Nearest().train()
    scores = validate(network, _items(2), super_resolution, {"scale": 2})
    assert network.training
    assert scores["psnr_y_db"] > 60  # the network's output is the target
    assert network.scale.grad is None


def test_scores_are_means_over_the_pictures() -> None:
    network, items = Nearest(), _items(3)
    with torch.no_grad():
        network.scale.fill_(0.9)
    together = validate(network, items, super_resolution, {"scale": 2})
    alone = [validate(network, [item], super_resolution, {"scale": 2})["psnr_y_db"] for item in items]
    assert together["psnr_y_db"] == pytest.approx(sum(alone) / 3)


def test_without_pictures_there_are_no_scores() -> None:
    task: Any = SimpleNamespace()  # nothing is asked of it
    assert validate(Nearest(), [], task, {}) == {}
