"""How an accuracy metric is written: its name in a table and in a sentence, its unit and its digits.

A metric that is not listed here is shown by its key.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekd.results.result import AGREEMENT


@dataclass(frozen=True, slots=True)
class MetricStyle:
    """How one metric is written.

    Attributes:
        head: Name in the head of a table column.
        words: Name in a sentence.
        unit: Written after the figure, with its leading space.
        decimals: Digits after the point.
        scale: Factor from the stored figure to the written one.
    """

    head: str
    words: str
    unit: str = ""
    decimals: int = 4
    scale: float = 1.0


def _share(head: str, words: str) -> MetricStyle:
    return MetricStyle(head, words, " %", 2, 100.0)


_STYLES = {
    "psnr_y_db": MetricStyle("PSNR Y", "PSNR on Y", " dB", 2),
    "psnr_rgb_db": MetricStyle("PSNR RGB", "PSNR on RGB", " dB", 2),
    "psnr_db": MetricStyle("PSNR", "PSNR", " dB", 2),
    "ssim_y": MetricStyle("SSIM Y", "SSIM on Y"),
    "ssim": MetricStyle("SSIM", "SSIM"),
    "top1": _share("top-1", "top-1 accuracy"),
    "macro_f1": _share("macro F1", "macro F1"),
    "miou": _share("mIoU", "mean IoU"),
    "pixel_accuracy": _share("pixel acc.", "pixel accuracy"),
}
# Metrics that compare two images; the target is then an image to look at, not labels.
_IMAGE_METRICS = ("psnr", "ssim")
# ``result.json`` cannot hold infinity and stores 1e308; no axis can hold either.
_DRAWABLE = 1e300


def metric_style(metric: str) -> MetricStyle:
    """Return how ``metric`` is written, whether it is accuracy or agreement."""
    name = metric.removeprefix(AGREEMENT)
    return _STYLES.get(name) or MetricStyle(name, name.replace("_", " "))


def metric_head(metric: str) -> str:
    """Return the metric's name for a table head, with its unit; "" for no metric."""
    style = metric_style(metric)
    return f"{'agreement, ' if metric.startswith(AGREEMENT) else ''}{style.head}{style.unit}"


def metric_words(metric: str, reference: str = "") -> str:
    """Return the metric's name for a sentence.

    Args:
        metric: Its key.
        reference: ``BenchmarkResult.reference``, whose outputs replace the ground truth; used for agreement only.
    """
    style = metric_style(metric)
    if not metric.startswith(AGREEMENT):
        return style.words
    return f"{style.head} agreement with {reference or 'the first candidate'}"


def metric_value(metric: str, value: float | None, *, unit: bool = False) -> str:
    """Format one figure of a metric, "–" for None; ``unit`` appends its unit."""
    if value is None:
        return "–"
    style = metric_style(metric)
    return f"{value * style.scale:.{style.decimals}f}{style.unit if unit else ''}"


def metric_difference(metric: str, difference: float) -> str:
    """Format the difference of two figures of a metric, with its unit; for shares that is percentage points."""
    return metric_value(metric, difference, unit=True).replace(" %", " points")


def metric_signed(metric: str, difference: float) -> str:
    """Format a difference with its sign and without its unit."""
    text = metric_value(metric, difference)
    return text if text.startswith("-") else f"+{text}"


def compares_images(metric: str) -> bool:
    """Whether the metric compares images, as of restoration, and not labels."""
    return metric.startswith(_IMAGE_METRICS)


def is_drawable(score: float) -> bool:
    """Whether an axis can hold the score: not NaN, and not the 1e308 that stands for infinity in a result."""
    return abs(score) < _DRAWABLE
