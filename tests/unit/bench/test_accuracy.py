"""Scoring engines on samples."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.bench.accuracy import baseline, score
from edgekd.core.errors import InputError
from edgekd.core.samples import Samples
from edgekd.core.tensor import TensorSpec
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
    assert set(found.mean) == set(task.METRICS)
    assert found.per_sample["psnr_y_db"][0] == 100.0
    assert found.per_sample["psnr_y_db"][1] < 20
    assert found.mean["psnr_y_db"] == pytest.approx(np.mean(found.per_sample["psnr_y_db"]))
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
