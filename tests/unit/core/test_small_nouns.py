"""Numbers as text, the opsets of boards, and the tree of errors."""

from __future__ import annotations

import dataclasses
import inspect
import re

import pytest

from edgekd.core import errors, units
from edgekd.core.target import PowerMode, Target, opset_for


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (units.ms(None), "–"),
        (units.ms(0.1234), "0.123"),
        (units.ms(4.567), "4.57"),
        (units.ms(45.67), "45.7"),
        (units.ms(812.4), "812"),
        (units.mib(None), "–"),
        (units.mib(3 * 1024 * 1024), "3.00"),
        (units.count(None), "–"),
        (units.count(512), "512"),
        (units.count(0), "0"),
        (units.count(1_370_000), "1.37 M"),
        (units.count(22.5e9), "22.5 G"),
        (units.count(-1500), "-1.50 k"),
        (units.count(3e12), "3.00 T"),
        (units.db(None), "–"),
        (units.db(33.456), "33.46"),
        (units.ratio(None), "–"),
        (units.ratio(3.14159), "3.14x"),
        (units.ratio(-0.5), "-0.500x"),
    ],
)
def test_units(text: str, expected: str) -> None:
    assert text == expected


@pytest.mark.parametrize(
    ("release", "opset"),
    [
        *[("7.1", 13), ("8.2.1", 13), ("8.4.1", 17), ("8.6.1", 17), ("9.0.1", 19)],
        *[("10.3.0", 20), ("10.13.3", 20), ("10.16.1", 24), ("11.4.0", 24), ("12.0", 25)],
    ],
)
def test_the_newest_opset_a_release_reads(release: str, opset: int) -> None:
    assert opset_for(release) == opset


def test_the_opset_of_a_board_is_that_of_its_jetpack() -> None:
    board = Target(
        "Board",
        "8.7",
        8,
        625.0,
        8.0,
        68.0,
        0,
        20.0,
        5.0,
        {"15W": PowerMode(8)},
        {"5.1": "8.5.2", "6.2": "10.3.0"},
        "6.2",
        ("here",),
    )
    assert board.opset == 20
    assert dataclasses.replace(board, jetpack="5.1").opset == 17


def test_the_drawn_tree_has_every_error_with_its_exit_code() -> None:
    drawn = {name: int(code) for name, code in re.findall(r"── (\w+)\s+exit (\d)", errors.__doc__ or "")}
    classes = {n: c for n, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.EdgeKDError)}
    assert {name: cls.exit_code for name, cls in classes.items() if name != "EdgeKDError"} == drawn


def test_the_nearest_name_is_offered_only_when_it_is_near() -> None:
    assert errors.nearest("scheem", ["schemes", "exclude_nodes"]) == " (did you mean 'schemes'?)"
    assert errors.nearest("zzz", ["schemes", "exclude_nodes"]) == ""
    assert str(errors.UnknownName.among("pair", "x", [])) == "unknown pair 'x'; there are: none"
