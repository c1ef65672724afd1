"""What the page's charts are drawn from, beside the result: figures, axes, pictures, provenance."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from edgekd.core.numerics import FENCE_IQR
from edgekd.core.previews import INPUT
from edgekd.report.axes import linear_axis, log_axis
from edgekd.report.conditions import observations
from edgekd.report.figures import Figures, figures, stage_shares
from edgekd.report.lineage import Link
from edgekd.report.metrics import (
    compares_images,
    is_drawable,
    metric_head,
    metric_style,
    metric_value,
    metric_words,
)
from edgekd.report.nodes import node_charts
from edgekd.report.pictures import Picture, Pictures, png
from edgekd.results.compare import compare
from edgekd.results.result import BenchmarkResult

CONFIDENCE_PERCENT = 95  # of every interval

_FOCUS_TILE = 32  # pixels: grid on which the first crop is placed
_FRAMES = (0, 128, 64, 32)  # pixels of a picture that a crop shows, 0 for all
_SHARES_PERCENT = (50, 90, 99)  # of inferences done: the percentiles a reader can choose


def data(result: BenchmarkResult, pictures: Pictures, lineage: Mapping[str, tuple[Link, ...]]) -> dict[str, Any]:
    """Return everything the page shows beside the result itself. The browser computes no figure."""
    rows = figures(result)
    return {
        "figures": [asdict(row) for row in rows],
        "comparisons": _comparisons(result),
        "metric": _metric(result),
        "axes": _axes(rows),
        "processes": [f"process {i + 1}" for i in range(max(len(c.runs) for c in result.candidates))],
        "shares": _SHARES_PERCENT,
        "frames": _FRAMES,
        "confidence": CONFIDENCE_PERCENT,
        "fence": FENCE_IQR,
        "observations": observations(result),
        "stages": [asdict(stage) for stage in stage_shares(result)],
        "nodes": [asdict(chart) for chart in node_charts(result)],
        "lineage": {name: [asdict(link) for link in links] for name, links in lineage.items()},
        "legend": [{"name": name, "colour": "rgb({}, {}, {})".format(*rgb)} for name, rgb in pictures.legend],
        "compares_images": compares_images(result.primary_metric),
        "samples": [
            {**_sample(name, row, result), "answers": pictures.answers.get(name, ())}
            for name, row in pictures.samples.items()
        ],
    }


def embedded(data: Any) -> str:
    """Return JSON for a script element; a figure that is not finite becomes null."""
    # No spaces: pictures and figures are large enough.
    return escaped(json.dumps(_finite(data), separators=(",", ":"), ensure_ascii=True, allow_nan=False))


def escaped(text: str) -> str:
    """Escape JSON so that it cannot end its script element; page.js restores it to the byte."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _metric(result: BenchmarkResult) -> dict[str, Any]:
    """Return how the primary metric is written, and the baseline's figure in the written unit."""
    metric = result.primary_metric
    style = metric_style(metric)
    baseline = result.baseline_accuracy.get(metric)
    return {
        "key": metric,
        "head": metric_head(metric),
        "words": metric_words(metric, result.reference),
        "scale": style.scale,
        "decimals": style.decimals,
        "baseline": baseline * style.scale if baseline is not None and is_drawable(baseline) else None,
    }


def _axes(rows: Sequence[Figures]) -> dict[str, Any]:
    """Return the axis of every chart, None where a chart has nothing to show."""
    scores = [row.score_shown for row in rows if row.score_shown is not None]
    sizes = [row.onnx_mib for row in rows if row.onnx_mib is not None]
    latencies = [end for row in rows for end in (row.spread.least, row.spread.most)]
    # Latency and size span orders of magnitude, a score does not. Margins leave room for markers and labels.
    return {
        "latency": asdict(log_axis([row.p50_ms for row in rows], 1.2)),
        "size": asdict(log_axis(sizes, 1.4)) if sizes else None,
        "score": asdict(linear_axis(scores, 0.14)) if scores else None,
        "ecdf": asdict(log_axis(latencies, 1.05)),
    }


def _comparisons(result: BenchmarkResult) -> list[dict[str, Any]]:
    """Return the ratios behind the sentences: relative to the first candidate, and to the first of the last role."""
    role = result.candidates[-1].role
    bases = dict.fromkeys((result.candidates[0].name, next(c.name for c in result.candidates if c.role == role)))
    return [asdict(row) for base in bases for row in compare([result], base).rows]


def _sample(name: str, row: Sequence[Picture], result: BenchmarkResult) -> dict[str, Any]:
    height, width = row[-1].image.shape[:2]
    shots = [
        {
            "label": picture.label,
            "caption": _caption(picture, result),
            "url": "data:image/png;base64," + base64.b64encode(png(picture.image)).decode(),
        }
        for picture in row
    ]
    # The overview shows the network's input where there is one, else the last picture, which is the target.
    overview = 0 if row[0].label == INPUT else len(row) - 1
    return {
        "name": name,
        "width": width,
        "height": height,
        "focus": _focus(row),
        "shots": shots,
        "overview": overview,
    }


def _caption(picture: Picture, result: BenchmarkResult) -> str:
    metric, score = result.primary_metric, picture.score
    if score is None:
        return ""
    here = " on this picture" if metric in result.set_metrics else ""
    return f"{metric_value(metric, score, unit=True)} {metric_words(metric, result.reference)}{here}"


def _focus(row: Sequence[Picture]) -> tuple[float, float]:
    """Return (x, y), shares of width and height: where the first picture differs most from the last."""
    made = [picture for picture in row if picture.label != INPUT] or row
    row = made if len(made) > 1 else row
    first, last = row[0].image.astype(np.float32), row[-1].image.astype(np.float32)
    height, width = (size - size % _FOCUS_TILE for size in last.shape[:2])
    if first.shape != last.shape or not height or not width:
        return 0.5, 0.5
    # Squared error summed over tiles, (rows, columns): the largest sum marks the most visible difference.
    error = np.square(first - last)[:height, :width].sum(axis=2)
    tiles = error.reshape(height // _FOCUS_TILE, _FOCUS_TILE, width // _FOCUS_TILE, _FOCUS_TILE).sum(axis=(1, 3))
    y, x = np.unravel_index(int(tiles.argmax()), tiles.shape)
    return (float(x) + 0.5) * _FOCUS_TILE / last.shape[1], (float(y) + 0.5) * _FOCUS_TILE / last.shape[0]


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    # JSON has no NaN and no infinity; JSON.parse would refuse them.
    return None if isinstance(data, float) and not math.isfinite(data) else data
