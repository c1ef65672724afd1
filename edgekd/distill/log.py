"""What a training run says: a progress bar, ``log.csv``, ``validation.csv``, and the same for TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from edgekd.core.artifact import write_atomic

LOG_EVERY = 20


class Log:
    """Speaks for one run; only the main process makes one.

    The bar, on stderr, has loss, pictures a second and time left. The CSV files hold each step once, however often the
    run was interrupted.
    """

    def __init__(self, out: Path, title: str, span: tuple[int, int], batch_size: int, quiet: bool) -> None:
        """Open the log of the steps ``span`` = (first, all)."""
        first, steps = span
        self.steps, self.batch_size = steps, batch_size
        self.sums: dict[str, float] = {}
        self.summed = 0
        self.bar = tqdm(
            total=steps * batch_size,
            initial=first * batch_size,
            desc=title,
            unit="img",
            disable=quiet or None,
            mininterval=1.0,
        )
        self.terms_path, self.scores_path = out / "log.csv", out / "validation.csv"
        for path in (self.terms_path, self.scores_path):
            _forget_after(path, first)
        self.board = SummaryWriter(str(out / "tensorboard"), purge_step=first + 1)

    def step(self, done: int, terms: Mapping[str, float], rate: float) -> None:
        """Take the loss terms of the step that makes ``done`` steps."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.summed += 1
        self.bar.update(self.batch_size)
        if done % LOG_EVERY and done != self.steps:
            return
        means = {name: value / self.summed for name, value in self.sums.items()}
        self.sums, self.summed = {}, 0
        self.bar.set_postfix(loss=f"{sum(means.values()):.4f}", refresh=False)
        _append(self.terms_path, done, {**means, "learning_rate": rate})
        for name, value in means.items():
            self.board.add_scalar(f"loss/{name}", value, done)
        self.board.add_scalar("learning_rate", rate, done)

    def validated(self, done: int, figures: Mapping[str, float]) -> None:
        """Take the validation after ``done`` steps."""
        _append(self.scores_path, done, figures)
        for name, value in figures.items():
            self.board.add_scalar(f"validation/{name}", value, done)

    def close(self) -> None:
        """Finish the bar's line, and TensorBoard's file."""
        self.bar.close()
        self.board.close()


def _append(path: Path, done: int, figures: Mapping[str, float]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(["step", *figures])
        writer.writerow([done, *(f"{value:.6g}" for value in figures.values())])


def _forget_after(path: Path, step: int) -> None:
    """Drop what was logged after the checkpoint that training goes on from: those steps are taken again."""
    if not path.exists():
        return
    head, *rows = path.read_text().splitlines(keepends=True)
    kept = [row for row in rows if int(row.partition(",")[0]) <= step]
    if kept:
        write_atomic(path, "".join([head, *kept]))
    else:
        path.unlink()
