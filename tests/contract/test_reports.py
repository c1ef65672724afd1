"""Every report format: the same two names, and it says what has to be said of any result."""

from __future__ import annotations

import inspect

import pytest

from edgekd.core.family import load, names
from tests.unit.report.example_result import NOTICE, bare, example, pictures

FORMATS = names("report")


@pytest.fixture(params=FORMATS)
def report(request):
    return load("report", request.param)


def test_the_family_has_its_members():
    assert {"html", "markdown", "terminal"} <= set(FORMATS)


def test_it_has_the_names_of_the_family(report):
    assert report.FILE_NAME.startswith("report.")
    assert list(inspect.signature(report.render).parameters)[:2] == ["result", "pictures"]
    assert len({load("report", name).FILE_NAME for name in FORMATS}) == len(FORMATS)


def test_it_names_every_candidate_and_gives_the_notice(report):
    text = report.render(example(), pictures())
    assert all(candidate.name in text for candidate in example().candidates)
    assert NOTICE in text
    assert "33 of 37" in text
    assert "a busy machine" in text
    assert "exported by dynamo" in text


def test_it_stands_a_result_with_one_candidate_and_nothing_else(report):
    text = report.render(bare(), None)
    assert "foreign.onnx" in text
    assert "nan" not in text.lower().split()
    assert "None" not in text.replace("default-src 'none'", "")


def test_the_same_result_gives_the_same_text(report):
    assert report.render(example(), pictures()) == report.render(example(), pictures())
    assert report.render(example(), None).endswith("\n")
