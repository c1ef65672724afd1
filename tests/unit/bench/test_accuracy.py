"""Scoring outputs: by the ground truth, by a reference, and as figures of a whole set."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from edgekd.bench.accuracy import Scorer, answer, as_target, score
from edgekd.core.errors import InputError
from edgekd.core.tensor import TensorSpec
from edgekd.tasks import classification, segmentation, super_resolution

OPTIONS = {"scale": 2}


class Enlarger:
    """A session that repeats every pixel."""

    inputs = (TensorSpec("x", (1, 3, "h", "w"), "float32"),)
    outputs = (TensorSpec("y", (1, 3, "H", "W"), "float32"),)

    def run(self, feeds):
        return {"y": feeds["x"].repeat(2, axis=2).repeat(2, axis=3)}

    def close(self):
        """Nothing is held."""


@pytest.fixture
def pairs():
    """Three (low-resolution image, target): the first one flat, so that enlarging loses nothing."""
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), dtype=np.uint8)
    pictures[0] = 200
    return [super_resolution.degrade(picture, OPTIONS) for picture in pictures]


def outputs_of(pairs):
    feeds = [{"x": super_resolution.preprocess(image, OPTIONS)[None]} for image, _ in pairs]
    return [answer(Enlarger(), one, super_resolution, OPTIONS) for one in feeds]


def test_every_sample_is_scored_by_the_task(pairs):
    outputs, targets = outputs_of(pairs), [target for _, target in pairs]
    found = score(outputs, targets, super_resolution, OPTIONS)
    assert set(found.overall) == set(super_resolution.METRICS)
    assert found.per_sample["psnr_y_db"][0] == 100.0
    assert found.per_sample["psnr_y_db"][1] < 20
    assert found.overall["psnr_y_db"] == pytest.approx(np.mean(found.per_sample["psnr_y_db"]))
    assert [output.shape for output in outputs] == [(32, 48, 3)] * 3
    again = super_resolution.metric(outputs[2], targets[2], OPTIONS)
    assert again == {metric: values[2] for metric, values in found.per_sample.items()}


def test_outputs_and_targets_must_be_as_many(pairs):
    with pytest.raises(ValueError, match="shorter"):
        score(outputs_of(pairs), [pairs[0][1]], super_resolution, OPTIONS)


def test_no_sample_scores_nothing():
    with pytest.raises(InputError, match="at least one"):
        Scorer(super_resolution, OPTIONS).result()


def test_several_outputs_are_refused():
    session = Enlarger()
    session.outputs = (*Enlarger.outputs, TensorSpec("z", (1,), "float32"))
    with pytest.raises(InputError, match=r"2 outputs \(y, z\)"):
        answer(session, {}, super_resolution, OPTIONS)


@pytest.fixture
def labels():
    """Four (predicted labels, target labels) of three classes; half of the first target differs."""
    rng = np.random.default_rng(0)
    predicted = rng.integers(0, 3, (4, 8, 8))
    target = predicted.copy()
    target[0, :4] = (target[0, :4] + 1) % 3
    target[0, 4:] = 0
    return predicted, target


def test_a_figure_of_the_whole_set_is_the_tasks_own(labels):
    options = {"classes": 3}
    found = score(*labels, segmentation, options)
    assert found.overall == segmentation.summarize(list(labels[0]), list(labels[1]), options)
    assert found.overall["miou"] != pytest.approx(np.mean(found.per_sample["miou"]))
    assert found.set_metrics == ("miou",)  # pixel accuracy of images of one size is a mean
    assert list(found.overall) == list(segmentation.METRICS)


def test_outputs_are_kept_only_where_the_whole_set_is_needed(labels, pairs):
    scorer = Scorer(segmentation, {"classes": 3})
    scorer.add(labels[0][0], labels[1][0])
    assert len(scorer._outputs) == 1
    scorer = Scorer(super_resolution, OPTIONS)
    scorer.add(outputs_of(pairs)[0], pairs[0][1])
    assert scorer._outputs == []


def test_agreement_has_names_of_its_own_and_its_own_metric_first(labels):
    scorer = Scorer(segmentation, {"classes": 3}, agreement=True)
    for predicted, reference in zip(*labels, strict=True):
        scorer.add(predicted, reference)
    found = scorer.result()
    assert list(found.overall) == ["agreement_pixel_accuracy", "agreement_miou"], "AGREES_BY comes first"
    assert 0 < found.overall["agreement_miou"] < 1
    assert set(found.per_sample) == set(found.overall)
    assert found.set_metrics == ("agreement_miou",)


def test_what_an_output_is_as_a_target():
    labels = np.array([[0, 1], [2, 1]])
    np.testing.assert_array_equal(as_target(labels, segmentation, {"classes": 3}), labels)
    found = as_target(np.array([0.1, 0.7, 0.2], np.float32), classification, {"classes": 3})
    assert (found.shape, int(found)) == ((), 1)
    picture = as_target(np.full((4, 4, 3), 0.5, np.float32), super_resolution, OPTIONS)
    assert (picture.dtype, picture[0, 0, 0]) == (np.uint8, 128)


def test_an_output_that_is_no_picture_cannot_be_a_target():
    with pytest.raises(InputError, match=r"shape \(2, 2, 2\)"):
        as_target(np.zeros((2, 2, 2), np.float32), SimpleNamespace(), {})
