"""Candidate: one engine to be measured, from the command line through every child process to its row of the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.artifact import Artifact
from edgekd.core.errors import InputError, NotComparable
from edgekd.core.network_info import NetworkInfo
from edgekd.core.protocols import Array, Feeds
from edgekd.core.samples import Sample, SampleArchive, write_archive
from edgekd.core.schema import parse, to_plain


@dataclass(frozen=True, slots=True)
class Candidate:
    """One engine to be measured. It is plain data, so that child processes get it as JSON.

    Attributes:
        key: "<role>/<scheme>", unique in a result.
        engine: The file.
        engine_sha256: Its digest.
        onnx_sha256: Digest of the ONNX file that it was built from; "" where unknown.
        network: What is known of the network.
        feeds: Archive of the inferences that make up one timed query; None before the suite has written it.
        times_end_to_end: Whether preprocessing and postprocessing are timed too; the archive's first image is used.
        decides: Whether rounds go on until this candidate's latency ratio is narrow. False for the reference workload.
    """

    key: str
    engine: Path
    engine_sha256: str = ""
    onnx_sha256: str = ""
    network: NetworkInfo = field(default_factory=NetworkInfo)
    feeds: Path | None = None
    times_end_to_end: bool = False
    decides: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return plain data for a child process."""
        paths = {"engine": str(self.engine.resolve()), "feeds": None if self.feeds is None else str(self.feeds)}
        return {**to_plain(self), **paths}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Candidate:
        """Read the plain data back."""
        feeds = data["feeds"]
        return cls(
            data["key"],
            Path(data["engine"]),
            data["engine_sha256"],
            data["onnx_sha256"],
            parse(NetworkInfo, data["network"], "network"),
            None if feeds is None else Path(feeds),
            data["times_end_to_end"],
            data["decides"],
        )

    def with_feeds(self, query: Sequence[Feeds], path: Path, image: Array | None = None) -> Candidate:
        """Write what is fed and return the candidate that knows the archive.

        Args:
            query: The feeds of each inference of one query.
            path: The archive to write.
            image: (H, W, 3) uint8 for the end-to-end time, None where it is not taken.
        """
        write_archive(path, (Sample(str(index), feeds, None, image) for index, feeds in enumerate(query)), "bench")
        return replace(self, feeds=path, times_end_to_end=image is not None)

    def query(self) -> tuple[Feeds, ...]:
        """Read the feeds of each inference of one query."""
        return tuple(sample.feeds for sample in self._archive())

    def image(self) -> NDArray[np.uint8]:
        """Read the image that the end-to-end time is taken with: (H, W, 3) uint8."""
        image = self._archive()[0].image
        if image is None:
            raise InputError(f"the feeds of {self.key} hold no image to time end to end; give samples with images")
        return np.asarray(image, np.uint8)

    def _archive(self) -> SampleArchive:
        if self.feeds is None:
            raise InputError(f"{self.key} has no feeds; the suite writes them before it measures")
        return SampleArchive(self.feeds)


def candidates_of(engines: Sequence[Artifact], keys: Sequence[str] = ()) -> list[Candidate]:
    """Make candidates of engines, by what their manifests say of the network.

    Args:
        engines: One or more.
        keys: One each; "<role>/<scheme>" where none are given, with the digest behind it where two would be equal.

    Raises:
        InputError: A file is not an engine.
    """
    found: dict[str, Candidate] = {}
    for index, engine in enumerate(engines):
        if engine.kind != "engine":
            raise InputError(f"{engine.path} is a file of kind {engine.kind!r}; an engine was expected")
        network = engine.network or NetworkInfo(role=engine.path.stem)
        key = keys[index] if keys else f"{network.role}/{network.precision}"
        if key in found:
            key = f"{key} {engine.sha256[:8]}"
        parents = engine.made_by.parents_sha256
        found[key] = Candidate(key, engine.path, engine.sha256, parents[0] if parents else "", network)
    return list(found.values())


def backend_of(engines: Sequence[Artifact]) -> str:
    """Return the backend that built the engines, from their manifests.

    Raises:
        NotComparable: They are of several: engines are timed interleaved in one process.
    """
    backends = sorted({str(engine.facts.get("backend", "unknown")) for engine in engines})
    if len(backends) != 1:
        raise NotComparable(
            f"the engines are of {', '.join(backends)}; give those of one backend, because they run in one process"
        )
    return backends[0]
