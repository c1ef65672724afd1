"""Previews: a few of the outputs behind a result, kept in one ``.npz`` so that people can look at them.

Members of the archive: ``input/<label>`` (N, H, W, 3) uint8 pictures, ``target`` (N, H, W, 3) uint8, ``names`` (N,)
text, ``source`` text, ``text/<label>`` (N,) outputs in words, ``legend`` (K,) text and ``colours`` (K, 3) uint8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.artifact import atomic_path
from edgekd.core.errors import InputError
from edgekd.core.samples import NOT_AN_ARCHIVE

Array = NDArray[Any]
# Label of the network's input among the pictures, and of the ground truth among the texts.
INPUT, TARGET = "input", "target"
# The ground truth's name in archives beside results of schema 1 to 4.
_OLD_TARGET = "truth"


@dataclass(frozen=True, slots=True)
class Previews:
    """Pictures of inputs and outputs, or outputs in words.

    Attributes:
        pictures: Label (a candidate's key, a baseline's name, "input") → (N, H, W, 3) uint8.
        names: One per sample.
        source: Where the samples are from, in words.
        target: (N, H, W, 3) uint8 ground truth, or None.
        texts: Label → one output in words per sample.
        legend: Meaning of colours: (name, (R, G, B)) each.
    """

    pictures: Mapping[str, Array]
    names: tuple[str, ...]
    source: str
    target: Array | None = None
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    legend: tuple[tuple[str, tuple[int, int, int]], ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def save(self, path: Path) -> None:
        """Write the archive: all of it or nothing.

        Raises:
            InputError: The folder cannot be written.
            MachineError: The disk is full.
        """
        arrays: dict[str, Array] = {f"input/{label}": array for label, array in self.pictures.items()}
        arrays |= {f"text/{label}": np.array(words) for label, words in self.texts.items()}
        arrays |= {"names": np.array(self.names), "source": np.array(self.source)}
        if self.legend:
            names, colours = zip(*self.legend, strict=True)
            arrays |= {"legend": np.array(names), "colours": np.array(colours, np.uint8)}
        if self.target is not None:
            arrays["target"] = self.target
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Previews:
        """Read an archive.

        Raises:
            InputError: The file is missing, or holds no previews.
        """
        try:
            # Opened here, because np.load leaves the file open if the archive is broken.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
                found = cls._from_members({key: data[key] for key in data.files})
        except NOT_AN_ARCHIVE as err:
            raise InputError(f"{path} holds no previews ({type(err).__name__}: {str(err)[:100]})") from err
        count = len(found.names)
        if not found.pictures or not count or any(array.shape[:1] != (count,) for array in found.pictures.values()):
            raise InputError(f"{path} holds no previews, or not one for each of its {count} names")
        return found

    @classmethod
    def _from_members(cls, members: Mapping[str, Array]) -> Previews:
        """Build previews from the arrays of an archive; missing members raise KeyError."""
        pictures: dict[str, Array] = {}
        texts: dict[str, tuple[str, ...]] = {}
        for key, array in members.items():
            kind, _, label = key.partition("/")
            if kind == "input" and label:
                pictures[label] = array
            elif kind == "text" and label:
                texts[TARGET if label == _OLD_TARGET else label] = tuple(map(str, array))
        legend = []
        if "legend" in members:
            for name, (r, g, b) in zip(members["legend"], members["colours"].tolist(), strict=True):
                legend.append((str(name), (r, g, b)))
        return cls(
            pictures=pictures,
            names=tuple(map(str, members["names"])),
            source=str(members["source"]),
            target=members.get("target", members.get(_OLD_TARGET)),
            texts=texts,
            legend=tuple(legend),
        )
