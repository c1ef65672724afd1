"""The whole way, for a pair and a foreign network: made once, skipped the second time, made again where it must be."""

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
from edgekd.pipeline import run
from edgekd.pipeline.job import job_from
from edgekd.results.result import RESULT_SCHEMA
from tests.pipeline.tiny import tiny_onnx, tiny_pair


def _run(source: Path, out: Path, *overrides: str) -> tuple[run.Finished | None, list[str]]:
    said: list[str] = []
    done = run.run(run.Walk(job_from(str(source), out, overrides), said.append))
    return done, said


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, run.Finished, list[str]]:
    """A pair that has gone all the way once: (its folder's parent, what there is now, what was said)."""
    folder = tmp_path_factory.mktemp("first")
    done, said = _run(tiny_pair(folder / "pair"), folder / "out")
    assert done is not None
    return folder, done, said


@pytest.fixture
def ran(first_run: tuple[Path, run.Finished, list[str]], tmp_path: Path) -> tuple[Path, Path]:
    """(pair, out) of a copy of it, to be spoilt."""
    for name in ("pair", "out"):
        shutil.copytree(first_run[0] / name, tmp_path / name)
    return tmp_path / "pair", tmp_path / "out"


def _made(said: list[str]) -> list[str]:
    return [line.strip(" …") for line in said if line.endswith("…")]


def test_pair_goes_all_the_way(first_run: tuple[Path, run.Finished, list[str]]) -> None:
    _, done, said = first_run
    names = [candidate.name for candidate in done.result.candidates]
    assert names == [f"{role}/{scheme}" for role in ("teacher", "student") for scheme in ("fp32", "fp16", "int8")]
    assert all(candidate.accuracy["psnr_y_db"] > 10 for candidate in done.result.candidates)
    assert done.result.baseline_accuracy["psnr_y_db"] > 10
    words = done.report_path.read_text().partition("<script")[0]
    (weights,) = read_artifact(done.result_path.parent / "student" / "exported.onnx").made_by.parents_sha256
    assert weights in words  # from each engine back to the weights
    assert sha256_of(done.result_path) in words
    assert len(_made(said)) == 20  # 2 samples; export, simplify, 3 schemes, 3 engines for each of 2; bench; report


def test_second_run_rests(first_run: tuple[Path, run.Finished, list[str]], ran: tuple[Path, Path]) -> None:
    again, said = _run(*ran)
    assert _made(said) == []
    assert again is not None
    assert again.result == first_run[1].result


def test_change_of_a_setting_makes_again_what_depends_on_it(ran: tuple[Path, Path]) -> None:
    pair, out = ran
    _, said = _run(pair, out, "quantize.calibration=percentile", "quantize.percentile=60")
    made = _made(said)
    assert "teacher quantize int8" in made
    assert "bench" in made
    assert not [name for name in made if "fp16" in name or "export" in name or "simplify" in name]


def test_edited_network_is_exported_again(ran: tuple[Path, Path]) -> None:
    pair, out = ran
    code = (pair / "model.py").read_text()
    (pair / "model.py").write_text(code.replace("PixelShuffle(2))", "PixelShuffle(2), nn.ReLU())"))
    _, said = _run(pair, out)
    assert "teacher export" in _made(said)
    assert "bench" in _made(said)


def test_damaged_file_is_made_again(ran: tuple[Path, Path]) -> None:
    pair, out = ran
    path = out / "student" / "simplified.onnx"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    _, said = _run(pair, out)
    assert _made(said) == ["student simplify"]
    assert path.read_bytes() == whole


def test_manifests_form_a_chain_from_checkpoint_to_result(ran: tuple[Path, Path]) -> None:
    _, out = ran
    steps = ["exported.onnx", "simplified.onnx", "int8.onnx", "onnxruntime/int8.engine"]
    chain = [read_artifact(out / "student" / step) for step in steps]
    for before, after in itertools.pairwise(chain):
        assert after.made_by.parents_sha256[0] == before.sha256
    assert chain[-1].sha256 in read_artifact(out / "result.json").made_by.parents_sha256


def test_dry_run_makes_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    job = job_from(str(tiny_pair(tmp_path / "pair")), tmp_path / "out")
    assert run.run(run.Walk(job, said.append, dry_run=True)) is None
    assert "would run" in said[-1]
    assert [path.name for path in (tmp_path / "out").rglob("*")] == [".lock"]


def test_foreign_network_without_calibration_pictures_of_its_own(tmp_path: Path) -> None:
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
    assert any("assumed" in step for step in done.result.steps)  # nobody told us how its pictures are scaled


def test_refusal_is_kept_and_not_tried_again(ran: tuple[Path, Path]) -> None:
    pair, out = ran
    for index in range(3):
        (pair / "pictures" / f"{index}.png").unlink()  # five are too few to calibrate on
    done, said = _run(pair, out)
    assert done is not None
    assert "teacher/int8" not in [candidate.name for candidate in done.result.candidates]
    assert any("teacher/int8 was not made" in note for note in done.result.notes)
    assert "teacher quantize int8" in _made(said)
    again, said = _run(pair, out)
    assert _made(said) == []
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


@pytest.mark.parametrize("wait_for", ["teacher/int8.onnx"])
def test_kill_in_the_middle_leaves_whole_files_and_the_next_run_goes_on(tmp_path: Path, wait_for: str) -> None:
    pair, out = tiny_pair(tmp_path / "pair"), tmp_path / "out"
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
    done, said = _run(pair, out)
    assert done is not None
    assert "teacher export" not in _made(said)


def test_json_of_the_command_line_is_the_result(ran: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    pair, out = ran
    assert edgekd(["run", str(pair), "-o", str(out), "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["schema"] == RESULT_SCHEMA
    assert captured.err == ""
