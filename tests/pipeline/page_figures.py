"""Whether the figures on a page are those of its JSON, at the rounding they are shown with."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edgekd.report.tables import SPEEDUP_HEAD
from edgekd.results.result import END_TO_END

MIB = 1024 * 1024
POWERS = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
NUMBER = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)(?:e([-+]?\d{1,3})\b)?(?: ([kMGT])(?!\w))?")
# Column → paths of the figures it shows; a column that is not listed may show any of its candidate's.
COLUMNS = {
    "params": r"\.parameters$", "MACs": r"\.macs$",
    "ONNX MiB": r"onnx_(bytes|mib)$", "peak MiB": r"\.peak_memory_bytes$",
    **{f"p{p} ms": rf"\.p{p}_ms$" for p in (50, 90, 95, 99)},
    "samples/s": r"\.throughput_per_s$", SPEEDUP_HEAD: r"\.speedup\.",
    "samples": r"\.spread\.count$", "mean ms": r"\.mean$", "median ms": r"\.median$",
    "MAD ms": r"\.mad$", "CV %": r"\.cv$",
    "min ms": r"\.least$", "max ms": r"\.most$", "fences ms": r"_fence$",
    **{f"{stage.replace('_', ' ')} ms": rf"\.end_to_end\.medians_ms\.{stage}$" for stage in END_TO_END},
    "outside": r"\.outside$", "below": r"\.below$", "above": r"\.above$",
}  # fmt: skip
# Paths of the figures that sentences, tiles and lists use.
IN_SENTENCES = re.compile(
    r"^\.0\.figures\.\d+\.(p50_ms|p99_ms|throughput_per_s|score|end_to_end\.(outside_share|speedup|medians_ms\.end_to_end))"
    r"|\.comparisons\.\d+\.(speedup|differences|ratios\.(parameters|onnx_bytes|peak_memory_bytes)$)"
    r"|\.result\.(conditions|baseline_accuracy)|\.candidates\.\d+\.(accuracy|inputs|onnx_bytes|peak_memory_bytes)"
    r"|\.nodes\.\d+\.((sum|measured)_ms|bars\.\d+\.(ms|share|nodes))$"
    r"|^\.0\.stages\.\d+\.(seconds|share)$"
    r"|\.warmup_iterations$|\.cost\.parameters$|\.facts\.(engine_|int8_)?convolutions$|\.(confidence|fence|shares)"
)
# Raw samples are drawn as dots and never written; scores of single pictures are in captions, which are strings.
NEVER_WRITTEN = (
    "blocks_ns",
    "end_to_end_ns",
    "block_conditions",
    "reference_workload",
    "accuracy_per_sample",
    "baseline_per_sample",
    "axes",
    "samples",
    "focus",
)


@dataclass(frozen=True)
class Shown:
    """One text on the page.

    Attributes:
        text: The text.
        paths: Paths of its figures in the JSON, if the page names them.
        drawn: Whether it is part of a chart.
        section: Heading of its section.
        row: First cell of its table row, "" outside tables.
        column: Head of its table column, "" outside tables.
    """

    text: str
    paths: Sequence[str]
    drawn: bool
    section: str
    row: str
    column: str


def misfits(shown: Sequence[Shown], data_text: str) -> list[str]:
    """Return the figures on the page that are not in its JSON, or not at the path that the page names."""
    data = json.loads(data_text)
    strings = sorted({text for text in _strings(data) if len(text) > 2}, key=len, reverse=True)
    names = [candidate["name"] for candidate in data["result"]["candidates"]]
    everywhere = _known(data)
    found = []
    for one in shown:
        if one.paths:
            wrong = _mismatches(one, data, names)
        else:
            known = everywhere
            if one.drawn or one.section == "Pictures":
                known = data["frames"] if not one.drawn else []
            elif one.row in names and one.section != "Engines":
                known = _known_of(one.row, one.column, data)
            wrong = [t for t, value, half in _numbers(_without(one.text, strings)) if not _among(value, half, known)]
        found += [f"{one.section}: {one.text!r} of {' '.join(one.paths) or one.row or 'the page'}: {w}" for w in wrong]
    return found


def _mismatches(one: Shown, data: Any, names: Sequence[str]) -> list[str]:
    """Compare the figures of a text with those at the paths it names, in their order."""
    text = _without(one.text, sorted([*names, data["metric"]["words"]], key=len, reverse=True))
    values = [_at(data, path) for path in one.paths]
    if isinstance(values[0], str):
        return [] if text.strip() in (values[0], values[0].split()[-1]) else [f"is not {values[0]!r}"]
    numbers = list(_numbers(text))
    if len(numbers) != len(values):
        return [f"holds {len(numbers)} figures"]
    return [
        f"{t} is not {v}" for (t, value, half), v in zip(numbers, values, strict=True) if not _among(value, half, [v])
    ]


def _known_of(name: str, column: str, data: Any) -> list[float]:
    """Return the figures that a candidate's row may hold in one column."""
    index = [candidate["name"] for candidate in data["result"]["candidates"]].index(name)
    # The first candidate's own speed-up is written as 1.
    if index == 0 and column == SPEEDUP_HEAD:
        return [1.0]
    parts = [data["figures"][index], data["result"]["candidates"][index]]
    return list(_forms(parts, data, re.compile(COLUMNS.get(column, ""))))


def _known(data: Any) -> list[float]:
    """Return the figures that sentences, tiles and lists may hold: those of the JSON, counts, sums and differences."""
    result, metric = data["result"], data["metric"]
    runs = [run for candidate in result["candidates"] for run in candidate["runs"]]
    counted: list[float] = [len(result["candidates"]), len(runs), sum(not run.get("is_steady", True) for run in runs)]
    for candidate in result["candidates"]:
        blocks = [len(block) for run in candidate["runs"] for block in run["blocks_ns"]]
        counted += [len(candidate["runs"]), len(blocks), sum(blocks)]
        counted += map(len, candidate["accuracy_per_sample"].values())
    counted += Counter(row["backend"] for row in result["engines"]).values()
    counted += Counter(row["backend"] for row in result["engines"] if row["ok"]).values()
    places = [i + 1 for links in data["lineage"].values() for i in range(len(links))]
    counted.append(sum(stage["seconds"] for stage in data["stages"]))
    if metric["baseline"] is not None:
        counted += [abs(f["score_shown"] - metric["baseline"]) for f in data["figures"] if f["score_shown"] is not None]
    return [*_forms([data], data, IN_SENTENCES), *counted, *places]


def _forms(parts: Any, data: Any, wanted: re.Pattern[str]) -> Iterator[float]:
    """Yield every number in ``parts`` whose path is ``wanted``, in each unit that the page shows it in."""
    scale = data["metric"]["scale"]
    for path, value in _leaves(parts):
        if not wanted.search(path):
            continue
        yield abs(value)
        if "bytes" in path:
            yield value / MIB
        if path.endswith((".cv", ".outside_share", ".share")):
            yield 100 * value
        if "accuracy" in path or "differences" in path:
            yield abs(value) * scale
        if re.search(r"\.(speedup|ratios)\.", path) and value:
            yield 1 / value


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in NEVER_WRITTEN or (key == "samples" and not isinstance(item, list)):
                yield from _leaves(item, f"{path}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _leaves(item, f"{path}.{i}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from (key, *_strings(item))
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str):
        yield from (value, " ".join(value.split()))
        if re.fullmatch(r"[0-9a-f]{64}", value):
            yield value[:12]


def _without(text: str, strings: Sequence[str]) -> str:
    # A name that was too long ends in "…".
    if text.endswith("…") and any(known.startswith(text[:-1]) for known in strings):
        return ""
    for known in filter(None, strings):
        text = text.replace(known, " ")
    return text


def _numbers(text: str) -> Iterator[tuple[str, float, float]]:
    """Yield every number of a text: as written, its value, and half a unit of its last digit."""
    for found in NUMBER.finditer(text):
        digits, exponent, power = found.groups()
        unit = POWERS.get(power, 1.0) * 10.0 ** int(exponent or 0)
        yield found.group(), float(digits) * unit, 0.5 * unit * 10.0 ** -len(digits.partition(".")[2])


def _among(value: float, half: float, known: Sequence[float]) -> bool:
    return any(v is not None and abs(abs(v) - value) <= half * (1 + 1e-9) for v in known)


def _at(data: Any, path: str) -> Any:
    for key in path.split("."):
        data = data[int(key)] if isinstance(data, list) else data[key]
    return data
