"""How metrics are written: names, units, digits."""

from __future__ import annotations

import math

import pytest

from edgekd.core import family
from edgekd.report.metrics import (
    compares_images,
    is_drawable,
    metric_difference,
    metric_head,
    metric_signed,
    metric_style,
    metric_value,
    metric_words,
)


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("psnr_y_db", 37.125, "37.12 dB"),
        ("ssim", 0.95, "0.9500"),
        ("top1", 0.8725, "87.25 %"),
        ("agreement_miou", 0.5, "50.00 %"),
        ("dice_score", 0.5, "0.5000"),
    ],
)
def test_a_figure_has_its_metrics_unit_and_digits(metric, value, text):
    assert metric_value(metric, value, unit=True) == text
    assert metric_value(metric, value) == text.split(" ")[0]


def test_an_unknown_figure_is_a_dash():
    assert metric_value("psnr_y_db", None) == "–"


@pytest.mark.parametrize(
    ("metric", "head", "words"),
    [
        ("psnr_y_db", "PSNR Y dB", "PSNR on Y"),
        ("top1", "top-1 %", "top-1 accuracy"),
        ("dice_score", "dice_score", "dice score"),
        ("agreement_miou", "agreement, mIoU %", "mIoU agreement with the first candidate"),
        ("", "", ""),
    ],
)
def test_a_metric_has_a_short_and_a_long_name(metric, head, words):
    assert metric_head(metric) == head
    assert metric_words(metric) == words


def test_agreement_names_its_reference():
    assert metric_words("agreement_top1", "teacher/fp32") == "top-1 agreement with teacher/fp32"
    assert metric_words("top1", "teacher/fp32") == "top-1 accuracy"


def test_a_difference_of_shares_is_in_points():
    assert metric_difference("top1", 0.028) == "2.80 points"
    assert metric_difference("psnr_db", 0.7) == "0.70 dB"


@pytest.mark.parametrize(("difference", "text"), [(0.7, "+0.70"), (-0.7, "-0.70"), (0.0, "+0.00")])
def test_a_signed_difference_has_its_sign(difference, text):
    assert metric_signed("psnr_db", difference) == text


@pytest.mark.parametrize(
    ("score", "drawable"), [(37.0, True), (-1.0, True), (math.inf, False), (1e308, False), (math.nan, False)]
)
def test_only_finite_scores_are_drawn(score, drawable):
    assert is_drawable(score) is drawable


@pytest.mark.parametrize(("metric", "images"), [("psnr_y_db", True), ("ssim", True), ("miou", False), ("", False)])
def test_image_metrics_are_told_from_label_metrics(metric, images):
    assert compares_images(metric) is images


@pytest.mark.parametrize("task", family.names("tasks"))
def test_every_metric_of_a_task_has_a_style_of_its_own(task):
    for metric in family.load("tasks", task).METRICS:
        assert metric_style(metric).head != metric, f"{task}'s {metric} would be shown by its key"
