"""Sections of a recipe: defaults, and the bounds of each value."""

from __future__ import annotations

import dataclasses

import pytest

from edgekd.core.config import (
    AdaptConfig,
    BenchConfig,
    BuildConfig,
    ExportConfig,
    SimplifyConfig,
    TrainConfig,
)
from edgekd.core.errors import RecipeError
from edgekd.core.recipe import recipe_from
from edgekd.core.schema import to_plain

INFINITY = float("inf")


@pytest.mark.parametrize(
    ("section", "field", "good", "bad"),
    [
        (AdaptConfig, "steps", 1, 0),
        (BenchConfig, "block_ms", 0, -0.1),
        (BenchConfig, "ci_half_width", 0, -1),
        (BenchConfig, "energy_s", 3600, 3601),
        (BenchConfig, "max_background_load", 1.0, 1.01),
        (BenchConfig, "processes", 1000, 0),
        (BenchConfig, "warmup_ms", 0, INFINITY),
        (BuildConfig, "threads", 0, -1),
        (ExportConfig, "opset", 0, 65),
        (ExportConfig, "tolerance", 1.0, float("nan")),
        (SimplifyConfig, "tolerance", 0.0, 2.0),
        (TrainConfig, "batch_size", 1, 0),
        (TrainConfig, "ema", 0.999, 1.0),
        (TrainConfig, "gradient_clip", 1.0, 0.0),
        (TrainConfig, "learning_rate", 10, 11),
        (TrainConfig, "workers", 256, 257),
    ],
)
def test_a_value_out_of_bounds_is_named(section: type, field: str, good: float, bad: float) -> None:
    assert getattr(section(**{field: good}), field) == good
    with pytest.raises(RecipeError, match=rf"^{field} = {bad!r}"):
        section(**{field: bad})


def test_the_recipe_s_message_names_the_section() -> None:
    with pytest.raises(RecipeError, match=r"recipe\.distill\.student\.ema = 1\.0"):
        recipe_from({"distill": {"student": {"ema": 1.0}}})


@pytest.mark.parametrize("shape", [(0, 3), ("n", -1)])
def test_a_shape_has_sizes_of_1_or_more(shape: tuple[int | str, ...]) -> None:
    with pytest.raises(RecipeError, match="shape = "):
        ExportConfig(shape=shape)


def test_streams_need_the_offline_scenario() -> None:
    assert BenchConfig(streams=4, scenario="offline").streams == 4
    with pytest.raises(RecipeError, match=r"streams = 4 .*offline"):
        BenchConfig(streams=4)


def test_background_load_is_unlimited_by_default() -> None:
    assert BenchConfig().max_background_load is None
    assert BenchConfig(max_background_load=0.0).max_background_load == 0.0


def test_adaptation_changes_fields_that_training_has() -> None:
    """Fine-tuning has no ground truth to select a checkpoint by."""
    changes = AdaptConfig(steps=9).changes()
    assert (changes["steps"], changes["checkpoint_selection"]) == (9, "last")
    assert dataclasses.replace(TrainConfig(checkpoint_selection="best"), **changes).checkpoint_selection == "last"


@pytest.mark.parametrize("section", ["pair", "data", "distill", "export", "simplify", "build", "bench"])
def test_a_section_survives_plain_data(section: str) -> None:
    recipe = recipe_from({"pair": {"task": "classification"}, "export": {"shape": ["n", 3, 8, 8]}})
    plain = to_plain(getattr(recipe, section))
    assert getattr(recipe_from({section: plain}), section) == getattr(recipe, section)
