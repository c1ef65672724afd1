"""What every task must do. A task's unit test runs ``CHECKS`` with an example of its own; so may a task of any user."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from edgekd.bench import accuracy
from edgekd.core.errors import InputError
from edgekd.core.family import names
from edgekd.core.protocols import (
    Array,
    Degrades,
    HasAgreementMetric,
    HasBaseline,
    HasLegend,
    Labels,
    Pictures,
    Summarizes,
    Task,
    Tileable,
)
from edgekd.core.tensor import TensorSpec
from edgekd.distill.method import criterion_named


@dataclass(frozen=True)
class Example:
    """One image of a task, and the network outputs that a test needs.

    Attributes:
        task: The task's module.
        options: A recipe's ``[task]``.
        invalid: An option, and a value that the task must refuse.
        image, target: As a layout's ``validation`` yields them.
        wrong_target: Another ground truth of the same shape and dtype.
        network_output: Target → what a perfect network outputs, without its batch axis.
        size: (height, width) of a network's input, pixels.
    """

    task: Task
    options: Mapping[str, Any]
    invalid: tuple[str, Any]
    image: Array
    target: Array
    wrong_target: Array
    network_output: Callable[[Array], Array]
    size: tuple[int, int] = (32, 48)

    def fitted(self) -> tuple[Array, Array]:
        """The image and its target at the network's size."""
        image, target = self.task.fit(self.image, self.target, self.size, self.options)
        assert target is not None
        return image, target

    def outputs(self) -> tuple[Array, Array]:
        """The postprocessed outputs of a perfect network and of a wrong one."""
        _, right = self.fitted()
        _, wrong = self.task.fit(self.image, self.wrong_target, self.size, self.options)
        return self._postprocessed(right), self._postprocessed(wrong)

    def _postprocessed(self, target: Array) -> Array:
        output: Array = self.task.postprocess(self.network_output(target), self.options)
        return output


def photo(seed: int = 0, height: int = 96, width: int = 128) -> np.ndarray:
    """Return random pixels, (height, width, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def check_names(task: Task) -> None:
    """The task has what ``protocols.Task`` requires, and its capabilities fit together."""
    assert task.METRICS
    assert task.PRIMARY in task.METRICS
    for function in ("fit", "preprocess", "postprocess", "metric"):
        assert callable(getattr(task, function))
    criterion_named(task.CRITERION)  # raises for a loss that edgekd does not have
    assert task.LAYOUT in names("datasets.layouts")
    assert isinstance(task, (Pictures, Labels))
    if isinstance(task, HasBaseline):
        assert task.BASELINE
    if isinstance(task, HasAgreementMetric):
        assert task.AGREES_BY in task.METRICS
    if isinstance(task, Tileable):
        # Tiles are joined as images, and a tile must be what ``fit`` would give of a whole image: its own size.
        assert isinstance(task, Pictures)
        assert isinstance(task, Degrades)
        assert task.TILE_OVERLAP > 0


def check_invalid_option_is_named(example: Example) -> None:
    key, value = example.invalid
    options = {**example.options, key: value}
    image = example.image

    def use() -> None:
        fitted, _ = example.task.fit(image, None, None, options)
        example.task.postprocess(example.task.preprocess(fitted, options), options)

    with pytest.raises(InputError, match=rf"task\.{key} = "):
        use()


def check_fit_gives_the_network_its_size(example: Example) -> None:
    fitted, target = example.fitted()
    assert fitted.shape == (*example.size, 3)
    assert fitted.dtype == np.uint8
    assert target.dtype == example.target.dtype
    without_target = example.task.fit(example.image, None, example.size, example.options)
    assert without_target[1] is None
    np.testing.assert_array_equal(without_target[0], fitted)


def check_fit_without_a_size_gives_what_preprocess_takes(example: Example) -> None:
    whole, _ = example.task.fit(example.image, example.target, None, example.options)
    assert whole.dtype == np.uint8
    assert np.isfinite(example.task.preprocess(whole, example.options)).all()


def check_preprocess_is_repeatable_and_leaves_the_image_alone(example: Example) -> None:
    fitted, _ = example.fitted()
    before = fitted.copy()
    found = example.task.preprocess(fitted, example.options)
    assert found.dtype == np.float32
    assert found.shape[1:] == example.size
    assert found.flags["C_CONTIGUOUS"]
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(fitted, before)
    np.testing.assert_array_equal(found, example.task.preprocess(fitted, example.options))


def check_metric_prefers_the_right_output(example: Example) -> None:
    _, target = example.fitted()
    right, wrong = (example.task.metric(output, target, example.options) for output in example.outputs())
    assert set(right) <= set(example.task.METRICS)
    assert all(math.isfinite(value) for value in (*right.values(), *wrong.values()))
    assert right[example.task.PRIMARY] > wrong[example.task.PRIMARY]


def check_a_set_is_scored_by_all_metrics(example: Example) -> None:
    task, options = example.task, example.options
    _, target = example.fitted()
    right, wrong = example.outputs()
    metrics = set(task.metric(right, target, options))
    if isinstance(task, Summarizes):
        perfect, mixed = (task.summarize([right, other], [target, target], options) for other in (right, wrong))
        assert all(mixed[metric] < perfect[metric] for metric in perfect)
        metrics |= set(perfect)
    assert metrics == set(task.METRICS)


def check_output_has_a_picture_or_a_label(example: Example) -> None:
    right, wrong = example.outputs()
    if isinstance(example.task, Pictures):
        picture = example.task.picture(right, example.options)
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
        assert not np.array_equal(picture, example.task.picture(wrong, example.options))
    else:
        assert isinstance(example.task, Labels)
        names = example.task.class_names(example.options)
        assert names[int(example.target)] in example.task.label(right, example.options)
        assert len(set(names)) == len(names)


def check_legend_has_a_colour_per_class(example: Example) -> None:
    if not isinstance(example.task, HasLegend):
        return
    assert isinstance(example.task, Pictures)
    legend = example.task.legend(example.options)
    colours = {colour for _, colour in legend}
    assert len(colours) == len(legend)
    picture = example.task.picture(example.outputs()[0], example.options)
    assert {tuple(colour) for colour in picture.reshape(-1, 3).tolist()} <= colours


def check_baseline_has_the_shape_of_the_target(example: Example) -> None:
    if not isinstance(example.task, HasBaseline):
        return
    fitted, target = example.fitted()
    found = example.task.baseline(fitted, example.options)
    assert found.shape == target.shape
    assert found.dtype == np.float32


def check_degraded_image_and_target_belong_together(example: Example) -> None:
    if not isinstance(example.task, Degrades):
        return
    image, target = example.task.degrade(photo(5), example.options)
    assert image.dtype == target.dtype == np.uint8
    fitted, fitted_target = example.task.fit(image, target, example.size, example.options)
    assert fitted.shape == (*example.size, 3)
    assert fitted_target is not None


def check_bench_scores_an_engine(example: Example) -> None:
    """An engine of this task is scored by ``edgekd bench``, which knows tasks by their protocols alone."""
    image, target = example.fitted()
    feed = example.task.preprocess(image, example.options)[None]
    session = _PerfectSession(feed, example.network_output(target))
    output = accuracy.answer(session, {"input": feed}, example.task, example.options)
    score = accuracy.score([output], [target], example.task, example.options)
    assert set(score.overall) == set(example.task.METRICS)
    right, _ = example.outputs()
    assert score.overall[example.task.PRIMARY] == pytest.approx(
        example.task.metric(right, target, example.options)[example.task.PRIMARY]
    )


def check_bench_compares_two_engines(example: Example) -> None:
    """Without ground truth, one engine's outputs are compared with another's."""
    right, wrong = example.outputs()
    same, different = (_agreement(output, right, example) for output in (right, wrong))
    for metric, value in same.overall.items():
        assert metric.startswith("agreement_")
        assert value > different.overall[metric]


def _agreement(output: Array, reference: Array, example: Example) -> accuracy.Accuracy:
    scorer = accuracy.Scorer(example.task, example.options, agreement=True)
    scorer.add(output, accuracy.as_target(reference, example.task, example.options))
    return scorer.result()


class _PerfectSession:
    """An open engine that knows the output of one feed."""

    def __init__(self, feed: Array, output: Array) -> None:
        self._output = np.asarray(output)[None]
        self.inputs = (TensorSpec("input", feed.shape, "float32"),)
        self.outputs = (TensorSpec("output", self._output.shape, "float32"),)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        assert self.inputs[0].admits(feeds["input"].shape)
        return {"output": self._output}

    def close(self) -> None:
        """Nothing is held."""


CHECKS: tuple[Callable[[Example], None], ...] = (
    check_invalid_option_is_named,
    check_fit_gives_the_network_its_size,
    check_fit_without_a_size_gives_what_preprocess_takes,
    check_preprocess_is_repeatable_and_leaves_the_image_alone,
    check_metric_prefers_the_right_output,
    check_a_set_is_scored_by_all_metrics,
    check_output_has_a_picture_or_a_label,
    check_legend_has_a_colour_per_class,
    check_baseline_has_the_shape_of_the_target,
    check_degraded_image_and_target_belong_together,
    check_bench_scores_an_engine,
    check_bench_compares_two_engines,
)
