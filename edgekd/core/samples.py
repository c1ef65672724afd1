"""Samples: feeds for a network, with or without the truth, in one ``.npz`` that travels to a board with numpy alone.

Keys of the archive: ``input/<tensor>`` (N, *shape with its batch axis), ``truth`` (N, ...), ``seen`` (N, ...) what the
task's ``fit`` made for people to look at, ``names`` (N,) text, ``source`` one line that says where they are from,
``text/<who>`` (N,) answers in words, ``legend`` (K,) text and ``colours`` (K, 3) uint8 what colours mean.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.artifact import atomic_path
from edgekd.core.errors import InputError

Array = NDArray[Any]
# What zipfile, zlib and numpy raise on bytes that are no archive of arrays.
_NOT_AN_ARCHIVE = (
    *(OSError, LookupError, ValueError, EOFError, TypeError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


@dataclass(frozen=True, slots=True)
class Samples:
    """Feeds and, for scoring, truths.

    Attributes:
        inputs: Tensor name → (N, *tensor shape), each entry along N a whole feed, batch axis included.
        names: One a sample.
        source: Where they are from, in words; shown beside every figure made with them.
        truth: (N, ...) what the task's metric compares with, or None.
        seen: (N, ...) what people are shown as the network's input, or None.
        texts: Who answered in words → one answer a sample.
        legend: What colours of a picture mean: (name, RGB) each.
    """

    inputs: Mapping[str, Array]
    names: tuple[str, ...]
    source: str
    truth: Array | None = None
    seen: Array | None = None
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    legend: tuple[tuple[str, tuple[int, int, int]], ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def feeds(self, index: int) -> dict[str, Array]:
        """Return sample ``index`` as feeds: tensor name → array of the tensor's shape."""
        return {name: np.asarray(array[index]) for name, array in self.inputs.items()}  # a scalar stays an array

    def save(self, path: Path) -> None:
        """Write the archive, whole or not at all."""
        arrays: dict[str, Array] = {f"input/{name}": array for name, array in self.inputs.items()}
        arrays |= {f"text/{who}": np.array(said) for who, said in self.texts.items()}
        arrays |= {"names": np.array(self.names), "source": np.array(self.source)}
        if self.legend:
            names, colours = zip(*self.legend, strict=True)
            arrays |= {"legend": np.array(names), "colours": np.array(colours, np.uint8)}
        arrays |= {key: value for key, value in (("truth", self.truth), ("seen", self.seen)) if value is not None}
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Samples:
        """Read an archive.

        Raises:
            InputError: It is missing, or is not a samples archive.
        """
        try:
            # Opened here: np.load would leave a broken archive's file open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
                inputs = {key.removeprefix("input/"): data[key] for key in data.files if key.startswith("input/")}
                names = tuple(map(str, data["names"]))
                texts = {k.removeprefix("text/"): tuple(map(str, data[k])) for k in data.files if k.startswith("text/")}
                truth, seen = (data[key] if key in data.files else None for key in ("truth", "seen"))
                legend = zip(data["legend"], data["colours"].tolist(), strict=True) if "legend" in data.files else ()
                colours = tuple((str(name), (r, g, b)) for name, (r, g, b) in legend)
                samples = cls(inputs, names, str(data["source"]), truth, seen, texts, colours)
        except _NOT_AN_ARCHIVE as err:
            raise InputError(
                f"{path} is not an edgekd samples archive ({type(err).__name__}: {str(err)[:100]})"
            ) from err
        if not inputs or not names or any(array.shape[:1] != (len(names),) for array in inputs.values()):
            raise InputError(f"{path} holds no samples, or not one of every input for each of its {len(names)} names")
        return samples
