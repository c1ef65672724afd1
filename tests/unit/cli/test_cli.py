"""The command line: what --help lists, exit codes, JSON on stdout and progress on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekd import cli
from edgekd.core import family
from edgekd.core.errors import EdgeKDError, MachineError, NotComparable
from edgekd.results.gate import publish_verdict
from tests.pipeline.tiny import tiny_onnx
from tests.unit.report.example_verdict import verdict

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize("verb", family.names("cli"))
def test_every_verb_has_help_that_begins_as_its_file_does(verb: str, capsys: Captured) -> None:
    assert cli._run([verb, "--help"]) == 0
    module = family.load("cli", verb)
    first = (module.__doc__ or "").splitlines()[0]
    assert (
        module.command.__doc__.splitlines()[0].split(",")[0] in first or first.split(":")[0] in module.command.__doc__
    )
    assert "Usage: edgekd " + verb in capsys.readouterr().out


def test_help_lists_every_command_in_the_order_of_the_stages(capsys: Captured) -> None:
    assert cli._run(["--help"]) == 0
    out = capsys.readouterr().out
    places = [out.index(f" {verb} ") for verb in cli._ORDER]
    assert places == sorted(places)
    assert set(cli._ORDER) == set(family.names("cli"))


def test_usage_errors_are_the_users(capsys: Captured) -> None:
    assert cli._run(["rnu"]) == 2
    assert "Did you mean 'run'" in capsys.readouterr().err
    assert cli._run(["show"]) == 2
    assert cli._run(["models", "--no-such-flag"]) == 2


@pytest.mark.parametrize("error", [EdgeKDError("broken\n  twice"), MachineError("no"), NotComparable("unlike")])
def test_an_error_is_one_line_and_its_code(
    error: EdgeKDError, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def fail() -> list[str]:
        raise error

    monkeypatch.setattr("edgekd.cli.models.pair_names", fail)
    assert cli._run(["models"]) == error.exit_code
    text = capsys.readouterr().err
    assert text == f"edgekd: {' '.join(str(error).split())}\n"


def test_a_bug_has_a_traceback_and_a_code_of_its_own(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr("edgekd.cli.models.pair_names", lambda: 1 / 0)
    assert cli._run(["models"]) == 70
    text = capsys.readouterr().err
    assert "ZeroDivisionError" in text
    assert "bug in edgekd" in text


def test_interrupt_is_the_shells_code(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def interrupted() -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgekd.cli.models.pair_names", interrupted)
    assert cli._run(["models"]) == 130
    assert "run again to continue" in capsys.readouterr().err


def test_json_answers_parse(capsys: Captured) -> None:
    for verb in ("doctor", "models", "targets"):
        assert cli._run([verb, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)


def test_doctor_says_what_is_missing_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr("edgekd.core.family.version_of", lambda library: None if library == "onnxsim" else "1.0")
    assert cli._run(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "no  simplify      needs onnxsim; try: pip install 'edgekd[compile]'" in out
    assert "ok  export" in out


def test_single_stages_take_any_onnx_file_all_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_onnx(tmp_path / "net.onnx")
    assert cli._run(["simplify", "net.onnx", "-o", "small.onnx"]) == 0
    assert cli._run(["quantize", "small.onnx", "--scheme", "int8", "-o", "int8.onnx"]) == 0
    for name in ("small", "int8"):
        assert cli._run(["build", f"{name}.onnx", "-o", f"{name}.engine"]) == 0
    quick = [
        "--set",
        "bench.processes=2",
        "--set",
        "bench.min_rounds=2",
        "--set",
        "bench.block_ms=1.0",
        "--set",
        "bench.warmup_ms=1.0",
    ]
    assert cli._run(["bench", "small.engine", "int8.engine", "-o", "result.json", *quick]) == 0
    capsys.readouterr()
    assert cli._run(["compare", "result.json", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1
    assert cli._run(["compare", "result.json", "result.json"]) == 0
    reports = [word for form in ("terminal", "markdown", "html") for word in ("--report", f"{form}=report.{form}")]
    assert cli._run(["report", "result.json", *reports]) == 0
    for form in ("terminal", "markdown", "html"):
        assert (tmp_path / f"report.{form}").stat().st_size > 200
    capsys.readouterr()
    assert cli._run(["report", "result.json"]) == 0
    assert capsys.readouterr().out == (tmp_path / "report.terminal").read_text()


@pytest.mark.parametrize("suffix", ["onnx", "imported.onnx", "engine", "engine.json"])
def test_show_describes_files(tmp_path: Path, suffix: str, capsys: Captured) -> None:
    path = tiny_onnx(tmp_path / "net.onnx")
    assert cli._run(["build", str(path), "-o", str(tmp_path / "net.engine")]) == 0
    capsys.readouterr()
    assert cli._run(["show", str(tmp_path / f"net.{suffix}")]) == 0
    assert "1x3x16x16" in capsys.readouterr().out


def test_show_and_report_print_a_verdict(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "verdict.json"
    publish_verdict(verdict(), path, ("ab" * 32,))
    for command in ("show", "report"):
        assert cli._run([command, str(path)]) == 0
        assert verdict().status in capsys.readouterr().out
    assert cli._run(["show", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["mode"]) == ("verdict", verdict().mode)
    assert len(found["checks"]) == len(verdict().checks)


@pytest.mark.parametrize("suffix", ["onnx", "imported.onnx"])
def test_show_names_the_costliest_nodes(tmp_path: Path, suffix: str, capsys: Captured) -> None:
    path = tiny_onnx(tmp_path / "net.onnx")
    assert cli._run(["build", str(path), "-o", str(tmp_path / "net.engine")]) == 0
    capsys.readouterr()
    assert cli._run(["show", str(tmp_path / f"net.{suffix}"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    costs = found["node_costs"]
    assert sum(node["macs"] for node in costs) == (found.get("cost") or found["network"]["cost"])["macs"] > 0
    assert cli._run(["show", str(tmp_path / f"net.{suffix}")]) == 0
    text = capsys.readouterr().out
    assert "FLOPs/byte" in text
    assert "100.0 %" in text  # it has one convolution
    assert f"the 1 costliest of {len(costs)} nodes; --json has all" in text


@pytest.mark.skipif(family.version_of("tensorrt-rtx") is None, reason="needs tensorrt-rtx (the rtx extra)")
def test_preflight_asks_the_real_parser(tmp_path: Path, capsys: Captured) -> None:
    assert cli._run(["preflight", str(tiny_onnx(tmp_path / "net.onnx"))]) == 0
    captured = capsys.readouterr()
    assert "net.onnx: TensorRT accepts it: 1 convolutions: 1 FP32" in captured.out
    assert "not a Jetson engine" in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_show_refuses_what_it_does_not_know(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "letter.doc").write_text("dear")
    assert cli._run(["show", str(tmp_path / "letter.doc")]) == 2
    assert ".doc" in capsys.readouterr().err
