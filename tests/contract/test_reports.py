"""Every report format: what it is read from, that it says what has to be said, and the same for the same."""

from __future__ import annotations

import inspect

import pytest

from edgekd.core.errors import InputError
from edgekd.core.family import load, names
from edgekd.results.gate import Limits, judge_paired
from tests.unit.report.example_result import NOTICE, bare, example, pictures
from tests.unit.results.test_gate import timed

FORMATS = names("report.formats")
OF_RESULTS = [name for name in FORMATS if hasattr(load("report.formats", name), "render")]
OF_VERDICTS = [name for name in FORMATS if hasattr(load("report.formats", name), "render_verdict")]
FOR_PEOPLE = [name for name in OF_RESULTS if not hasattr(load("report.formats", name), "MACHINES_READ")]


@pytest.fixture(params=FOR_PEOPLE)
def report(request):
    return load("report.formats", request.param)


@pytest.fixture(params=[name for name in OF_RESULTS if not hasattr(load("report.formats", name), "ONE_ENGINE")])
def of_result(request):
    return load("report.formats", request.param)


def verdict(name="net <&>::,%\n\x00", **limits):
    candidates = (timed("old", 10.0), timed(name, 12.0, peak_memory_bytes=None))
    asked = {"latency": 0.03, "engine_size": 0.0, "peak_memory": 0.05, **limits}
    return judge_paired(example(candidates=candidates), name, "old", Limits(**asked))


def test_the_family_has_its_members():
    assert {"html", "markdown", "terminal"} <= set(FOR_PEOPLE)
    assert set(OF_RESULTS) | set(OF_VERDICTS) == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_it_has_the_names_of_the_family(name):
    module = load("report.formats", name)
    if hasattr(module, "render"):
        assert module.FILE_NAME.startswith("report.")
        assert list(inspect.signature(module.render).parameters)[:2] == ["result", "pictures"]
    if hasattr(module, "render_verdict"):
        assert next(iter(inspect.signature(module.render_verdict).parameters)) in ("verdict", "verdict_")
    assert len({load("report.formats", name).FILE_NAME for name in FORMATS}) == len(FORMATS)


@pytest.mark.parametrize("name", OF_VERDICTS)
def test_a_verdict_names_what_regressed_and_what_is_open(name):
    text = load("report.formats", name).render_verdict(verdict())
    flat = " ".join(text.split())
    assert "latency" in flat
    assert "memory" in flat
    assert "20." in flat  # by how much
    assert "\x00" not in text
    assert text.endswith("\n")
    assert text == load("report.formats", name).render_verdict(verdict())
    assert load("report.formats", name).render_verdict(verdict(latency=0.5, peak_memory=None))


def test_a_machines_format_names_every_candidate(of_result):
    text = of_result.render(example(), None)
    assert all(candidate.name in text.lower() for candidate in example().candidates)
    assert text == of_result.render(example(), None)
    assert of_result.render(bare(), None).endswith("\n")


@pytest.mark.parametrize("name", [name for name in OF_RESULTS if hasattr(load("report.formats", name), "ONE_ENGINE")])
def test_a_format_of_one_engine_refuses_several(name):
    with pytest.raises(InputError, match=r"holds one engine, .* name one with --candidate"):
        load("report.formats", name).render(example(), None)
    assert hasattr(load("report.formats", name), "MACHINES_READ")


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
