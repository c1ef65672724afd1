"""Samples for a network of a known input: images are read, fitted and preprocessed one at a time.

The functions here return a ``SampleStream``; ``core.samples.write_archive`` writes it without ever holding all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import InputError
from edgekd.core.input_contract import InputContract, feed, fit
from edgekd.core.protocols import Degrades, Task
from edgekd.core.samples import Sample
from edgekd.core.tensor import TensorSpec
from edgekd.datasets.pictures import read_pictures

Picture = NDArray[np.uint8]
Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class SampleStream:
    """Samples that are made while they are read, once.

    Attributes:
        samples: One sample at a time; raises InputError at an image that cannot be used.
        source: Where they are from, in words; ``{count}`` stands for their number, as ``write_archive`` expects.
    """

    samples: Iterator[Sample]
    source: str


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """The input of a network, and how the task fills it.

    Attributes:
        spec: The input: (1, C, H, W) as the task's ``preprocess`` gives it, or the image itself, (1, H, W, 3) uint8.
        task: A file of ``edgekd/tasks/``, as ``core.preprocessing.task_view`` gives it.
        options: The recipe's ``[task]``.
    """

    spec: TensorSpec
    task: Task
    options: Mapping[str, Any]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels, at the ``opt`` shape."""
        shape = self.spec.at("opt")
        height, width = shape[1:3] if self.spec.picture_layout == "NHWC" else shape[2:]
        return height, width

    def feed(self, image: Picture) -> Array:
        """Preprocess an image.

        Args:
            image: (H, W, 3) uint8 RGB of the network's size.

        Returns:
            Of the input's shape, with its batch axis.

        Raises:
            InputError: The preprocessed image has another shape than the input.
        """
        array = np.asarray(self.task.preprocess(image, self.options))[None]  # (1, C, H, W) or (1, H, W, 3)
        if not self.spec.admits(array.shape):
            raise InputError(
                f"the task's preprocessing gives {'x'.join(map(str, array.shape))}, the network takes {self.spec}; "
                "check export.shape and [task]"
            )
        return array.astype(self.spec.dtype, copy=False)


def labelled_samples(folder: Path, network_input: NetworkInput, layout: ModuleType, config: Any) -> SampleStream:
    """Stream samples with ground truth from a validation folder.

    Args:
        folder: A folder that ``layout`` can read.
        network_input: What the samples are made for.
        layout: A file of ``edgekd/datasets/layouts/``.
        config: Its ``Config``.

    Raises:
        InputError: While reading: the folder or an image is unusable, or does not suit the network.
    """
    items = layout.validation([folder], config, network_input.options)
    triples = ((item.name, item.image, item.target) for item in items)
    return SampleStream(_samples(triples, network_input), f"{{count}} images of {_short_name(folder)}")


def unlabelled_samples(folder: Path, network_input: NetworkInput) -> SampleStream:
    """Stream samples without ground truth from a flat folder of images, for calibration or to compare networks.

    A task that makes its input by degrading an image does so here as well.

    Raises:
        InputError: While reading: the folder or an image is unusable, or does not suit the network.
    """
    samples = _samples(_unlabelled(folder, network_input), network_input)
    return SampleStream(samples, f"{{count}} images of {_short_name(folder)}")


def _unlabelled(folder: Path, network_input: NetworkInput) -> Iterator[tuple[str, Picture, None]]:
    task = network_input.task
    for path, image in read_pictures(folder):
        if isinstance(task, Degrades):
            image, _ = task.degrade(image, network_input.options)
        yield path.stem, image, None


def _samples(triples: Iterable[tuple[str, Picture, Array | None]], network_input: NetworkInput) -> Iterator[Sample]:
    """Yield a sample for each (name, image (H, W, 3) uint8, target)."""
    for name, image, target in triples:
        try:
            fitted, fitted_target = network_input.task.fit(image, target, network_input.size, network_input.options)
        except InputError as err:
            raise InputError(f"{name}: {err}") from err  # the task does not know the file
        feeds = {network_input.spec.name: network_input.feed(fitted)}
        yield Sample(name, feeds, fitted_target, fitted)


def _short_name(folder: Path) -> str:
    """Return the last two parts of a folder's path: enough to tell it from others, and no path of this machine."""
    resolved = folder.resolve()
    return f"{resolved.parent.name}/{resolved.name}"


def image_samples(folder: Path, spec: TensorSpec, contract: InputContract, description: str = "images") -> SampleStream:
    """Stream samples for a network whose task is unknown, from a flat folder of images.

    Args:
        folder: Images.
        spec: The network's one input: (N, C, H, W) or (N, H, W, C), C of 1 or 3; N copies of an image fill a batch.
        contract: How an image becomes that input, resolved.
        description: What ``source`` calls the images.

    Raises:
        InputError: While reading: the folder or an image is unusable.
    """
    return SampleStream(_contract_samples(folder, spec, contract), f"{{count}} {description}, fed as {contract}")


def _contract_samples(folder: Path, spec: TensorSpec, contract: InputContract) -> Iterator[Sample]:
    batch = spec.at("opt")[0]
    for path, picture in read_pictures(folder):
        array = feed(contract, fit(contract, picture))[None]
        yield Sample(path.stem, {spec.name: np.repeat(array, batch, axis=0).astype(spec.dtype)})
