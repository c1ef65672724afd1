"""Tensor specs: static and dynamic shapes, what they admit, and their plain-data form."""

from __future__ import annotations

from typing import Any

import pytest

from edgekd.core.errors import InputError, IntegrityError
from edgekd.core.tensor import DimRange, TensorSpec

STATIC = TensorSpec("x", (1, 3, 8, 8), "float32")
DYNAMIC = TensorSpec("x", ("n", 3, "h", 8), "float16", {"n": DimRange(1, 2, 4)})


def test_static_and_dynamic() -> None:
    assert STATIC.is_static
    assert not DYNAMIC.is_static
    assert TensorSpec("s", (), "int64").is_static


def test_concrete_shapes() -> None:
    ranged = TensorSpec("x", ("n", 3), "float32", {"n": DimRange(1, 2, 4)})
    assert [ranged.at(which) for which in ("min", "opt", "max")] == [(1, 3), (2, 3), (4, 3)]
    with pytest.raises(InputError, match=r"'h' of tensor 'x' is dynamic and has no min/opt/max; give --dim h=SIZE"):
        DYNAMIC.at("opt")


def test_bytes() -> None:
    assert STATIC.nbytes() == 3 * 8 * 8 * 4
    assert TensorSpec("x", ("n", 3), "float16", {"n": DimRange(1, 2, 4)}).nbytes("max") == 24
    assert TensorSpec("s", (), "int64").nbytes() == 8


@pytest.mark.parametrize(
    ("spec", "shape", "admitted"),
    [
        (STATIC, (1, 3, 8, 8), True),
        (STATIC, (1, 3, 8), False),
        (STATIC, (2, 3, 8, 8), False),
        (DYNAMIC, (1, 3, 999, 8), True),
        (DYNAMIC, (4, 3, 1, 8), True),
        (DYNAMIC, (5, 3, 1, 8), False),
        (DYNAMIC, (1, 4, 1, 8), False),
        (TensorSpec("e", (0, 2), "bool"), (0, 2), True),
        (TensorSpec("e", (0, 2), "bool"), (1, 2), False),
        (TensorSpec("s", (), "bool"), (), True),
    ],
)
def test_what_it_admits(spec: TensorSpec, shape: tuple[int, ...], admitted: bool) -> None:
    assert spec.admits(shape) is admitted


@pytest.mark.parametrize("spec", [STATIC, DYNAMIC, TensorSpec("s", (), "string")])
def test_plain_data_round_trip(spec: TensorSpec) -> None:
    assert TensorSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "float33"}, {"dtype": []}, {"name": 3}, {"shape": 3}, {"shape": [None]}, {"shape": [float("inf")]},
        {"ranges": {"n": [1, 2]}}, {"ranges": {"n": [3, 2, 1]}}, {"ranges": 5},
    ],
)  # fmt: skip
def test_data_that_is_no_tensor(change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="is not a tensor: name, shape and dtype were expected"):
        TensorSpec.from_json({**DYNAMIC.to_json(), **change})


@pytest.mark.parametrize("data", [None, [], "x", {}, 3])
def test_data_that_is_not_even_a_table(data: Any) -> None:
    with pytest.raises(IntegrityError):
        TensorSpec.from_json(data)


@pytest.mark.parametrize("bounds", [(0, 1, 2), (2, 1, 3), (1, 3, 2)])
def test_ranges_are_ordered(bounds: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="must satisfy 1 <= min <= opt <= max"):
        DimRange(*bounds)


def test_as_people_read_it() -> None:
    assert str(DYNAMIC) == "x nx3xhx8 float16"
    assert str(TensorSpec("s", (), "int64")) == "s scalar int64"
