"""Scoring engines on samples."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.bench.accuracy import agreement, answers, as_truth, baseline, score
from edgekd.core.errors import InputError
from edgekd.core.samples import Samples
from edgekd.core.tensor import TensorSpec
from edgekd.tasks import classification, segmentation
from edgekd.tasks import super_resolution as task

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
def samples():
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), dtype=np.uint8)
    pictures[0] = 200  # flat: enlarging loses nothing
    pairs = [task.degrade(picture, OPTIONS) for picture in pictures]
    feeds = np.stack([task.preprocess(low, OPTIONS)[None] for low, _ in pairs])
    seen, truth = (np.stack(side) for side in zip(*pairs, strict=True))
    return Samples({"x": feeds}, ("flat", "noise", "more noise"), "test", truth, seen)


def test_every_sample_is_scored_by_the_task(samples):
    found = score(Enlarger(), samples, task, OPTIONS)
    assert set(found.overall) == set(task.METRICS)
    assert found.per_sample["psnr_y_db"][0] == 100.0
    assert found.per_sample["psnr_y_db"][1] < 20
    assert found.overall["psnr_y_db"] == pytest.approx(np.mean(found.per_sample["psnr_y_db"]))
    assert [output.shape for output in found.outputs] == [(32, 48, 3)] * 3
    again = task.metric(found.outputs[2], samples.truth[2], OPTIONS)
    assert again == {metric: values[2] for metric, values in found.per_sample.items()}


def test_the_baseline_does_without_a_network(samples):
    found = baseline(samples, task, OPTIONS)
    assert found is not None
    assert found.per_sample["psnr_y_db"][0] == 100.0
    np.testing.assert_array_equal(found.outputs[1], task.baseline(samples.seen[1], OPTIONS))


def test_a_task_or_samples_without_one_have_no_baseline(samples):
    class Bare:
        METRICS = task.METRICS
        preprocess, postprocess, metric = map(staticmethod, (task.preprocess, task.postprocess, task.metric))

    assert baseline(samples, Bare(), OPTIONS) is None
    assert baseline(Samples(samples.inputs, samples.names, "test", samples.truth), task, OPTIONS) is None


def test_samples_without_truth_are_refused(samples):
    with pytest.raises(InputError, match="hold no truth"):
        score(Enlarger(), Samples(samples.inputs, samples.names, "test"), task, OPTIONS)


def test_several_outputs_are_refused(samples):
    session = Enlarger()
    session.outputs = (*Enlarger.outputs, TensorSpec("z", (1,), "float32"))
    with pytest.raises(InputError, match=r"2 outputs \(y, z\)"):
        score(session, samples, task, OPTIONS)


class Labeller:
    """A session that answers with scores of three classes, (1, 3, H, W), of which the brightest channel wins."""

    inputs = (TensorSpec("x", (1, 3, "h", "w"), "float32"),)
    outputs = (TensorSpec("y", (1, 3, "h", "w"), "float32"),)

    def __init__(self, noise=0.0):
        self.noise = noise

    def run(self, feeds):
        rng = np.random.default_rng(0)
        return {"y": feeds["x"] + self.noise * rng.normal(size=feeds["x"].shape).astype(np.float32)}

    def close(self):
        """Nothing is held."""


@pytest.fixture
def labelled():
    rng = np.random.default_rng(0)
    feeds = rng.normal(size=(4, 1, 3, 8, 8)).astype(np.float32)
    truth = feeds[:, 0].argmax(axis=1)
    truth[0, :4] = (truth[0, :4] + 1) % 3  # half of the first picture is wrong, and its classes unevenly so
    truth[0, 4:] = 0
    return Samples({"x": feeds}, tuple("abcd"), "test", truth)


def test_a_figure_of_the_whole_set_is_the_tasks_own(labelled):
    options = {"classes": 3}
    found = score(Labeller(), labelled, segmentation, options)
    assert found.overall == segmentation.summarize(found.outputs, list(labelled.truth), options)
    assert found.overall["miou"] != pytest.approx(np.mean(found.per_sample["miou"]))
    assert found.of_set == ("miou",)  # pixel accuracy of pictures of one size is a mean
    assert list(found.overall) == list(segmentation.METRICS)


def test_without_truth_answers_are_held_against_a_references(labelled):
    options, unlabelled = {"classes": 3}, Samples(labelled.inputs, labelled.names, "test")
    mine, other = (answers(Labeller(n), unlabelled, segmentation, options) for n in (0.0, 1.0))
    same, unlike = (agreement(given, mine, segmentation, options) for given in (mine, other))
    assert list(same.overall.items()) == [("agreement_pixel_accuracy", 1.0), ("agreement_miou", 1.0)], "AGREES_BY first"
    assert 0 < unlike.overall["agreement_miou"] < 1
    assert set(unlike.per_sample) == set(unlike.overall)
    assert all(metric.startswith("agreement_") for metric in unlike.of_set)


def test_what_an_answer_is_when_it_is_taken_for_true():
    labels = np.array([[0, 1], [2, 1]])
    np.testing.assert_array_equal(as_truth(labels, segmentation, {"classes": 3}), labels)
    found = as_truth(np.array([0.1, 0.7, 0.2], np.float32), classification, {"classes": 3})
    assert (found.shape, int(found)) == ((), 1)
    picture = as_truth(np.full((4, 4, 3), 0.5, np.float32), task, OPTIONS)
    assert (picture.dtype, picture[0, 0, 0]) == (np.uint8, 128)
