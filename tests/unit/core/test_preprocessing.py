"""The input of a graph that includes preprocessing, its node names, and its task's view."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from edgekd.core import protocols
from edgekd.core.config import ExportConfig
from edgekd.core.errors import InputError
from edgekd.core.preprocessing import (
    POSTPROCESS_PREFIX,
    PREPROCESS_PREFIX,
    graph_output,
    input_spec,
    is_pre_or_postprocessing,
    task_view,
)
from edgekd.tasks import classification, dehazing, segmentation, super_resolution

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
CAPABILITIES = (protocols.Pictures, protocols.Labels, protocols.HasLegend, protocols.HasBaseline, protocols.Summarizes)
MODULES = (classification, dehazing, segmentation, super_resolution)


def test_the_input_is_the_image_or_what_the_task_makes_of_it() -> None:
    assert str(input_spec(ExportConfig(shape=(1, 4, 32, 48)))) == "input 1x4x32x48 float32"
    assert str(input_spec(ExportConfig(shape=(1, 4, 32, 48), include_preprocessing=True))) == "input 1x32x48x3 uint8"
    ranged = input_spec(ExportConfig(shape=(1, 3, "h", 8), ranges={"h": (4, 8, 16)}))
    assert ranged.at("max") == (1, 3, 16, 8)


@pytest.mark.parametrize("shape", [(1, 3, "h", 8), (2, 3, 8, 8), (3, 8, 8)])
def test_an_image_of_no_fixed_size_is_refused(shape) -> None:
    with pytest.raises(InputError, match=r"\[1, channels, height, width\]") as caught:
        input_spec(ExportConfig(shape=shape, include_preprocessing=True))
    assert str(list(shape)) in str(caught.value)


def test_node_names_tell_the_tasks_parts_from_the_network() -> None:
    assert is_pre_or_postprocessing(f"{PREPROCESS_PREFIX}/Cast")
    assert is_pre_or_postprocessing(f"{POSTPROCESS_PREFIX}node_Softmax_1")
    for name in ("", "preprocess_scale", "/postprocess/Cast", "edgekd_cast_3", f"/{PREPROCESS_PREFIX}"):
        assert not is_pre_or_postprocessing(name)
    assert not PREPROCESS_PREFIX.startswith(POSTPROCESS_PREFIX)
    assert not POSTPROCESS_PREFIX.startswith(PREPROCESS_PREFIX)


def test_without_preprocessing_in_the_graph_the_task_is_itself() -> None:
    assert id(task_view(super_resolution, False)) == id(super_resolution)


def test_a_view_passes_the_image_through_and_has_all_else_of_the_task() -> None:
    view = task_view(super_resolution, True)
    found = view.preprocess(IMAGE[:, ::-1], {"scale": 2})
    np.testing.assert_array_equal(found, IMAGE[:, ::-1])
    assert found.flags["C_CONTIGUOUS"]
    assert view.METRICS == super_resolution.METRICS
    assert view.metric is super_resolution.metric


@pytest.mark.parametrize("task", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_a_view_has_the_tasks_capabilities_and_no_others(task, capability: type) -> None:
    assert isinstance(task_view(task, True), capability) == isinstance(task, capability)


def equal_to_the_tasks_own(task, output: np.ndarray, options: dict[str, object]) -> np.ndarray:
    """Postprocess a network's output in numpy and through the view, compare shapes, and return the view's."""
    own = task.postprocess(output, options)
    through_view = task_view(task, True).postprocess(graph_output(task, own, options), options)
    assert (through_view.shape, through_view.dtype) == (own.shape, own.dtype)
    return through_view


@pytest.mark.parametrize(("task", "options"), [(super_resolution, {"scale": 2}), (dehazing, {})])
def test_images_score_and_show_as_the_tasks_own(task, options) -> None:
    output = np.random.default_rng(1).normal(0.3, 0.5, (3, 16, 24)).astype(np.float32)
    found, own = equal_to_the_tasks_own(task, output, options), task.postprocess(output, options)
    np.testing.assert_array_equal(task.picture(found, options), task.picture(own, options))
    view = task_view(task, True)
    assert view.metric(found, IMAGE, options) == task.metric(own, IMAGE, options)
    assert np.abs(found - own).max() <= 0.5 / 255 + 1e-6


def test_labels_and_probabilities_are_the_tasks_own() -> None:
    logits = np.random.default_rng(2).normal(0, 3, (5, 16, 24)).astype(np.float32)
    found = equal_to_the_tasks_own(segmentation, logits, {"classes": 5})
    np.testing.assert_array_equal(found, logits.argmax(axis=0))
    likely = equal_to_the_tasks_own(classification, logits[:, 0, 0], {"classes": 5})
    np.testing.assert_array_equal(likely, classification.postprocess(logits[:, 0, 0], {"classes": 5}))


@pytest.mark.parametrize(
    ("output", "dtype"),
    [(np.array([0.25, 0.75]), np.float32), (np.array([[0, 3], [254, 255]], np.int64), np.uint8)],
)
def test_graph_outputs_have_the_dtype_that_crosses_to_the_board(output: np.ndarray, dtype: type) -> None:
    found = graph_output(segmentation, output, {})
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, output)


def test_an_image_of_a_task_without_pictures_is_refused() -> None:
    task = SimpleNamespace(postprocess=lambda output, options: output)
    with pytest.raises(InputError, match=r"\[16, 24, 3\]"):
        graph_output(task, IMAGE / 255, {})  # type: ignore[arg-type]
