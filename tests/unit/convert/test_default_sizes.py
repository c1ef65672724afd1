"""Default sizes of dynamic dimensions: the likeliest first, given ones unchanged."""

from __future__ import annotations

import pytest

from edgekd.convert._default_sizes import candidate_sizes
from edgekd.core.tensor import TensorSpec


def tensor(*shape: int | str, name: str = "x") -> TensorSpec:
    return TensorSpec(name, shape, "float32")


def candidates(inputs: list[TensorSpec], dims: dict[str, int] | None = None) -> list[dict[str, int]]:
    names = list(dict.fromkeys(dim for spec in inputs for dim in spec.shape if isinstance(dim, str)))
    return list(candidate_sizes(inputs, names, dims or {}))


def test_a_static_network_has_one_candidate() -> None:
    assert candidates([tensor(1, 3, 8, 8)]) == [{}]


@pytest.mark.parametrize(
    ("shape", "first"),
    [
        (("n", 3, "h", "w"), {"n": 1, "h": 224, "w": 224}),
        (("n", "h", "w", 3), {"n": 1, "h": 224, "w": 224}),
        (("n", "c", 32, 32), {"n": 1, "c": 3}),
        ((1, "time"), {"time": 512}),
        ((16, "the_batch", 4), {"the_batch": 1}),
    ],
)
def test_the_likeliest_sizes_come_first(shape: tuple[int | str, ...], first: dict[str, int]) -> None:
    assert candidates([tensor(*shape)])[0] == first


def test_colour_is_tried_before_grey() -> None:
    assert candidates([tensor("n", "c", 32, 32)]) == [{"n": 1, "c": 3}, {"n": 1, "c": 1}]


def test_a_batch_alone_has_nothing_else_to_try() -> None:
    assert candidates([tensor("n", 3, 32, 32)]) == [{"n": 1}]


def test_heights_and_widths_change_together() -> None:
    found = candidates([tensor(1, 3, "h", "w")])
    assert all(sizes["h"] == sizes["w"] for sizes in found)
    assert {sizes["h"] for sizes in found} == {224, 256, 320, 512, 640, 64, 32}


def test_given_sizes_stay_and_the_others_vary() -> None:
    found = candidates([tensor("n", 3, "h", "w")], {"h": 48, "n": 4})
    assert {(sizes["n"], sizes["h"]) for sizes in found} == {(4, 48)}
    assert len({sizes["w"] for sizes in found}) > 5
    assert candidates([tensor("n", 3, "h", "w")], {"n": 4, "h": 48, "w": 50}) == [{"n": 4, "h": 48, "w": 50}]


def test_a_recurrent_state_has_its_batch_second() -> None:
    assert candidates([tensor("layers", "b", 64, name="state"), tensor("n", "length")])[0]["b"] == 1
    assert candidates([tensor("layers", "b", 64, name="other")])[0]["b"] == 512


def test_the_first_input_decides_what_a_shared_dimension_is() -> None:
    shared = [tensor("n", "t"), tensor("t", 4, name="mask")]
    assert candidates(shared)[0]["t"] == 512
    assert candidates(shared[::-1])[0]["t"] == 1
