"""Every report format: its names, that it shows what must be shown, and the same text for the same result."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from edgekd import cli
from edgekd.core.errors import InputError, UnknownName
from edgekd.core.family import load, names
from edgekd.report.format import (
    FAMILY,
    MachineFormat,
    ResultFormat,
    SingleEngineFormat,
    VerdictFormat,
    result_format,
    result_formats,
    verdict_format,
    verdict_formats,
)
from edgekd.results.gate import judge_recorded, publish_verdict
from tests.contract.new_member import new_member
from tests.unit.report.example_result import CAVEAT, bare, example, previews
from tests.unit.report.example_verdict import verdict
from tests.unit.results.timed_candidates import LATENCY, NEW_NODES, OLD_NODES, beside, timed

FORMATS = names(FAMILY)
RESULTS = result_formats()
VERDICTS = verdict_formats()
PEOPLE = [name for name in RESULTS if not isinstance(load(FAMILY, name), MachineFormat)]
SINGLE = [name for name in RESULTS if isinstance(load(FAMILY, name), SingleEngineFormat)]


def check_result_format(module: ResultFormat) -> None:
    """The contract of a format that shows several candidates."""
    text = module.render(example(), previews())
    assert all(candidate.name in text.lower() for candidate in example().candidates)
    assert text == module.render(example(), previews())
    assert module.render(example(), None).endswith("\n")
    assert module.render(bare(), None).endswith("\n")
    assert list(inspect.signature(module.render).parameters)[:2] == ["result", "previews"]


def check_verdict_format(module: VerdictFormat) -> None:
    """The contract of a format that shows a verdict."""
    assert next(iter(inspect.signature(module.render_verdict).parameters)) == "verdict"
    text = module.render_verdict(verdict())
    flat = " ".join(text.split())
    assert "latency" in flat
    assert "memory" in flat
    assert f"{100 * verdict().checks[0].change:.1f} %" in flat
    assert "\x00" not in text
    assert text.endswith("\n")
    assert text == module.render_verdict(verdict())
    assert module.render_verdict(verdict(latency=0.5, peak_memory=None))


@pytest.mark.parametrize("name", FORMATS)
def test_every_member_shows_something(name):
    assert isinstance(load(FAMILY, name), (ResultFormat, VerdictFormat))
    assert name in {*RESULTS, *VERDICTS}


def test_file_names_are_unique():
    assert len({load(FAMILY, name).FILE_NAME for name in FORMATS}) == len(FORMATS)


@pytest.mark.parametrize("name", VERDICTS)
def test_a_verdict_format_keeps_its_contract(name):
    check_verdict_format(verdict_format(name))


@pytest.mark.parametrize("name", VERDICTS)
def test_a_verdict_format_names_the_nodes_of_a_regression_or_the_reason(name):
    render = verdict_format(name).render_verdict
    accepted, new = (beside(timed("net", ms, nodes=nodes)) for ms, nodes in ((10.0, OLD_NODES), (13.0, NEW_NODES)))
    text = " ".join(render(judge_recorded(new, accepted, LATENCY)).split())
    assert "+3.00" in text
    assert "97 %" in text
    without = judge_recorded(beside(timed("net", 13.0)), accepted, LATENCY)
    assert "no profile of the new engine" in " ".join(render(without).split())


@pytest.mark.parametrize("name", [name for name in RESULTS if name not in SINGLE])
def test_a_result_format_keeps_its_contract(name):
    check_result_format(result_format(name))


@pytest.mark.parametrize("name", SINGLE)
def test_a_format_of_one_engine_refuses_several(name):
    with pytest.raises(InputError, match="--candidate"):
        result_format(name).render(example(), None)
    assert isinstance(load(FAMILY, name), MachineFormat)


@pytest.mark.parametrize("name", PEOPLE)
def test_a_format_for_people_shows_every_text_of_the_result(name):
    text = result_format(name).render(example(), previews())
    assert all(candidate.name in text for candidate in example().candidates)
    assert CAVEAT in text
    assert "33 of 37" in text
    assert "a busy machine" in text
    assert "exported by dynamo" in text


@pytest.mark.parametrize("name", PEOPLE)
def test_a_format_for_people_shows_a_result_with_one_candidate_and_nothing_else(name):
    text = result_format(name).render(bare(), None)
    assert "foreign.onnx" in text
    assert "nan" not in text.lower().split()
    assert "None" not in text.replace("default-src 'none'", "")


def test_a_format_is_found_by_what_it_shows():
    only_verdicts = sorted(set(VERDICTS) - set(RESULTS))
    only_results = sorted(set(RESULTS) - set(VERDICTS))
    for name in only_verdicts:
        with pytest.raises(UnknownName, match=f"format of a result {name!r}"):
            result_format(name)
    for name in only_results:
        with pytest.raises(UnknownName, match=f"format of a verdict {name!r}"):
            verdict_format(name)


def test_an_unknown_format_is_answered_with_the_known_ones():
    with pytest.raises(UnknownName) as refused:
        result_format("pdf")
    assert all(name in str(refused.value) for name in RESULTS)
    with pytest.raises(UnknownName):
        verdict_format("../terminal")


NEW_RESULT_FORMAT = '''
"""A result's names only, for a test."""

FILE_NAME = "report.names"


def render(result, previews=None):
    """Return one name a line."""
    return "".join(f"{candidate.name}\\n" for candidate in result.candidates)
'''
NEW_VERDICT_FORMAT = '''
"""A verdict's checks only, for a test."""

FILE_NAME = "gate.checks"


def render_verdict(verdict):
    """Return one check a line."""
    lines = [f"{check.metric} {check.status} {100 * (check.change or 0):.1f} %\\n" for check in verdict.checks]
    return "".join(lines)
'''


def test_one_file_adds_a_format_of_results(tmp_path: Path) -> None:
    with new_member(FAMILY, "names_only", NEW_RESULT_FORMAT, tmp_path):
        assert names(FAMILY) == sorted([*FORMATS, "names_only"])
        assert result_formats() == sorted([*RESULTS, "names_only"])
        assert verdict_formats() == VERDICTS
        check_result_format(result_format("names_only"))
        assert not isinstance(load(FAMILY, "names_only"), MachineFormat)
        with pytest.raises(UnknownName, match="format of a verdict 'names_only'"):
            verdict_format("names_only")
    assert names(FAMILY) == FORMATS


def test_one_file_adds_a_format_of_verdicts(tmp_path: Path) -> None:
    with new_member(FAMILY, "checks_only", NEW_VERDICT_FORMAT, tmp_path):
        assert verdict_formats() == sorted([*VERDICTS, "checks_only"])
        assert result_formats() == RESULTS
        check_verdict_format(verdict_format("checks_only"))
        with pytest.raises(UnknownName, match="format of a result 'checks_only'"):
            result_format("checks_only")
    assert names(FAMILY) == FORMATS


def test_the_command_line_writes_new_formats(tmp_path: Path) -> None:
    code, result, judged = tmp_path / "code", tmp_path / "result.json", tmp_path / "verdict.json"
    code.mkdir()
    result.write_text(example().to_json(), encoding="utf-8")
    publish_verdict(verdict(), judged, ())
    for name, source, file in (
        ("names_only", NEW_RESULT_FORMAT, result),
        ("checks_only", NEW_VERDICT_FORMAT, judged),
    ):
        with new_member(FAMILY, name, source, code):
            assert cli._run(["report", str(file), "--report", f"{name}={tmp_path / name}"]) == 0
    assert (tmp_path / "names_only").read_text() == "".join(f"{row.name}\n" for row in example().candidates)
    assert len((tmp_path / "checks_only").read_text().splitlines()) == len(verdict().checks)
