"""The log: means over steps, rows of a resumed run, messages to the reporter."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from edgekd.core.reporter import QuietReporter
from edgekd.distill import log
from edgekd.distill.log import TrainLog


class Messages(QuietReporter):
    """Keeps the messages it receives."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


def _open(out: Path, first: int = 0, last: int = 40, reporter: Any = None) -> TrainLog:
    return TrainLog(out, "tiny", range(first, last), 4, quiet=True, reporter=reporter or QuietReporter())


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_row_is_the_mean_of_its_steps(tmp_path: Path) -> None:
    train_log = _open(tmp_path, last=30)
    for step in range(1, 31):
        train_log.step(step, {"task": float(step), "teacher": 2.0}, 0.1 * step)
    train_log.close()
    # Steps 1 to 20, and what remains at the end; the learning rate is the last step's.
    expected = [("20", 10.5, 2.0), ("30", 25.5, 3.0)]
    for row, (step, task, rate) in zip(_rows(tmp_path / "log.csv"), expected, strict=True):
        assert row["step"] == step
        assert float(row["task"]) == pytest.approx(task)
        assert float(row["teacher"]) == 2.0
        assert float(row["learning_rate"]) == pytest.approx(rate)


def test_a_resumed_run_drops_the_rows_of_steps_it_takes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "LOG_EVERY", 1)
    first = _open(tmp_path)
    for step in (1, 2, 3, 4):
        first.step(step, {"task": 1.0}, 0.1)
        first.validation(step, {"psnr": float(step)})
    first.close()
    resumed = _open(tmp_path, first=2)
    resumed.step(3, {"task": 7.0}, 0.1)
    resumed.close()
    assert [(row["step"], row["task"]) for row in _rows(tmp_path / "log.csv")] == [("1", "1"), ("2", "1"), ("3", "7")]
    assert [row["step"] for row in _rows(tmp_path / "validation.csv")] == ["1", "2"]


def test_a_run_from_the_start_may_have_other_terms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "LOG_EVERY", 1)
    for term in ("task", "hint"):
        train_log = _open(tmp_path)
        train_log.step(1, {term: 1.0}, 0.1)
        train_log.close()
    assert list(_rows(tmp_path / "log.csv")[0]) == ["step", "hint", "learning_rate"]


def test_reporter_hears_of_a_resume_and_of_each_validation(tmp_path: Path) -> None:
    reporter = Messages()
    _open(tmp_path, reporter=reporter).close()
    assert reporter.texts == []
    train_log = _open(tmp_path, first=12, reporter=reporter)
    train_log.validation(20, {"psnr_y_db": 31.25, "ssim_y": 0.875})
    train_log.close()
    resumed, validated = reporter.texts
    assert "12" in resumed
    assert "40" in resumed
    assert all(part in validated for part in ("20", "psnr_y_db", "31.25", "ssim_y", "0.875"))


def test_tensorboard_gets_a_file(tmp_path: Path) -> None:
    train_log = _open(tmp_path)
    train_log.step(20, {"task": 1.0}, 0.1)
    train_log.close()
    assert [path for path in (tmp_path / "tensorboard").iterdir() if path.stat().st_size]
