"""A pair of every other task goes all the way: with labels it is scored, without them held against its teacher."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd.cli import _run as edgekd
from edgekd.results.result import read_result
from tests.pipeline.tiny import labelled, tiny_pair_of

PRIMARY = {"classification": "top1", "segmentation": "miou", "dehazing": "psnr_rgb_db"}


@pytest.mark.parametrize("task", PRIMARY)
def test_pair_with_labels(task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair, data, out = tiny_pair_of(task, tmp_path / "pair"), labelled(task, tmp_path / "data"), tmp_path / "out"
    assert edgekd(["run", str(pair), "--evaluation", str(data), "-o", str(out)]) == 0
    captured = capsys.readouterr()
    assert "pair: no weights for recipe.toml, so small.toml and its weights are used" in captured.err
    result = read_result(out / "result.json")
    assert result.primary_metric == PRIMARY[task]
    assert [c.name for c in result.candidates] == ["teacher/fp32", "student/fp32"]
    assert result.candidate("teacher/fp32").cost["parameters"] > result.candidate("student/fp32").cost["parameters"]
    assert ("miou" in result.set_metrics) == (task == "segmentation")
    assert result.reference == ""
    assert "agreement" not in (out / "report.html").read_text().partition("<script")[0]
    assert bool(result.baseline_accuracy) == (task == "dehazing")
    _infers(task, out, tmp_path, capsys)


def _infers(task: str, out: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The engine answers pictures of any size, in a way that suits its task."""
    image = np.random.default_rng(2).integers(0, 256, (45, 61, 3), dtype=np.uint8)
    Image.fromarray(image).save(folder / "odd.png")
    engine = str(out / "student" / "onnxruntime" / "fp32.engine")
    assert edgekd(["infer", engine, str(folder / "odd.png"), "-o", str(folder / "made"), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    if task == "classification":
        assert sum(row["scores"].values()) == pytest.approx(1, abs=1e-5)
        assert row["answer"].startswith(next(iter(row["scores"])))
        return
    with Image.open(row["output"]) as made:
        assert made.size == (61, 45)
    if task == "segmentation":
        assert edgekd(["infer", engine, str(folder / "odd.png"), "-o", str(folder / "made"), "--labels"]) == 0
        with Image.open(row["output"]) as made:
            assert made.mode == "L"
            assert set(np.unique(np.asarray(made))) <= {0, 1, 2}


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_pair_without_labels_is_held_against_its_teacher(task: str, tmp_path: Path) -> None:
    pair, out = tiny_pair_of(task, tmp_path / "pair"), tmp_path / "out"
    schemes = "quantize.schemes=['fp32', 'int8']"
    assert edgekd(["run", f"{pair}/small", "-o", str(out), "--quiet", "--set", schemes]) == 0
    result = read_result(out / "result.json")
    key = {"classification": "agreement_top1", "segmentation": "agreement_pixel_accuracy"}[task]
    assert result.primary_metric == key
    assert result.reference == "teacher/fp32"
    assert result.candidates[0].accuracy[key] == 1
    assert all(set(c.accuracy) == set(result.candidates[0].accuracy) for c in result.candidates)
    assert not [metric for c in result.candidates for metric in c.accuracy if not metric.startswith("agreement_")]
    assert any("agreement with teacher/fp32, not accuracy" in note for note in result.notes)
    page = (out / "report.html").read_text()
    assert "Agreement with teacher/fp32" in page
    assert "Accuracy against latency" not in page


def test_embedded_preprocessing_gives_the_same_scores(tmp_path: Path) -> None:
    pair, data = tiny_pair_of("segmentation", tmp_path / "pair"), labelled("segmentation", tmp_path / "data")
    found = []
    for embed in ("false", "true"):
        words = ["run", f"{pair}/small", "--evaluation", str(data), "-o", str(tmp_path / embed), "--quiet"]
        words += ["--set", f"export.include_preprocessing={embed}"]
        assert edgekd(words) == 0
        found.append(read_result(tmp_path / embed / "result.json").candidate("student/fp32"))
    assert found[1].inputs == {"input": (1, 32, 32, 3)}
    assert found[0].accuracy == pytest.approx(found[1].accuracy, abs=1e-3)


def test_evaluation_needs_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.onnx").write_bytes(b"")
    assert edgekd(["run", str(tmp_path / "net.onnx"), "--evaluation", str(tmp_path)]) == 2
    assert "the task of net is unknown" in capsys.readouterr().err
