"""The edge of a network that takes pictures, and a task as it is met there."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.core.config import ExportConfig
from edgekd.core.errors import InputError
from edgekd.core.preprocessing import answer_of, input_spec, task_view
from edgekd.tasks import classification, dehazing, segmentation, super_resolution

PICTURE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)


def test_the_edge_is_the_picture_or_what_the_task_makes_of_it() -> None:
    assert str(input_spec(ExportConfig(shape=(1, 4, 32, 48)))) == "input 1x4x32x48 float32"
    assert str(input_spec(ExportConfig(shape=(1, 4, 32, 48), embed_preprocess=True))) == "input 1x32x48x3 uint8"
    ranged = input_spec(ExportConfig(shape=(1, 3, "h", 8), ranges={"h": (4, 8, 16)}))
    assert ranged.at("max") == (1, 3, 16, 8)


@pytest.mark.parametrize("shape", [(1, 3, "h", 8), (2, 3, 8, 8), (3, 8, 8)])
def test_a_picture_of_no_fixed_size_is_refused(shape) -> None:
    with pytest.raises(InputError, match=r"one picture of a fixed size, \[1, channels, height, width\], was expected"):
        input_spec(ExportConfig(shape=shape, embed_preprocess=True))


def test_without_embedding_the_task_is_itself() -> None:
    assert id(task_view(super_resolution, False)) == id(super_resolution)


def test_a_view_passes_the_picture_on_and_has_all_else_of_the_task() -> None:
    view = task_view(super_resolution, True)
    found = view.preprocess(PICTURE[:, ::-1], {"scale": 2})
    np.testing.assert_array_equal(found, PICTURE[:, ::-1])
    assert found.flags["C_CONTIGUOUS"]
    assert view.METRICS == super_resolution.METRICS
    assert getattr(view, "picture") is super_resolution.picture  # noqa: B009 - no name of the protocol
    assert not hasattr(task_view(classification, True), "picture")


def equal_to_the_tasks_own(task, output: np.ndarray, options: dict[str, object]) -> np.ndarray:
    """Take a network's output both ways round, hold the two together, and return what the view makes of it."""
    plain = task.postprocess(output, options)
    answer = answer_of(task, plain, options)
    seen = task_view(task, True).postprocess(answer, options)
    assert (seen.shape, seen.dtype) == (plain.shape, plain.dtype)
    return seen


@pytest.mark.parametrize(("task", "options"), [(super_resolution, {"scale": 2}), (dehazing, {})])
def test_pictures_score_and_show_as_the_tasks_own(task, options) -> None:
    output = np.random.default_rng(1).normal(0.3, 0.5, (3, 16, 24)).astype(np.float32)
    seen, plain = equal_to_the_tasks_own(task, output, options), task.postprocess(output, options)
    np.testing.assert_array_equal(task.picture(seen, options), task.picture(plain, options))
    view = task_view(task, True)
    assert view.metric(seen, PICTURE, options) == task.metric(plain, PICTURE, options)
    assert np.abs(seen - plain).max() <= 0.5 / 255 + 1e-6


def test_labels_and_probabilities_are_the_tasks_own() -> None:
    logits = np.random.default_rng(2).normal(0, 3, (5, 16, 24)).astype(np.float32)
    found = equal_to_the_tasks_own(segmentation, logits, {"classes": 5})
    np.testing.assert_array_equal(found, logits.argmax(axis=0))
    likely = equal_to_the_tasks_own(classification, logits[:, 0, 0], {"classes": 5})
    np.testing.assert_array_equal(likely, classification.postprocess(logits[:, 0, 0], {"classes": 5}))
