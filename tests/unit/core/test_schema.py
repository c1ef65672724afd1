"""The strict reader of plain data: every message names the key, the value, and what was expected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from edgekd.core.errors import RecipeError
from edgekd.core.schema import parse, to_plain


@dataclass(frozen=True, slots=True)
class Inner:
    size: int
    rate: float = 0.5


@dataclass(frozen=True, slots=True)
class Outer:
    name: str = "n"
    flag: bool = False
    inner: Inner = Inner(1)
    maybe: Inner | None = None
    path: str | None = None
    kind: Literal["fp32", "bf16"] = "fp32"
    shape: tuple[int | str, ...] = ()
    three: tuple[int, int, int] = (1, 2, 3)
    ranges: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def test_defaults_and_every_kind_of_value() -> None:
    assert parse(Outer, {}, "recipe") == Outer()
    table = {
        "name": "a", "flag": True, "inner": {"size": 3, "rate": 2}, "maybe": {"size": 4}, "path": "p", "kind": "bf16",
        "shape": ["n", 3], "three": [4, 5, 6], "ranges": {"n": [1, 2, 3]}, "options": {"deep": [{}]},
    }  # fmt: skip
    outer = parse(Outer, table, "recipe")
    assert outer.inner == Inner(3, 2.0)
    assert isinstance(outer.inner.rate, float)
    assert (outer.maybe, outer.shape, outer.ranges) == (Inner(4), ("n", 3), {"n": (1, 2, 3)})
    assert parse(Outer, to_plain(outer), "recipe") == outer


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"nam": "x"}, "unknown key recipe.nam (did you mean 'name'?); [recipe] takes name, flag,"),
        ({"zzz": 1}, "unknown key recipe.zzz; [recipe] takes"),
        ({"name": 5}, "recipe.name = 5 (int); a string was expected"),
        ({"flag": 1}, "recipe.flag = 1 (int); true or false was expected"),
        ({"inner": {"size": True}}, "recipe.inner.size = True (bool); an integer was expected"),
        ({"inner": {"size": 1.0}}, "recipe.inner.size = 1.0 (float); an integer was expected"),
        ({"inner": {"size": 1, "rate": "2"}}, "recipe.inner.rate = '2' (str); a number was expected"),
        ({"inner": {"size": 1, "rate": True}}, "recipe.inner.rate = True (bool); a number was expected"),
        ({"inner": {}}, "recipe.inner.size is missing; [recipe.inner] needs it"),
        ({"inner": 3}, "recipe.inner is 3 (int); a table was expected: [recipe.inner]"),
        ({"path": 3}, "recipe.path = 3 (int); a string was expected"),
        ({"kind": "bf61"}, "recipe.kind = 'bf61' (str) (did you mean 'bf16'?); one of 'fp32', 'bf16' was expected"),
        ({"kind": True}, "recipe.kind = True (bool)"),
        ({"shape": 3}, "recipe.shape = 3 (int); a list was expected"),
        ({"shape": [1, 2.5]}, "recipe.shape[1] = 2.5 (float); an integer or a string was expected"),
        ({"three": [1, 2]}, "recipe.three has 2 items, 3 were expected"),
        ({"ranges": [1]}, "recipe.ranges = [1] (list); a table was expected"),
        ({"ranges": {"n": [1, 2]}}, "recipe.ranges.n has 2 items, 3 were expected"),
        ({"name": ["y" * 100]}, "… (list); a string was expected"),
        (7, "recipe is 7 (int); a table was expected"),
    ],
)
def test_a_wrong_value_names_its_key(table: Any, says: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(says)):
        parse(Outer, table, "recipe")


def test_a_wrong_key_in_an_optional_table_is_named() -> None:
    with pytest.raises(RecipeError, match=r"recipe\.maybe\.sise"):
        parse(Outer, {"maybe": {"sise": 1}}, "recipe")


def test_an_integer_too_large_for_a_number() -> None:
    with pytest.raises(RecipeError, match=r"recipe\.inner\.rate"):
        parse(Outer, {"inner": {"size": 1, "rate": 10**400}}, "recipe")
