"""Samples: inputs of a network, with or without ground truth, read one at a time.

An archive is one ``.npz``, which a board with nothing but numpy can read. Its members are ``names`` (N,) text,
``source`` (one line of text), ``origin``, ``digest``, and for sample i ``input/<tensor>/<i>`` of the tensor's shape,
``target/<i>`` and ``image/<i>``. A member is read when its sample is requested, so memory does not grow with the number
of samples.
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekd.core.artifact import atomic_path
from edgekd.core.errors import InputError

Array = NDArray[Any]
# "user": the user's own images. "shipped": images that come with edgekd. "synthetic": random numbers, which are good
# enough to time an engine and useless to calibrate or score one.
Origin = Literal["user", "shipped", "synthetic"]
_ORIGINS = ("user", "shipped", "synthetic")
# Everything that zipfile, zlib and numpy raise for bytes that are not an archive of arrays.
NOT_AN_ARCHIVE: tuple[type[Exception], ...] = (
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class Sample:
    """Inputs of one inference and, for scoring, its ground truth.

    Attributes:
        name: Name of the file it was made from.
        feeds: Tensor name → array of the tensor's shape, batch axis included.
        target: Ground truth that the task's metric compares with, or None.
        image: (H, W, 3) uint8, the network's input as people see it, or None.
    """

    name: str
    feeds: Mapping[str, Array]
    target: Array | None = None
    image: Array | None = None


class SampleSource(Protocol):
    """Samples that are made or read one at a time, always in the same order.

    Attributes:
        names: One per sample.
        source: Where they are from, in words; shown beside every figure computed from them.
        origin: Whose they are.
        digest: sha256 of names, shapes, dtypes and values of all feeds: equal feeds have equal digests.
        has_target, has_image: Whether every sample has a ground truth; an image.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """One name per sample."""

    @property
    def source(self) -> str:
        """Where the samples are from."""

    @property
    def origin(self) -> Origin:
        """Whose they are."""

    @property
    def digest(self) -> str:
        """sha256 of all feeds."""

    @property
    def has_target(self) -> bool:
        """Whether every sample has a ground truth."""

    @property
    def has_image(self) -> bool:
        """Whether every sample has an image."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def __iter__(self) -> Iterator[Sample]: ...


@dataclass(frozen=True, slots=True)
class Samples:
    """A few samples in memory, as a notebook or a test makes them.

    Attributes:
        samples: The samples.
        source: Where they are from, in words.
        origin: Whose they are.
    """

    samples: tuple[Sample, ...]
    source: str
    origin: Origin = "user"

    @classmethod
    def of(cls, inputs: Mapping[str, Array], source: str, origin: Origin = "user") -> Samples:
        """Make samples from stacked arrays; they are named "0", "1", ...

        Args:
            inputs: Tensor name → (N, *tensor shape): each entry along N is a whole feed, batch axis included.
            source: Where they are from.
            origin: Whose they are.
        """
        count = len(next(iter(inputs.values())))
        samples = []
        for index in range(count):
            feeds = {name: np.asarray(array[index]) for name, array in inputs.items()}
            samples.append(Sample(str(index), feeds))
        return cls(tuple(samples), source, origin)

    @property
    def names(self) -> tuple[str, ...]:
        """One per sample."""
        return tuple(sample.name for sample in self.samples)

    @property
    def digest(self) -> str:
        """See ``SampleSource``."""
        digest = hashlib.sha256()
        for sample in self.samples:
            _update(digest, sample)
        return digest.hexdigest()

    @property
    def has_target(self) -> bool:
        """Whether every sample has its ground truth."""
        return all(sample.target is not None for sample in self.samples)

    @property
    def has_image(self) -> bool:
        """Whether every sample has an image to show."""
        return all(sample.image is not None for sample in self.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)


class SampleArchive:
    """Samples in a file. Only the sample that is requested is in memory.

    Args:
        path: The ``.npz`` that ``write_archive`` wrote.

    Raises:
        InputError: The file is missing, or is not a samples archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as file:
                members = {name.removesuffix(".npy") for name in file.namelist()}
                self.names = tuple(map(str, _read(file, "names")))
                self.source, self.digest = (str(_read(file, key)) for key in ("source", "digest"))
                self.origin: Origin = _origin(str(_read(file, "origin")))
        except NOT_AN_ARCHIVE as err:
            raise self._broken(err) from err
        # A tensor's name may contain slashes: the index is what follows the last one.
        inputs = [member.removeprefix("input/") for member in members if member.startswith("input/")]
        self._tensors = sorted({name.rpartition("/")[0] for name in inputs})
        count = len(self.names)
        expected = {f"input/{tensor}/{index}" for tensor in self._tensors for index in range(count)}
        if not expected or not expected <= members:
            raise InputError(
                f"{path} holds no samples, or not one of every input for each of its {count} names; make it again"
            )
        self.has_target = all(f"target/{index}" in members for index in range(count))
        self.has_image = all(f"image/{index}" in members for index in range(count))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self.names):
            raise IndexError(f"sample {index} of {len(self.names)}")
        try:
            with zipfile.ZipFile(self.path) as file:
                feeds = {tensor: _read(file, f"input/{tensor}/{index}") for tensor in self._tensors}
                target = _read(file, f"target/{index}") if self.has_target else None
                image = _read(file, f"image/{index}") if self.has_image else None
        except NOT_AN_ARCHIVE as err:
            raise self._broken(err) from err
        return Sample(self.names[index], feeds, target, image)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self.names)))

    def _broken(self, err: Exception) -> InputError:
        return InputError(f"{self.path} is not an edgekd samples archive ({type(err).__name__}: {str(err)[:100]})")


def write_archive(path: Path, samples: Iterable[Sample], source: str, origin: Origin = "user") -> SampleArchive:
    """Write samples one by one: the whole archive or nothing.

    Args:
        path: The ``.npz`` to write.
        samples: At least one; an iterator is consumed while the archive is written.
        source: Where they are from, in words; ``{count}`` in it becomes their number.
        origin: Whose they are.

    Raises:
        InputError: There is no sample, or the file cannot be written.
        MachineError: The disk is full.
    """
    digest, names = hashlib.sha256(), []
    # Weak compression: it finds most of what there is in images and floats, in a fraction of the time.
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
    ):
        for index, sample in enumerate(samples):
            names.append(sample.name)
            _update(digest, sample)
            for tensor, array in sample.feeds.items():
                _write(file, f"input/{tensor}/{index}", array)
            for kind, extra in (("target", sample.target), ("image", sample.image)):
                if extra is not None:
                    _write(file, f"{kind}/{index}", extra)
        if not names:
            raise InputError(f"there are no samples ({source}); at least one was expected")
        _write(file, "names", np.array(names))
        _write(file, "source", np.array(source.replace("{count}", str(len(names)))))
        _write(file, "origin", np.array(origin))
        _write(file, "digest", np.array(digest.hexdigest()))
    return SampleArchive(path)


def _update(digest: Any, sample: Sample) -> None:
    """Add one sample's name and feeds to a hash; the order of its tensors does not matter."""
    digest.update(f"{sample.name}\0".encode())
    for name, array in sorted(sample.feeds.items()):
        digest.update(f"{name} {array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())


def _write(file: zipfile.ZipFile, member: str, array: Array) -> None:
    # With a fixed date equal samples give equal bytes.
    entry = zipfile.ZipInfo(f"{member}.npy", (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    with file.open(entry, "w", force_zip64=True) as to:  # the size of a member is unknown before it is written
        np.lib.format.write_array(to, np.asarray(array), allow_pickle=False)


def _read(file: zipfile.ZipFile, member: str) -> Array:
    # No pickles: they can run code.
    with file.open(f"{member}.npy") as data:
        found: Array = np.lib.format.read_array(data, allow_pickle=False)
    return found


def _origin(text: str) -> Origin:
    if text not in _ORIGINS:
        raise ValueError(f"origin {text!r} is none of {', '.join(_ORIGINS)}")
    return text  # type: ignore[return-value]
