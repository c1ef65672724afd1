"""Every task: its names, its metric on perfect and on spoilt answers, and numpy alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgekd.core.family import load, names

# What a recipe's [task] would say.
OPTIONS = {"super_resolution": {"scale": 2}}


@pytest.fixture(params=names("tasks"))
def task(request):
    return load("tasks", request.param)


@pytest.fixture
def options(task):
    return OPTIONS.get(task.__name__.rpartition(".")[2], {})


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def test_it_has_the_names_of_the_family(task):
    assert task.METRICS
    assert task.PRIMARY in task.METRICS
    assert all(callable(getattr(task, name)) for name in ("preprocess", "postprocess", "metric"))


def test_preprocess_gives_one_network_input(task, options, image):
    before = image.copy()
    found = task.preprocess(image, options)
    assert found.dtype == np.float32
    assert found.flags["C_CONTIGUOUS"]
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(found, task.preprocess(image, options))


def test_metric_tells_the_truth_from_noise(task, options, image):
    if not hasattr(task, "degrade"):
        pytest.skip(f"{task.__name__} does not make its truth from a picture")
    _, truth = task.degrade(image, options)
    answer = np.ascontiguousarray(truth, np.float32) / 255
    noise = np.random.default_rng(1).random(truth.shape, np.float32)
    perfect, spoilt = (task.metric(x, truth, options) for x in (answer, noise))
    assert tuple(perfect) == task.METRICS
    assert all(math.isfinite(value) for value in (*perfect.values(), *spoilt.values()))
    assert perfect[task.PRIMARY] > spoilt[task.PRIMARY]


def test_the_baseline_has_the_shape_of_the_truth(task, options, image):
    if not hasattr(task, "baseline"):
        pytest.skip(f"{task.__name__} has no baseline")
    seen, truth = task.degrade(image, options)
    found = task.baseline(seen, options)
    assert found.shape == truth.shape
    assert found.dtype == np.float32
    assert task.BASELINE
