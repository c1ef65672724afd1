"""Pictures to look at side by side, and a PNG writer of a few lines (zlib; no imaging library)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgekd.bench.pictures import INPUT, TRUTH
from edgekd.core.samples import Samples
from edgekd.results.result import BenchmarkResult

ORIGINAL = "original"


@dataclass(frozen=True, slots=True)
class Picture:
    """One way of making one sample.

    Attributes:
        label: What made it: a candidate's name, "bicubic", "original".
        image: (H, W, 3) uint8 RGB.
        score: Its primary metric, None where not known.
    """

    label: str
    image: NDArray[np.uint8]
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Pictures:
    """What there is to look at.

    Attributes:
        samples: Sample name → the same picture made in several ways, in the order to show them.
        answers: Sample name → (who, what it says), where answers are words and not pictures.
        legend: (name, RGB) of what the pictures' colours mean.
    """

    samples: Mapping[str, tuple[Picture, ...]]
    answers: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    legend: tuple[tuple[str, tuple[int, int, int]], ...] = ()

    @classmethod
    def of(cls, archive: Samples, result: BenchmarkResult) -> Pictures:
        """Take pictures and answers out of an archive.

        Args:
            archive: ``inputs`` maps a label to (N, H, W, 3) uint8; ``truth``, where there is one, is the original, or
                the true labels painted; ``texts`` are answers in words. A label that is neither a candidate of
                ``result`` nor the input is its baseline. Of the candidates one a role is kept, and the last one: more
                would not be told apart by eye and make the page heavy.
            result: What the pictures belong to.
        """
        candidates = {c.name for c in result.candidates}
        first_of_role = {c.role: c.name for c in reversed(result.candidates)}
        kept = {*first_of_role.values(), result.candidates[-1].name}
        labels = [label for label in archive.inputs if label not in candidates or label in kept]
        names = _unlike(archive.names)
        samples: dict[str, tuple[Picture, ...]] = {}
        for index, name in enumerate(names):
            row = [Picture(label, archive.inputs[label][index], _score(result, label, index)) for label in labels]
            if archive.truth is not None:
                row.append(Picture(true_label(result), archive.truth[index]))
            samples[name] = tuple(row)
        said = archive.texts
        answers = {name: tuple((who, said[who][i]) for who in said) for i, name in enumerate(names)} if said else {}
        return cls(samples, answers, archive.legend)


def _score(result: BenchmarkResult, label: str, index: int) -> float | None:
    """Return the primary metric of one picture; the input has none, and nobody disagrees with himself."""
    if label in (INPUT, result.reference):
        return None
    scores = {c.name: c.accuracy_per_sample for c in result.candidates}
    values = scores.get(label, result.baseline_per_sample).get(result.primary_metric, ())
    return values[index] if index < len(values) else None


def true_label(result: BenchmarkResult) -> str:
    """Call the truth "original" where it is a picture that was restored, "truth" where it is labels."""
    return ORIGINAL if result.primary_metric.startswith(("psnr", "ssim")) else TRUTH


def _unlike(names: Sequence[str]) -> list[str]:
    return [name if name not in names[:index] else f"{name} ({index + 1})" for index, name in enumerate(names)]


def png(image: NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 3) uint8 RGB as PNG.

    Source: W3C, "Portable Network Graphics (PNG) Specification", 9 Filtering; each row takes the filter whose
    residues have the smallest sum of magnitudes, as 12.8 advises.
    """
    high, wide, _ = image.shape
    raw = image.reshape(high, wide * 3).astype(np.int16)
    left, up, corner = np.zeros_like(raw), np.zeros_like(raw), np.zeros_like(raw)
    left[:, 3:], up[1:], corner[1:, 3:] = raw[:, :-3], raw[:-1], raw[:-1, :-3]
    filtered = np.stack([raw, raw - left, raw - up, raw - _paeth(left, up, corner)]).astype(np.uint8)
    cost = np.abs(filtered.view(np.int8).astype(np.int32)).sum(axis=2)
    chosen = cost.argmin(axis=0)
    kinds = np.array([0, 1, 2, 4], np.uint8)[chosen]  # 3, the average, seldom wins on photographs
    rows = np.concatenate([kinds[:, None], filtered[chosen, np.arange(high)]], axis=1)
    header = struct.pack(">IIBBBBB", wide, high, 8, 2, 0, 0, 0)
    body = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in body)


def _paeth(left: NDArray[np.int16], up: NDArray[np.int16], corner: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return whichever of the three lies nearest to left + up - corner; ties go in that order."""
    guess = left + up - corner
    to_left, to_up, to_corner = (np.abs(guess - x) for x in (left, up, corner))
    takes_left = (to_left <= to_up) & (to_left <= to_corner)
    return np.where(takes_left, left, np.where(to_up <= to_corner, up, corner))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
