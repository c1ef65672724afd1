"""Feeds are checked by name, dtype and shape; the quick check of static shapes decides as the thorough one does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekd.backends import _feeds
from edgekd.backends._feeds import FeedCheck, check_feeds
from edgekd.core.errors import InputError
from edgekd.core.tensor import DimRange, TensorSpec

STATIC = (TensorSpec("x", (1, 3), "float32"), TensorSpec("n", (), "int64"))
DYNAMIC = (TensorSpec("x", ("batch", 3), "float32", {"batch": DimRange(1, 2, 4)}),)
GOOD: dict[str, Any] = {"x": np.zeros((1, 3), np.float32), "n": np.array(2)}


class Scaled(np.ndarray):
    """A subclass of ndarray: right, but only the thorough check knows."""


@pytest.mark.parametrize("check", [FeedCheck(STATIC), lambda feeds: check_feeds(feeds, STATIC)], ids=["quick", "whole"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": None}, "fed NoneType; an array of float32"),
        ({"x": [[0.0, 0.0, 0.0]]}, "fed list"),
        ({"x": np.zeros((1, 3))}, "fed float64; an array of float32"),
        ({"x": np.zeros((1, 4), np.float32)}, r"fed shape \[1, 4\]"),
        ({"x": np.zeros(3, np.float32)}, r"fed shape \[3\]"),
        ({"n": np.array([2])}, "'n' was fed shape"),
        ({"y": np.zeros(1)}, "unknown input 'y'"),
        ({"X": np.zeros(1)}, "unknown input 'X'"),
    ],
)
def test_wrong_feeds_are_refused_by_both(check: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check({**GOOD, **changes})


@pytest.mark.parametrize("check", [FeedCheck(STATIC), lambda feeds: check_feeds(feeds, STATIC)], ids=["quick", "whole"])
@pytest.mark.parametrize("missing", ["x", "n"])
def test_a_missing_input_is_named(check: Any, missing: str) -> None:
    with pytest.raises(InputError, match=f"'{missing}' was not fed; the engine takes x"):
        check({name: array for name, array in GOOD.items() if name != missing})


def test_an_unknown_input_next_to_a_missing_one_is_a_misspelling() -> None:
    with pytest.raises(InputError, match=r"unknown input 'image'.*did you mean 'images'"):
        check_feeds({"image": np.zeros(1)}, [TensorSpec("images", (1,), "float32")])


def test_correct_feeds_skip_the_thorough_check(monkeypatch: pytest.MonkeyPatch) -> None:
    thorough: list[int] = []
    monkeypatch.setattr(_feeds, "check_feeds", lambda feeds, inputs: thorough.append(1))
    check = FeedCheck(STATIC)
    check(GOOD)
    assert thorough == []
    check({**GOOD, "x": GOOD["x"].view(Scaled)})
    check({**GOOD, "x": GOOD["x"].astype(">f4")})
    assert thorough == [1, 1]


def test_a_subclass_of_ndarray_is_an_array() -> None:
    FeedCheck(STATIC)({**GOOD, "x": GOOD["x"].view(Scaled)})


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_dynamic_shapes_within_their_range(batch: int) -> None:
    FeedCheck(DYNAMIC)({"x": np.zeros((batch, 3), np.float32)})


@pytest.mark.parametrize("batch", [0, 5])
def test_dynamic_shapes_outside_their_range_name_it(batch: int) -> None:
    with pytest.raises(InputError, match=r"batch in 1\.\.4"):
        FeedCheck(DYNAMIC)({"x": np.zeros((batch, 3), np.float32)})


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([b"a"]), np.array(["a"], object)])
def test_strings_of_every_kind(array: np.ndarray) -> None:
    FeedCheck([TensorSpec("words", (1,), "string")])({"words": array})


def test_numbers_are_no_strings() -> None:
    with pytest.raises(InputError, match="fed float64; an array of string"):
        FeedCheck([TensorSpec("words", (1,), "string")])({"words": np.zeros(1)})
