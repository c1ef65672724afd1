"""Formats that other tools read: parsed as they parse them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from edgekd.report.formats import action_benchmark, bencher, benchstat, github, junit, sarif
from edgekd.report.gate_table import check_line
from edgekd.results.gate import Check
from tests.contract.test_reports import verdict
from tests.unit.report.example_result import example
from tests.unit.results.test_gate import timed

HOSTILE = "net <&>::,% "


def test_junit_has_a_case_a_check():
    suite = ElementTree.fromstring(junit.render_verdict(verdict()))
    assert {key: suite.get(key) for key in ("tests", "failures", "skipped", "errors")} == {
        "tests": "3", "failures": "1", "skipped": "1", "errors": "0",
    }  # fmt: skip
    cases = {case.get("name"): case for case in suite}
    assert [child.tag for child in cases["latency"]] == ["failure"]
    assert "latency is worse by 19" in cases["latency"][0].get("message")
    assert [child.tag for child in cases["peak_memory"]] == ["skipped"]
    assert list(cases["engine_size"]) == []
    assert cases["latency"].get("classname").strip() == HOSTILE.strip()


def test_a_change_has_its_interval_with_one_unit():
    latency, accuracy = Check("net", "latency", 1.0, 1.2, 0.2, 0.1, 0.314, 0.001, 0.03, "regress"), 0.25
    assert "worse by 20.0 % (10.0 to 31.4 %), 3.0 % is allowed (1.00 to 1.20)" in check_line(latency)
    exact = replace(latency, metric="accuracy", change=accuracy, low=accuracy, high=accuracy)
    assert "worse by 0.25, 0.03 is allowed" in check_line(exact)


def test_github_commands_are_one_line_each_and_escaped():
    first, second, last = github.render_verdict(verdict()).splitlines()
    assert re.fullmatch(r"::error title=[^:,\n]*%3A latency::.*is worse by 19.*", first)
    assert second.startswith("::warning title=")
    assert last.startswith("::notice title=edgekd gate::regress%3A".replace("%3A", ":"))
    assert "%25" in first
    for line in (first, second, last):
        assert not re.search(r"%(?!25|3A|2C)", line)


def test_sarif_points_rules_and_results_at_each_other():
    (run,) = json.loads(sarif.render_verdict(verdict()))["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [(r["ruleId"], r["level"]) for r in run["results"]] == [("latency", "error"), ("peak_memory", "warning")]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "limits.toml"
    assert json.loads(sarif.render_verdict(verdict(latency=0.9, peak_memory=None)))["runs"][0]["results"] == []


def test_bencher_takes_nanoseconds_between_their_bounds():
    data = json.loads(bencher.render(example()))
    student = data["edsr_from_edsr/student/fp32"]
    assert student["latency"]["value"] == pytest.approx(12e6, rel=0.02)
    assert student["throughput"]["value"] == pytest.approx(83.3, rel=0.02)
    for name in ("latency", "throughput"):
        measure = student[name]
        assert measure["lower_value"] <= measure["value"] <= measure["upper_value"]
    assert student["file-size"] == {"value": 1_000_000.0}
    assert student["psnr-y-db"] == {"value": 37.2}
    unweighed = replace(example().candidates[0], peak_memory_bytes=None, accuracy={"psnr_y_db": float("nan")})
    assert set(json.loads(bencher.render(example(candidates=(unweighed,))))["edsr_from_edsr/teacher/fp32"]) == {
        "latency", "throughput", "file-size",
    }  # fmt: skip


def test_benchstat_has_a_line_a_process():
    text = benchstat.render(example(candidates=(timed("my net/fp32", 10.0, processes=3),)))
    lines = [line.split() for line in text.splitlines() if line.startswith("Benchmark")]
    assert [line[0] for line in lines] == ["BenchmarkMy_net/fp32"] * 3
    assert len({line[2] for line in lines}) == 3
    for _, count, ns, unit, rate, rate_unit in lines:
        assert (count, unit, rate_unit) == ("30", "ns/op", "inferences/s")
        assert float(ns) == pytest.approx(10e6, rel=0.05)
        assert float(rate) == pytest.approx(100, rel=0.05)
    for line in text.splitlines():
        assert not line or re.match(r"(Benchmark[^a-z]\S*\t|Unit |[a-z]\S*: )", line)


def test_action_benchmark_lists_what_should_be_small():
    entries = json.loads(action_benchmark.render(example()))
    assert len(entries) == 3 * len(example().candidates)
    latency = next(entry for entry in entries if entry["name"] == "edsr_from_edsr/student/fp32: latency")
    assert latency["unit"] == "ms"
    assert latency["value"] == pytest.approx(12, rel=0.02)
    assert latency["range"].startswith("± ")
    assert all(isinstance(entry["value"], (int, float)) for entry in entries)
