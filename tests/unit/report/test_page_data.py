"""What the page's charts are drawn from."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.report.page_data import data, embedded, escaped
from edgekd.report.pictures import Pictures
from tests.unit.report.example_result import agreeing, bare, example, previews, timed_stages


def of(result, shown=None):
    return data(result, Pictures.of(shown, result) if shown else Pictures({}), {})


def test_a_baseline_is_in_the_unit_of_its_metric():
    assert of(example())["metric"]["baseline"] == 33.6
    assert of(example(primary_metric="top1", baseline_accuracy={"top1": 0.5}))["metric"]["baseline"] == 50
    assert of(bare())["metric"]["baseline"] is None
    assert of(example(baseline_accuracy={"psnr_y_db": float("inf")}))["metric"]["baseline"] is None


def test_charts_without_values_have_no_axis():
    axes = of(bare())["axes"]
    assert axes["score"] is None
    assert axes["latency"] is not None
    unsized = example(candidates=(replace(example().candidates[0], onnx_bytes=0),))
    assert of(unsized)["axes"]["size"] is None


def test_comparisons_are_relative_to_the_first_and_to_the_last_roles_first():
    rows = of(example())["comparisons"]
    assert {row["against"] for row in rows} == {"teacher/fp32", "student/fp32"}
    assert len(rows) == 8
    assert of(bare())["comparisons"] == []


def test_stages_of_the_run_are_listed():
    assert [stage["name"] for stage in of(timed_stages())["stages"]] == ["distill", "export", "bench"]
    assert of(example())["stages"] == []


def test_labels_are_looked_at_as_a_whole():
    assert of(example())["compares_images"] is True
    assert of(agreeing())["compares_images"] is False


def test_a_score_of_the_whole_set_is_marked_on_one_picture():
    shown = replace(previews(), pictures={"student/int8": previews().target})
    caption = of(agreeing(), shown)["samples"][0]["shots"][0]["caption"]
    assert caption.startswith("81.00 % mIoU agreement")
    assert caption.endswith(" on this picture")


@pytest.mark.parametrize("shape", [(20, 20), (64, 20)])
def test_a_picture_smaller_than_a_tile_is_centred(shape):
    picture = np.zeros((1, *shape, 3), np.uint8)
    shown = replace(previews(), pictures={"a": picture, "b": picture}, names=("one",), target=None)
    assert of(example(), shown)["samples"][0]["focus"] == (0.5, 0.5)


def test_pictures_of_unlike_sizes_are_centred():
    small, large = np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 64, 64, 3), np.uint8)
    shown = replace(previews(), pictures={"a": small, "b": large}, names=("one",), target=None)
    assert of(example(), shown)["samples"][0]["focus"] == (0.5, 0.5)


def test_figures_that_are_not_finite_become_null():
    assert json.loads(embedded({"a": [1.5, float("nan"), float("inf")], "b": (2,)})) == {
        "a": [1.5, None, None],
        "b": [2],
    }


@given(st.text())
def test_no_text_can_end_the_script_element(text):
    found = embedded({"text": text})
    assert not set("<>&") & set(found)
    assert json.loads(found) == {"text": text}


def test_escapes_are_valid_json():
    assert json.loads(escaped(json.dumps("</script> & <b>"))) == "</script> & <b>"
