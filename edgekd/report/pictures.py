"""Pictures to compare side by side, and a small PNG writer (zlib, no imaging library)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgekd.core.previews import INPUT, TARGET, Previews
from edgekd.report.metrics import compares_images
from edgekd.results.result import BenchmarkResult

# The label of a target that is an image; TARGET is that of painted labels.
ORIGINAL = "original"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Picture:
    """One version of one sample.

    Attributes:
        label: What it is: a candidate's name, "bicubic", "input", "original".
        image: (H, W, 3) uint8 RGB.
        score: Its primary metric, None where unknown.
    """

    label: str
    image: NDArray[np.uint8]
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Pictures:
    """What the page shows of the evaluation samples.

    Attributes:
        samples: Sample name → its versions, in the order they are shown.
        answers: Sample name → (label, answer) where the task answers in words.
        legend: (name, RGB) of each colour in the pictures.
    """

    samples: Mapping[str, tuple[Picture, ...]]
    answers: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    legend: tuple[tuple[str, tuple[int, int, int]], ...] = ()

    @classmethod
    def of(cls, previews: Previews, result: BenchmarkResult) -> Pictures:
        """Choose what to show of the previews.

        Of the candidates, the first of each role and the last one are kept: more would be hard to tell apart and make
        the page large.

        Args:
            previews: A label that is neither a candidate of ``result`` nor the input is the baseline.
            result: The result that the previews belong to.
        """
        candidates = {candidate.name for candidate in result.candidates}
        first_of_role = {candidate.role: candidate.name for candidate in reversed(result.candidates)}
        kept = {*first_of_role.values(), result.candidates[-1].name}
        labels = [label for label in previews.pictures if label not in candidates or label in kept]
        samples: dict[str, tuple[Picture, ...]] = {}
        answers: dict[str, tuple[tuple[str, str], ...]] = {}
        for index, name in enumerate(_unique(previews.names)):
            row = [Picture(label, previews.pictures[label][index], _score(result, label, index)) for label in labels]
            # The target is last: the page compares the others with it.
            if previews.target is not None:
                row.append(Picture(target_label(result), previews.target[index]))
            samples[name] = tuple(row)
            if previews.texts:
                answers[name] = tuple((label, texts[index]) for label, texts in previews.texts.items())
        return cls(samples, answers, previews.legend)


def target_label(result: BenchmarkResult) -> str:
    """Return the label of the ground truth: "original" for an image, "target" for labels."""
    return ORIGINAL if compares_images(result.primary_metric) else TARGET


def png(image: NDArray[np.uint8]) -> bytes:
    """Encode an image as PNG.

    Each row takes the filter whose residues have the smallest sum of magnitudes, as section 12.8 of the specification
    advises.

    Args:
        image: (H, W, 3) uint8 RGB.

    Source: W3C, "Portable Network Graphics (PNG) Specification", section 9, Filtering.
    """
    height, width, _ = image.shape
    raw = image.reshape(height, width * 3).astype(np.int16)
    left, up, corner = np.zeros_like(raw), np.zeros_like(raw), np.zeros_like(raw)
    left[:, 3:], up[1:], corner[1:, 3:] = raw[:, :-3], raw[:-1], raw[:-1, :-3]
    filtered = np.stack([raw, raw - left, raw - up, raw - _paeth(left, up, corner)]).astype(np.uint8)  # (4, H, 3W)
    cost = np.abs(filtered.view(np.int8).astype(np.int32)).sum(axis=2)  # (4, H)
    chosen = cost.argmin(axis=0)  # (H,)
    filter_types = np.array([0, 1, 2, 4], np.uint8)[chosen]  # 3, the average, seldom wins on photographs
    rows = np.concatenate([filter_types[:, None], filtered[chosen, np.arange(height)]], axis=1)  # (H, 1 + 3W)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits a channel, colour type 2: RGB
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")]
    return _PNG_SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _score(result: BenchmarkResult, label: str, index: int) -> float | None:
    """Return the primary metric of one picture; the input has none, and a reference is not scored against itself."""
    if label in (INPUT, result.reference):
        return None
    scores = {candidate.name: candidate.accuracy_per_sample for candidate in result.candidates}
    values = scores.get(label, result.baseline_per_sample).get(result.primary_metric, ())
    return values[index] if index < len(values) else None


def _unique(names: Sequence[str]) -> list[str]:
    """Number a name that occurred before: names are keys of the page's data."""
    return [name if name not in names[:index] else f"{name} ({index + 1})" for index, name in enumerate(names)]


def _paeth(left: NDArray[np.int16], up: NDArray[np.int16], corner: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return whichever of the three, (H, 3W) each, is nearest to left + up - corner; ties go in that order."""
    guess = left + up - corner
    to_left, to_up, to_corner = (np.abs(guess - x) for x in (left, up, corner))
    takes_left = (to_left <= to_up) & (to_left <= to_corner)
    return np.where(takes_left, left, np.where(to_up <= to_corner, up, corner))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
