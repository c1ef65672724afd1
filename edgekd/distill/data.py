"""The data of a training run: batches that depend on (seed, step) alone, and the validation pictures."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edgekd.bench import accuracy
from edgekd.core import family
from edgekd.core.config import Recipe, TrainConfig
from edgekd.core.errors import InputError
from edgekd.core.protocols import Task
from edgekd.core.provenance import digest_of
from edgekd.core.schema import parse
from edgekd.datasets.item import Item

# The layout of pictures without labels, which adaptation reads instead of the recipe's.
UNLABELLED = "unlabelled"


class TrainingSamples(Protocol):
    """An endless sequence of samples, each a function of (seed, index)."""

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return sample ``index``: the network's input (C, H, W) float32, and its target."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a run reads.

    Attributes:
        training: Samples to train on.
        validation: Whole pictures that are never trained on; may be empty.
    """

    training: TrainingSamples
    validation: Sequence[Item]


def open_data(folders: Sequence[Path], recipe: Recipe, config: TrainConfig, layout: str) -> TrainingData:
    """Open a user's folders.

    Args:
        folders: Laid out as ``layout`` expects.
        recipe: Its ``[data.options]`` and ``[task]`` apply.
        config: Its ``data`` overrides single options of the layout.
        layout: A file in ``edgekd/datasets/layouts/``.

    Raises:
        InputError: The folders do not hold what the layout expects.
        RecipeError: An option of the layout is wrong.
    """
    module = family.load("datasets.layouts", layout)
    assert recipe.pair is not None, "the caller has looked up the pair's task"
    # The recipe's options are its own layout's; pictures without labels only need to know the task.
    options = recipe.data.options if layout == recipe.data.layout else {"task": recipe.pair.task}
    parsed = parse(module.Config, {**options, **config.data}, "data.options")
    training = module.Training(folders, parsed, recipe.task, config.seed)
    return TrainingData(training, list(module.validation(folders, parsed, recipe.task)))


def digest_of_folders(folders: Sequence[Path]) -> str:
    """Return a digest of the names and sizes of the pictures and text files in ``folders``.

    Nothing is read, and the folders may move. Other files do not count: a run's own checkpoints and logs may be below
    its data.
    """
    listings = []
    for folder in folders:
        files = [path for path in sorted(folder.rglob("*")) if _is_data(path)]
        listings.append([(path.relative_to(folder).as_posix(), path.stat().st_size) for path in files])
    return digest_of(listings)


def _is_data(path: Path) -> bool:
    # strict=False also knows unregistered types, such as WebP on older systems.
    kind, _encoding = mimetypes.guess_type(path.name, strict=False)
    return kind is not None and kind.startswith(("image/", "text/plain")) and path.is_file()


class _TorchDataset(Dataset[tuple[NDArray[Any], NDArray[Any]]]):
    """A layout's samples as the Dataset that torch's DataLoader requires."""

    def __init__(self, samples: TrainingSamples) -> None:
        self._samples = samples

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        return self._samples[index]


def batches(
    data: TrainingData, config: TrainConfig, first_step: int, process: tuple[int, int], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield this process's slice of each step's batch: (inputs, targets).

    All slices have the same size, so that the mean of the processes' gradients is the whole batch's gradient.

    Args:
        data: What to read.
        config: Batch size, steps, workers.
        first_step: The step a resumed run starts at.
        process: (index of this process, number of processes).
        device: Where the tensors go.

    Raises:
        InputError: The batch size is not a multiple of the number of processes.
    """
    index, count = process
    size, remainder = divmod(config.batch_size, count)
    if remainder:
        raise InputError(
            f"batch_size {config.batch_size} cannot be divided among {count} processes; give a multiple of {count}"
        )
    # A function of the step alone: a resumed run and any number of processes read the same samples.
    starts = (step * config.batch_size + index * size for step in range(first_step, config.steps))
    loader = DataLoader(
        _TorchDataset(data.training),
        batch_sampler=(list(range(start, start + size)) for start in starts),
        num_workers=config.workers,
        # Copies to a GPU overlap with computation from pinned memory alone.
        pin_memory=device.type == "cuda",
    )
    for inputs, targets in loader:
        yield inputs.to(device, non_blocking=True), targets.to(device, non_blocking=True)


def validate(
    network: torch.nn.Module, items: Sequence[Item], task: Task, options: Mapping[str, Any]
) -> dict[str, float]:
    """Score a network in eval mode, in float32, on whole pictures.

    Args:
        network: Any network of the task; its mode is restored.
        items: Pictures with their targets.
        task: A file of ``edgekd/tasks/``.
        options: The recipe's ``[task]``.

    Returns:
        Metric → score of the whole set; empty where there are no pictures.
    """
    if not items:
        return {}
    device, was_training = next(network.parameters()).device, network.training
    network.eval()
    outputs, targets = [], []
    for item in items:
        image, target = task.fit(item.image, item.target, None, options)
        network_input = torch.from_numpy(task.preprocess(image, options)[None]).to(device)  # (1, C, H, W)
        with torch.no_grad():
            output = network(network_input)[0].float().cpu().numpy()
        # Scores are of what users see: at the image's own range, after the task's postprocessing.
        outputs.append(task.postprocess(output, options))
        assert target is not None, "a validation picture has its target, and fit returns one for it"
        targets.append(target)
    network.train(was_training)
    return dict(accuracy.score(outputs, targets, task, options).overall)
