"""What the page's charts are drawn from, beside the result: figures worked out, axes, pictures, origins."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from edgekd.bench.pictures import INPUT
from edgekd.core.numerics import FENCE_IQR
from edgekd.report.axes import linear_axis, log_axis
from edgekd.report.conditions import lines
from edgekd.report.figures import (
    figures,
    is_drawable,
    metric_decimals,
    metric_head,
    metric_scale,
    metric_value,
    metric_words,
)
from edgekd.report.lineage import Link
from edgekd.report.nodes import node_bars
from edgekd.report.pictures import ORIGINAL, Picture, Pictures, png, true_label
from edgekd.results.compare import compare
from edgekd.results.result import BenchmarkResult

CONFIDENCE = 95  # %, of every interval

_LOOK = 32  # pixels: the grain in which the first crop is placed
_FRAMES = (0, 128, 64, 32)  # pixels of a picture that are looked at, 0 for all
_SHARES = (50, 90, 99)  # %, of inferences done: the percentiles that are read off


def data(result: BenchmarkResult, pictures: Pictures, lineage: Mapping[str, tuple[Link, ...]]) -> dict[str, Any]:
    """Return everything the page shows that is not the result itself; no figure is worked out in the browser."""
    metric, shown = result.primary_metric, figures(result)
    scores = [line.score_shown for line in shown if line.score_shown is not None]
    sizes = [line.onnx_mib for line in shown if line.onnx_mib is not None]
    baseline = result.baseline_accuracy.get(metric)
    return {
        "figures": [asdict(line) for line in shown],
        "comparisons": _comparisons(result),
        "metric": {
            "key": metric,
            "head": metric_head(metric),
            "words": metric_words(metric, result.reference),
            "scale": metric_scale(metric),
            "decimals": metric_decimals(metric),
            "baseline": baseline * metric_scale(metric) if baseline is not None and is_drawable(baseline) else None,
        },
        "axes": {
            "latency": asdict(log_axis([line.p50_ms for line in shown], 1.2)),
            "size": asdict(log_axis(sizes, 1.4)) if sizes else None,
            "score": asdict(linear_axis(scores, 0.14)) if scores else None,
            "ecdf": asdict(log_axis([end for f in shown for end in (f.spread.least, f.spread.most)], 1.05)),
        },
        "processes": [f"process {i + 1}" for i in range(max(len(c.runs) for c in result.candidates))],
        "shares": _SHARES,
        "frames": _FRAMES,
        "confidence": CONFIDENCE,
        "fence": FENCE_IQR,
        "ledger": lines(result),
        "nodes": [asdict(bars) for bars in node_bars(result)],
        "lineage": {name: [asdict(link) for link in links] for name, links in lineage.items()},
        "legend": [{"name": name, "colour": "rgb({}, {}, {})".format(*rgb)} for name, rgb in pictures.legend],
        "restores": true_label(result) == ORIGINAL,
        "samples": [
            {**_sample(name, row, result), "answers": pictures.answers.get(name, ())}
            for name, row in pictures.samples.items()
        ],
    }


def _comparisons(result: BenchmarkResult) -> list[dict[str, Any]]:
    """Return the ratios behind the sentences: against the first candidate, and against the last role's first."""
    role = result.candidates[-1].role
    bases = dict.fromkeys((result.candidates[0].name, next(c.name for c in result.candidates if c.role == role)))
    return [asdict(row) for base in bases for row in compare([result], base).rows]


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


def embedded(data: Any) -> str:
    """Write JSON for a script element; what is not finite is null, which JSON can hold."""
    return escaped(json.dumps(_finite(data), separators=(",", ":"), ensure_ascii=True, allow_nan=False))


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def escaped(text: str) -> str:
    """Make JSON unable to end the script element it stands in; page.js undoes it to the byte."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
