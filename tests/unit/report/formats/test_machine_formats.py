"""Formats for other tools, parsed as those parse them."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from edgekd.core.errors import InputError
from edgekd.report.formats import (
    action_benchmark,
    bencher,
    benchstat,
    github,
    junit,
    sarif,
    trtexec_profile,
    trtexec_times,
)
from edgekd.results.result import NodeTime
from tests.unit.report.example_result import example
from tests.unit.report.example_verdict import AWKWARD_NAME, layer_diff, verdict
from tests.unit.results.timed_candidates import timed


def test_junit_has_a_case_a_check():
    suite = ElementTree.fromstring(junit.render_verdict(verdict()))
    assert {key: suite.get(key) for key in ("tests", "failures", "skipped", "errors")} == {
        "tests": "3", "failures": "1", "skipped": "1", "errors": "0",
    }  # fmt: skip
    cases = {case.get("name"): case for case in suite}
    assert [child.tag for child in cases["latency"]] == ["failure"]
    assert "latency is worse by " in cases["latency"][0].get("message")
    assert [child.tag for child in cases["peak_memory"]] == ["skipped"]
    assert list(cases["engine_size"]) == []
    assert cases["latency"].get("classname").split() == AWKWARD_NAME.replace("\x00", "").split()


def test_github_commands_are_one_line_each_and_escaped():
    first, second, last = github.render_verdict(verdict()).splitlines()
    assert re.fullmatch(r"::error title=[^:,\n]*%3A latency::.*is worse by .*", first)
    assert second.startswith("::warning title=")
    assert last.startswith("::notice title=edgekd gate::regress:")
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
    unknown = replace(example().candidates[0], peak_memory_bytes=None, accuracy={"psnr_y_db": float("nan")})
    assert set(json.loads(bencher.render(example(candidates=(unknown,))))["edsr_from_edsr/teacher/fp32"]) == {
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


@pytest.mark.parametrize("writer", [github, junit, sarif])
def test_a_regression_of_time_names_its_nodes(writer):
    found = replace(verdict("net"), layer_diffs=(layer_diff(),))
    assert "body +3.00 ms" in writer.render_verdict(found)
    unknown = replace(found, layer_diffs=(layer_diff(changes=(), reason="no profile"),))
    assert "no profile" in writer.render_verdict(unknown)


def one_engine(**changes):
    """Make a result of one engine with a profile of two nodes."""
    nodes = (NodeTime("stem", "Conv", 1.0), NodeTime("body", "Conv", 3.0))
    return example(candidates=(replace(example().candidates[0], **{"nodes": nodes, **changes}),))


def test_trtexec_times_follow_one_another():
    result = one_engine()
    records = json.loads(trtexec_times.render(result))
    latencies_ms = result.candidates[0].latencies_ms
    assert [record["latencyMs"] for record in records] == pytest.approx(list(latencies_ms))
    assert records[0]["startEnqMs"] == 200
    for before, after in itertools.pairwise(records):
        assert before["endD2hMs"] == after["startEnqMs"]
    assert {record["h2dMs"] for record in records} == {0.0}
    assert {record["clock"] for record in records} == {"time.perf_counter_ns"}


def test_trtexec_profile_has_a_record_a_node():
    count, *records = json.loads(trtexec_profile.render(one_engine()))
    assert count == {"count": 1}
    assert [(record["name"], record["medianMs"]) for record in records] == [("stem", 1.0), ("body", 3.0)]
    assert sum(record["percentage"] for record in records) == pytest.approx(100)


def test_trtexec_profile_needs_a_profile():
    with pytest.raises(InputError, match="no time per node"):
        trtexec_profile.render(one_engine(nodes=()))
