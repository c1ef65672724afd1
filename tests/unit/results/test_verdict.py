"""Verdicts: what checks add up to, and the file that keeps one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgekd.core.artifact import read_artifact
from edgekd.core.errors import InputError, IntegrityError
from edgekd.results import verdict as module
from edgekd.results.gate import Limits, Verdict, judge_paired, publish_verdict, read_verdict
from edgekd.results.result import NodeTime
from tests.unit.core import mutate
from tests.unit.report.example_result import example
from tests.unit.results.timed_candidates import paired, timed

LIMITS = Limits(latency=0.03, engine_size=0.0, accuracy=0.1, energy=0.1)


def slower() -> Verdict:
    """Judge an engine that is slower, with a profile that shows where, and without energy."""
    old = timed("old", 10.0, nodes=(NodeTime("conv", "Conv", 1.0, 0.1), NodeTime("relu", "Relu", 0.5)))
    new = timed("new", 13.0, nodes=(NodeTime("conv", "Conv", 4.0, 0.1), NodeTime("fused", "", 0.5)))
    result = example(candidates=(old, new), energy_unavailable="no sensor")
    return judge_paired(result, "new", "old", LIMITS)


def of(*statuses: str) -> Verdict:
    """Make a verdict of checks with these statuses."""
    check = paired(10.0).checks[0]
    return Verdict("t", "paired", tuple(replace(check, status=status) for status in statuses))


@pytest.mark.parametrize(
    ("statuses", "status", "code"),
    [
        (("pass", "pass"), "pass", 0),
        (("pass", "inconclusive"), "inconclusive", 4),
        (("inconclusive", "regress", "pass"), "regress", 1),
    ],
)
def test_the_status_is_the_worst_of_all_checks(statuses, status, code):
    assert (of(*statuses).status, of(*statuses).exit_code) == (status, code)


def test_processes_needed_are_the_most_of_all_checks():
    check = replace(paired(10.0).checks[0], status="inconclusive")
    needed = [replace(check, processes_needed=count) for count in (9, None, 40)]
    assert Verdict("t", "paired", tuple(needed)).processes_needed == 40
    assert Verdict("t", "paired", (needed[1],)).processes_needed is None


def test_only_times_that_regressed_make_a_candidate_slower():
    check = replace(paired(11.0).checks[0], candidate="a")
    checks = (
        check,
        replace(check, metric="throughput"),
        replace(check, candidate="b", metric="engine_size"),
        replace(check, candidate="c", status="inconclusive"),
        replace(check, candidate="d", metric="latency_p99"),
    )
    assert Verdict("t", "paired", checks).slower == ("a", "d")


def test_the_file_begins_with_schema_and_status(tmp_path):
    data = json.loads(slower().to_json())
    assert list(data)[:4] == ["schema", "status", "processes_needed", "title"]
    assert (data["schema"], data["status"], len(data["checks"])) == (1, "regress", 4)
    assert data["layer_diffs"][0]["changes"][0]["name"] == "conv"


@pytest.mark.parametrize("verdict", [slower(), of("pass"), of("inconclusive", "pass")])
def test_a_published_verdict_reads_back(tmp_path, verdict):
    path = tmp_path / "verdict.json"
    parents = ("a" * 64, "b" * 64)
    artifact = publish_verdict(verdict, path, parents)
    assert read_verdict(path) == verdict
    assert read_artifact(path) == artifact
    assert (artifact.kind, artifact.made_by.stage, artifact.made_by.parents_sha256) == ("verdict", "gate", parents)
    assert artifact.facts["status"] == verdict.status


def test_other_limits_are_another_provenance(tmp_path):
    made = []
    for name, limit in (("one", 0.03), ("other", 0.04), ("again", 0.03)):
        made.append(publish_verdict(paired(10.0, Limits(latency=limit)), tmp_path / name, ("a" * 64,)).made_by)
    assert made[0] == made[2] != made[1]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        publish_verdict(of("pass"), tmp_path / "file" / "verdict.json", ())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": 2}, "has schema 2"),
        ({"schema": True}, "has schema True"),
        ({"checks": []}, "no check"),
        ({"mode": "guessed"}, "verdict.mode = 'guessed'"),
        ({"title": 3}, r"verdict.title = 3 \(int\)"),
        ({"surplus": 1}, "verdict.surplus"),
        ({"status": "pass"}, "add up to 'regress'"),
        ({"status": None}, "add up to 'regress'"),
    ],
)
def test_a_file_that_is_no_verdict(tmp_path, changes, says):
    path = tmp_path / "verdict.json"
    path.write_text(json.dumps({**json.loads(slower().to_json()), **changes}))
    with pytest.raises(IntegrityError, match=says):
        read_verdict(path)


@pytest.mark.parametrize("text", ["", "[]", "3", '{"title": "t"}'])
def test_a_file_without_a_schema(tmp_path, text):
    (tmp_path / "verdict.json").write_text(text)
    with pytest.raises(IntegrityError):
        read_verdict(tmp_path / "verdict.json")


def test_damaged_verdicts_are_refused_or_sound(tmp_path):
    path = tmp_path / "verdict.json"
    refused = 0
    for text in mutate.values(json.loads(slower().to_json()), 200, seed=7):
        path.write_text(text)
        try:
            verdict = read_verdict(path)
        except IntegrityError:
            refused += 1
            continue
        assert verdict.status in ("pass", "regress", "inconclusive")
        assert json.loads(verdict.to_json())["checks"]
    assert 0 < refused < 200


def test_notebooks_show_a_verdict_as_html(monkeypatch):
    class Notebook:
        @staticmethod
        def verdict_html(verdict):
            return f"<b>{verdict.status}</b>"

    monkeypatch.setattr(module, "load_module", lambda name: {"edgekd.report.notebook": Notebook}[name])
    assert slower()._repr_html_() == "<b>regress</b>"
