"""The report as one page: no network, no library, readable on a phone; it carries the result it was drawn from."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from typing import Any

import numpy as np

from edgekd.bench.shown import INPUT
from edgekd.core.result import BenchmarkResult, Candidate
from edgekd.core.samples import Samples
from edgekd.report._figures import (
    Table,
    candidate_table,
    conditions_line,
    engine_table,
    figures,
    metric_head,
    metric_scale,
    metric_value,
    metric_words,
    notices,
)
from edgekd.report._nodes import node_section
from edgekd.report._pictures import ORIGINAL, Picture, Pictures, png, true_label
from edgekd.report._verdict import sentences

FILE_NAME = "report.html"

_LOOK = 32  # pixels: the grain in which the first crop is placed


def render(result: BenchmarkResult, pictures: Samples | None = None) -> str:
    """Return the whole page as text."""
    shown = Pictures.of(pictures, result) if pictures else Pictures({})
    headline, *rest = sentences(result)
    script, style = (_file(name) for name in ("page.js", "page.css"))
    # Only this very script may run, so that no text from a result ever can; and nothing may be fetched.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    shows = {"has_accuracy": any(c.accuracy for c in result.candidates), "has_pictures": bool(shown.samples)}
    values = {
        "digest": digest,
        "style": style,
        "script": script,
        "title": html.escape(result.title),
        "headline": html.escape(headline),
        "rest": html.escape(" ".join(rest)),
        "conditions": html.escape(conditions_line(result)),
        "score_title": html.escape(_score_title(result)),
        "candidates": _table(candidate_table(result)),
        "nodes": node_section(result),
        "engines": _engines(result),
        "provenance": _provenance(result),
        "data": _embedded(_data(result, shown)),
        **{name: "" if holds else "hidden" for name, holds in shows.items()},
    }
    # One pass: a value that looks like a placeholder stays text.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match.group(1)], _file("page.html"))


def _file(name: str) -> str:
    return (resources.files("edgekd.report") / name).read_text(encoding="utf-8")


def _data(result: BenchmarkResult, pictures: Pictures) -> dict[str, Any]:
    metric = result.primary_metric
    return {
        "result": json.loads(result.to_json()),
        "figures": [asdict(figure) for figure in figures(result)],
        "metric": {
            "key": metric,
            "head": metric_head(metric),
            "words": metric_words(metric, result.reference),
            "scale": metric_scale(metric),
        },
        "legend": [{"name": name, "colour": "rgb({}, {}, {})".format(*rgb)} for name, rgb in pictures.legend],
        "restores": true_label(result) == ORIGINAL,
        "samples": [
            {**_sample(name, row, result), "answers": pictures.answers.get(name, ())}
            for name, row in pictures.samples.items()
        ],
    }


def _sample(name: str, row: Sequence[Picture], result: BenchmarkResult) -> dict[str, Any]:
    high, wide = row[-1].image.shape[:2]
    shots = [
        {
            "label": picture.label,
            "caption": _caption(picture, result),
            "url": "data:image/png;base64," + base64.b64encode(png(picture.image)).decode(),
        }
        for picture in row
    ]
    # The whole picture is what the network saw, where that is at hand, else the last, which is the truth.
    whole = 0 if row[0].label == INPUT else len(row) - 1
    return {"name": name, "wide": wide, "high": high, "look": _look(row), "shots": shots, "whole": whole}


def _score_title(result: BenchmarkResult) -> str:
    if result.reference:
        return f"Agreement with {result.reference}, not accuracy, against latency"
    return "Accuracy against latency"


def _caption(picture: Picture, result: BenchmarkResult) -> str:
    metric, score = result.primary_metric, picture.score
    if score is None:
        return ""
    here = " of this picture" if metric in result.set_metrics else ""
    return f"{metric_value(metric, score, unit=True)} {metric_words(metric, result.reference)}{here}"


def _look(row: Sequence[Picture]) -> tuple[float, float]:
    """Return (x, y), shares of the picture: where the first way of making it is furthest from the last."""
    made = [picture for picture in row if picture.label != INPUT] or row
    row = made if len(made) > 1 else row
    first, last = row[0].image.astype(np.float32), row[-1].image.astype(np.float32)
    high, wide = (size - size % _LOOK for size in last.shape[:2])
    if first.shape != last.shape or not high or not wide:
        return 0.5, 0.5
    error = np.square(first - last)[:high, :wide].sum(axis=2)
    tiles = error.reshape(high // _LOOK, _LOOK, wide // _LOOK, _LOOK).sum(axis=(1, 3))
    y, x = np.unravel_index(int(tiles.argmax()), tiles.shape)
    return (float(x) + 0.5) * _LOOK / last.shape[1], (float(y) + 0.5) * _LOOK / last.shape[0]


def _embedded(data: Any) -> str:
    """Write JSON that cannot end the script element it stands in, nor be cut by a line separator."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _table(table: Table, text_columns: Sequence[int] = (0, 1)) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        kinds = (' class="text"' if i in text_columns else "" for i in range(len(cells)))
        inner = (f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
        return f"<tr>{''.join(inner)}</tr>"

    body = "".join(row(cells, "td") for cells in table.rows)
    return f'<div class="scroll"><table><thead>{row(table.heads, "th")}</thead><tbody>{body}</tbody></table></div>'


def _engines(result: BenchmarkResult) -> str:
    if not result.engines:
        return ""
    said = "".join(f'<p class="notice">{html.escape(notice)}</p>' for notice in notices(result.engines))
    table = _table(engine_table(result.engines), (0, 1, 2, 4))
    return f"<section><h2>Engines: what each library accepted</h2>{said}{table}</section>"


def _provenance(result: BenchmarkResult) -> str:
    notes = [*result.notes, *(f"{c.name}: {note}" for c in result.candidates for note in c.notes)]
    parts = [_list("Notes", notes), _list("Steps", result.steps)]
    parts.append(_pairs("Conditions", {k: _plain(v) for k, v in asdict(result.conditions).items()}))
    parts += [_pairs(candidate.name, _identity(candidate)) for candidate in result.candidates]
    return "".join(parts)


def _identity(candidate: Candidate) -> dict[str, str]:
    blocks = [block for run in candidate.runs for block in run.blocks_ns]
    return {
        "engine": f"sha256 {candidate.engine_sha256}",
        "made from": f"ONNX, sha256 {candidate.onnx_sha256}",
        "fed": ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in candidate.inputs.items()),
        "samples": f"{sum(map(len, blocks))} in {len(blocks)} blocks of {_processes(candidate)}",
    }


def _processes(candidate: Candidate) -> str:
    return f"{len(candidate.runs)} processes" if len(candidate.runs) > 1 else "one process"


def _list(title: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<h3>{html.escape(title)}</h3><ul>{items}</ul>" if lines else ""


def _pairs(title: str, pairs: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>" for key, value in pairs.items())
    return f"<details><summary>{html.escape(title)}</summary><dl>{rows}</dl></details>"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return "not told by this machine" if value is None else str(value)
