"""Every task: its names, its metric on perfect and on spoilt answers, what it does to sizes, and numpy alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgekd.bench.accuracy import as_truth
from edgekd.core.errors import InputError
from edgekd.core.family import load, names
from edgekd.distill.method import criterion_named

# What a recipe's [task] would say; a size that the task fits pictures to; a key with a value that makes no sense.
OPTIONS = {
    "super_resolution": {"scale": 2},
    "dehazing": {"size": 32, "window": 3, "box": 5},
    "classification": {"classes": ["a", "b", "c"], "size": 32},
    "segmentation": {"classes": ["a", "b", "c"]},
}
WRONG = {
    "super_resolution": ("scale", 1.5),
    "dehazing": ("size", -4),
    "classification": ("classes", "abc"),
    "segmentation": ("classes", 1),
}
SIZE = (32, 48)


@pytest.fixture(params=names("tasks"))
def task(request):
    return load("tasks", request.param)


@pytest.fixture
def name(task):
    return task.__name__.rpartition(".")[2]


@pytest.fixture
def options(name):
    return OPTIONS[name]


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)


@pytest.fixture
def truth(task, options, image):
    """A true answer to the image, as a layout's ``validation`` would give it."""
    if hasattr(task, "degrade"):
        return task.degrade(image, options)[1]
    if task.CRITERION != "cross_entropy":
        return image
    labels = np.random.default_rng(1).integers(0, 3, image.shape[:2])
    return labels if hasattr(task, "picture") else np.array(2)


@pytest.fixture
def seen(task, options, image):
    return task.degrade(image, options)[0] if hasattr(task, "degrade") else image


def _output(task, truth, options, right):
    """What a network would give, were it right or wrong: scores of the classes, or the picture itself."""
    if task.CRITERION == "cross_entropy":
        wanted = truth if right else (truth + 1) % 3
        hot = np.moveaxis(np.eye(3, dtype=np.float32)[wanted], -1, 0)
        return task.postprocess(8 * hot, options)
    clean = truth if right else np.random.default_rng(1).integers(0, 256, truth.shape)
    return np.ascontiguousarray(clean, np.float32) / 255


def test_it_has_the_names_of_the_family(task):
    assert task.METRICS
    assert task.PRIMARY in task.METRICS
    assert all(callable(getattr(task, name)) for name in ("fit", "preprocess", "postprocess", "metric"))
    assert criterion_named(task.CRITERION)[1] == (task.CRITERION == "cross_entropy")
    assert hasattr(task, "picture") or (hasattr(task, "label") and hasattr(task, "class_names"))
    assert hasattr(task, "baseline") == hasattr(task, "BASELINE")


def test_a_wrong_option_is_named(task, name, options, image):
    key, value = WRONG[name]
    given = {**options, key: value}

    def use() -> None:
        fitted, _ = task.fit(image, None, None, given)
        task.postprocess(task.preprocess(fitted, given), given)

    with pytest.raises(InputError, match=rf"task\.{key} = "):
        use()


def test_fit_gives_the_network_its_size(task, options, seen, truth):
    fitted, true = task.fit(seen, truth, SIZE, options)
    assert fitted.shape == (*SIZE, 3)
    assert fitted.dtype == np.uint8
    assert true.dtype == truth.dtype
    assert task.fit(seen, None, SIZE, options)[1] is None
    whole, _ = task.fit(seen, truth, None, options)
    assert whole.dtype == np.uint8
    assert np.isfinite(task.preprocess(whole, options)).all()


def test_preprocess_gives_one_network_input(task, options, seen):
    fitted, _ = task.fit(seen, None, SIZE, options)
    before = fitted.copy()
    found = task.preprocess(fitted, options)
    assert found.dtype == np.float32
    assert found.shape[1:] == SIZE
    assert found.flags["C_CONTIGUOUS"]
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(fitted, before)
    np.testing.assert_array_equal(found, task.preprocess(fitted, options))


def test_metric_tells_the_truth_from_noise(task, options, seen, truth):
    _, true = task.fit(seen, truth, SIZE, options)
    perfect, spoilt = (task.metric(_output(task, true, options, right), true, options) for right in (True, False))
    assert set(perfect) <= set(task.METRICS)
    assert all(math.isfinite(value) for value in (*perfect.values(), *spoilt.values()))
    assert perfect[task.PRIMARY] > spoilt[task.PRIMARY]


def test_a_set_is_scored_by_all_metrics(task, options, seen, truth):
    _, true = task.fit(seen, truth, SIZE, options)
    right, wrong = (_output(task, true, options, good) for good in (True, False))
    found = set(task.metric(right, true, options))
    if hasattr(task, "summarize"):
        good, mixed = (task.summarize(given, [true, true], options) for given in ([right, right], [right, wrong]))
        assert all(mixed[metric] < good[metric] for metric in good)
        found |= set(good)
    assert found == set(task.METRICS)


def test_an_answer_can_stand_for_the_truth(task, options, seen, truth):
    """Where nobody knows the truth, engines are held against a reference's answers."""
    _, true = task.fit(seen, truth, SIZE, options)
    right, wrong = (_output(task, true, options, good) for good in (True, False))
    taken = as_truth(right, task, options)
    assert task.metric(right, taken, options)[task.PRIMARY] > task.metric(wrong, taken, options)[task.PRIMARY]
    np.testing.assert_array_equal(taken, true)


def test_an_answer_can_be_looked_at_or_said(task, options, seen, truth):
    _, true = task.fit(seen, truth, SIZE, options)
    output = _output(task, true, options, right=True)
    if hasattr(task, "picture"):
        picture = task.picture(output, options)
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
    else:
        assert task.class_names(options)[2] in task.label(output, options)


def test_a_legend_tells_every_colour_apart(task, options, seen, truth):
    if not hasattr(task, "legend"):
        pytest.skip(f"{task.__name__} has no legend")
    _, true = task.fit(seen, truth, SIZE, options)
    picture = task.picture(_output(task, true, options, right=True), options)
    colours = {colour for _, colour in task.legend(options)}
    assert len(colours) == len(task.legend(options))
    assert {tuple(colour) for colour in picture.reshape(-1, 3).tolist()} <= colours


def test_the_baseline_has_the_shape_of_the_truth(task, options, seen, truth):
    if not hasattr(task, "baseline"):
        pytest.skip(f"{task.__name__} has no baseline")
    fitted, true = task.fit(seen, truth, SIZE, options)
    found = task.baseline(fitted, options)
    assert found.shape == true.shape
    assert found.dtype == np.float32
    assert task.BASELINE
