"""The whole pipeline, for a pair and an imported network: stages run once, and again where their inputs change."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgekd.cli import _run as edgekd
from edgekd.core.artifact import read_artifact, sha256_of
from edgekd.core.reporter import QuietReporter, StageState
from edgekd.pipeline import run
from edgekd.pipeline.job import job_from
from edgekd.pipeline.run import RunResult
from edgekd.results.result import RESULT_SCHEMA
from tests.pipeline.tiny import RECIPE, tiny_onnx, tiny_pair

TWO_SCHEMES = RECIPE + '[quantize]\nschemes = ["fp32", "int8"]\n'
ONE_SCHEME = RECIPE + '[quantize]\nschemes = ["fp32"]\n'
# The exporter that a recipe takes by default, and onnxsim.
DEFAULTS = TWO_SCHEMES.replace('exporter = "torchscript"\n', "").replace("enabled = false\n", "")


class Stages(QuietReporter):
    """Keeps the stages that started, and the messages."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.messages: list[str] = []

    def stage(self, name: str, state: StageState, detail: str = "") -> None:
        if state == "started":
            self.started.append(name)

    def message(self, text: str) -> None:
        self.messages.append(text)


def _run(source: Path, out: Path, *overrides: str) -> tuple[RunResult | None, list[str]]:
    """Run, and return what there is now and which stages started."""
    stages = Stages()
    done = run.run(job_from(str(source), out, overrides), stages)
    return done, stages.started


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult, list[str]]:
    """A pair that has gone all the way once: (its folder's parent, what there is now, the stages that ran)."""
    folder = tmp_path_factory.mktemp("first")
    done, started = _run(tiny_pair(folder / "pair", DEFAULTS), folder / "out")
    assert done is not None
    return folder, done, started


@pytest.fixture
def ran(first_run: tuple[Path, RunResult, list[str]], tmp_path: Path) -> tuple[Path, Path]:
    """(pair, out) of a copy of it, to be spoilt."""
    for name in ("pair", "out"):
        shutil.copytree(first_run[0] / name, tmp_path / name)
    return tmp_path / "pair", tmp_path / "out"


def test_pair_goes_all_the_way(first_run: tuple[Path, RunResult, list[str]]) -> None:
    _, done, started = first_run
    names = [candidate.name for candidate in done.result.candidates]
    assert names == [f"{role}/{scheme}" for role in ("teacher", "student") for scheme in ("fp32", "int8")]
    assert all(candidate.accuracy["psnr_y_db"] > 10 for candidate in done.result.candidates)
    assert done.result.baseline_accuracy["psnr_y_db"] > 10
    words = done.report_path.read_text().partition("<script")[0]
    (weights,) = read_artifact(done.result_path.parent / "student" / "exported.onnx").made_by.parents_sha256
    assert weights in words  # from each engine back to the weights
    assert sha256_of(done.result_path) in words
    assert len(started) == 16  # 2 samples; export, simplify, 2 schemes, 2 engines for each of 2; bench; report


def test_the_result_shows_how_long_each_stage_took(first_run: tuple[Path, RunResult, list[str]]) -> None:
    seconds = {stage.name: stage.seconds for stage in first_run[1].result.stage_seconds}
    assert {"student export", "student quantize int8", "bench latency"} <= set(seconds)
    assert all(value >= 0 for value in seconds.values())


def test_a_second_run_skips_every_stage(first_run: tuple[Path, RunResult, list[str]], ran: tuple[Path, Path]) -> None:
    again, started = _run(*ran)
    assert started == []
    assert again is not None
    assert again.result == first_run[1].result


PERCENTILE = ("quantize.options.int8.calibration=percentile", "quantize.options.int8.percentile=60")


def test_change_of_a_setting_makes_again_what_depends_on_it(ran: tuple[Path, Path]) -> None:
    pair, out = ran
    _, started = _run(pair, out, *PERCENTILE)
    assert "teacher quantize int8" in started
    assert "bench" in started
    assert not [name for name in started if "fp32" in name or "export" in name or "simplify" in name]


def test_edited_network_is_exported_again(ran: tuple[Path, Path]) -> None:
    pair, out = ran
    code = (pair / "model.py").read_text()
    (pair / "model.py").write_text(code.replace("PixelShuffle(2))", "PixelShuffle(2), nn.ReLU())"))
    _, started = _run(pair, out)
    assert "teacher export" in started
    assert "bench" in started


def test_damaged_file_is_made_again(ran: tuple[Path, Path]) -> None:
    pair, out = ran
    path = out / "student" / "simplified.onnx"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    _, started = _run(pair, out)
    assert started == ["student simplify"]
    assert path.read_bytes() == whole


def test_manifests_form_a_chain_from_checkpoint_to_result(ran: tuple[Path, Path]) -> None:
    _, out = ran
    steps = ["exported.onnx", "simplified.onnx", "int8.onnx", "onnxruntime/int8.engine"]
    chain = [read_artifact(out / "student" / step) for step in steps]
    for before, after in itertools.pairwise(chain):
        assert after.made_by.parents_sha256[0] == before.sha256
    assert chain[-1].sha256 in read_artifact(out / "result.json").made_by.parents_sha256


def test_dry_run_makes_nothing(tmp_path: Path) -> None:
    stages = Stages()
    job = job_from(str(tiny_pair(tmp_path / "pair")), tmp_path / "out")
    assert run.run(job, stages, dry_run=True) is None
    assert stages.started == []
    assert "would run" in stages.messages[-1]
    assert [path.name for path in (tmp_path / "out").rglob("*")] == [".lock"]


def test_imported_network_without_calibration_images(tmp_path: Path) -> None:
    done, _ = _run(
        tiny_onnx(tmp_path / "net.onnx"),
        tmp_path / "out",
        "bench.processes=1",
        "bench.budget_s=1",
        "build.backends=['onnxruntime']",
    )
    assert done is not None
    assert [candidate.name for candidate in done.result.candidates] == ["model/fp32", "model/fp16", "model/int8"]
    assert done.result.primary_metric == ""
    assert any("0..1" in step for step in done.result.steps)


def test_refusal_is_kept_and_not_tried_again(ran: tuple[Path, Path]) -> None:
    pair, out = ran
    for index in range(3):
        (pair / "pictures" / f"{index}.png").unlink()  # five are too few to calibrate on
    done, started = _run(pair, out)
    assert done is not None
    assert "teacher/int8" not in [candidate.name for candidate in done.result.candidates]
    assert any("teacher/int8 was not made" in note for note in done.result.notes)
    assert "teacher quantize int8" in started
    again, started = _run(pair, out)
    assert started == []
    assert again == done


def test_second_run_imports_neither_torch_nor_onnx(ran: tuple[Path, Path]) -> None:
    pair, out = ran
    script = (
        "import sys; from edgekd.cli import _run; "
        f"code = _run(['run', {str(pair)!r}, '-o', {str(out)!r}]); "
        "heavy = {'torch', 'onnx', 'onnxsim', 'PIL'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "student/int8" in done.stdout


@pytest.mark.parametrize("wait_for", ["teacher/fp32.onnx"])
def test_kill_in_the_middle_leaves_whole_files_and_the_next_run_goes_on(tmp_path: Path, wait_for: str) -> None:
    pair, out = tiny_pair(tmp_path / "pair", ONE_SCHEME), tmp_path / "out"
    child = subprocess.Popen(
        [sys.executable, "-m", "edgekd", "run", str(pair), "-o", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (out / wait_for).exists() and child.poll() is None:
        time.sleep(0.005)
    child.kill()  # not terminate: nothing of edgekd's own gets to clean up
    child.wait()
    for manifest in out.rglob("*.json"):
        if (file := manifest.with_suffix("")).exists():
            read_artifact(file)  # raises if it is half of one
    done, started = _run(pair, out)
    assert done is not None
    assert "teacher export" not in started


def test_json_of_the_command_line_is_the_result(ran: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    pair, out = ran
    assert edgekd(["run", str(pair), "-o", str(out), "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["schema"] == RESULT_SCHEMA
    assert captured.err == ""
