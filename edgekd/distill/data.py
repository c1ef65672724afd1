"""A run's data: batches that depend on (seed, step) alone, and the validation pictures."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edgekd.bench import accuracy
from edgekd.core import family
from edgekd.core.artifact import digest_of
from edgekd.core.config import Recipe, TrainConfig
from edgekd.core.errors import InputError
from edgekd.core.schema import parse
from edgekd.datasets.item import Item


@dataclass(frozen=True, slots=True)
class Data:
    """What a run reads.

    Attributes:
        training: Index → (network input, target), any index; a sample is a function of (seed, index).
        validation: Whole pictures that are never trained on; may be empty.
    """

    training: Any
    validation: Sequence[Item]


def open_data(folders: Sequence[Path], recipe: Recipe, config: TrainConfig, layout: str) -> Data:
    """Open a user's folders.

    Args:
        folders: As ``layout`` expects them.
        recipe: Its ``[data.options]`` and ``[task]``.
        config: Its ``data`` overrides single options.
        layout: A file in ``edgekd/datasets/layouts/``.

    Raises:
        InputError: The folders do not hold what the layout expects.
        RecipeError: An option of the layout is wrong.
    """
    module = family.load("datasets.layouts", layout)
    assert recipe.pair is not None, "the loop has looked its task up"
    own = recipe.data.options if layout == recipe.data.layout else {"task": recipe.pair.task}  # unlabelled pictures
    given = {**own, **config.data}
    options = parse(module.Config, given, "data.options")
    training = module.Training(folders, options, recipe.task, config.seed)
    return Data(training, module.validation(folders, options, recipe.task))


def listing(folders: Sequence[Path]) -> str:
    """Return a digest of the folders' pictures and lists, by name and size: folders may move, and nothing is read.

    Other files do not count: a run's own checkpoints and logs may lie below its data.
    """
    return digest_of(
        [
            [
                (path.relative_to(folder).as_posix(), path.stat().st_size)
                for path in sorted(folder.rglob("*"))
                if (mimetypes.guess_type(path.name, strict=False)[0] or "").startswith(("image/", "text/plain"))
                and path.is_file()
            ]
            for folder in folders
        ]
    )


class _Stream(Dataset[tuple[NDArray[Any], NDArray[Any]]]):
    """A layout's samples, as torch's loader wants them."""

    def __init__(self, training: Any) -> None:
        self.training = training

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        sample: tuple[NDArray[Any], NDArray[Any]] = self.training[index]
        return sample


def batches(
    data: Data, config: TrainConfig, first_step: int, share: tuple[int, int], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield this process's equal slice of each step's batch, so that the averaged gradient is the whole batch's.

    Args:
        data: What to read.
        config: Batch size, steps, workers.
        first_step: Where a resumed run goes on.
        share: (this process, of how many).
        device: Where the tensors go.

    Raises:
        InputError: The batch cannot be shared equally.
    """
    index, count = share
    size, rest = divmod(config.batch_size, count)
    if rest:
        raise InputError(
            f"batch_size {config.batch_size} cannot be shared by {count} processes; give a multiple of them"
        )
    starts = (step * config.batch_size + index * size for step in range(first_step, config.steps))
    loader = DataLoader(
        _Stream(data.training),
        batch_sampler=(list(range(start, start + size)) for start in starts),
        num_workers=config.workers,
        pin_memory=device.type == "cuda",
    )
    for inputs, targets in loader:
        yield inputs.to(device, non_blocking=True), targets.to(device, non_blocking=True)


def validate(
    network: torch.nn.Module, items: Sequence[Item], task: Any, options: Mapping[str, Any]
) -> dict[str, float]:
    """Score a network in eval mode, float32, on whole pictures.

    Returns:
        Metric → the set's figure; empty where there are no pictures.
    """
    if not items:
        return {}
    device, was_training = next(network.parameters()).device, network.training
    network.eval()
    outputs, truths = [], []
    for item in items:
        seen, truth = task.fit(item.seen, item.truth, None, options)
        feed = torch.from_numpy(task.preprocess(seen, options)[None]).to(device)
        with torch.no_grad():
            answer = network(feed)[0].float().cpu().numpy()
        outputs.append(task.postprocess(answer, options))
        truths.append(truth)
    network.train(was_training)
    return dict(accuracy.judged(tuple(outputs), truths, task, options).overall)
