"""The examples that are shipped: recorded results, each answered with the exit code that it is to show."""

from __future__ import annotations

import pytest

from benchmarks.gate_examples import EXAMPLES, FOLDER, words
from edgekd.cli import _run as edgekd


@pytest.mark.parametrize(("name", "code"), [(name, code) for name, (code, *_) in EXAMPLES.items()])
def test_an_example_is_answered_as_it_says(name, code, capsys):
    assert edgekd(words(name)) == code
    said = capsys.readouterr()
    assert {0: "pass: ", 1: "regress: ", 4: "inconclusive: ", 5: "unlike conditions"}[code] in said.out + said.err


def test_all_four_codes_have_an_example_and_nothing_else_lies_there():
    assert sorted(code for code, *_ in EXAMPLES.values()) == [0, 1, 4, 5]
    assert {path.name for path in FOLDER.iterdir()} == {
        "limits.toml",
        "accepted.json",
        *(f"{name}.json" for name in EXAMPLES),
    }
