"""The log of a training run: a progress bar, ``log.csv``, ``validation.csv``, TensorBoard, and messages."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from edgekd.core.artifact import write_atomic
from edgekd.core.reporter import Reporter

LOG_EVERY = 20  # one row of log.csv is the mean of this many steps


class TrainLog:
    """The log of one run; only the main process has one.

    The progress bar, on stderr, shows the loss, pictures per second and the time left. The CSV files hold every step
    once, however often the run was interrupted.
    """

    def __init__(
        self, out: Path, title: str, steps: range, batch_size: int, *, quiet: bool, reporter: Reporter
    ) -> None:
        """Open the log.

        Args:
            out: The run's folder, which exists.
            title: The text before the bar.
            steps: The steps to take, from the one a resumed run starts at; older rows of later steps are removed.
            batch_size: Pictures per step, in all processes together.
            quiet: Show no bar.
            reporter: Receives messages.
        """
        self._last_step, self._batch_size, self._reporter = steps.stop, batch_size, reporter
        self._sums: dict[str, float] = {}
        self._summed_steps = 0
        self._bar = tqdm(
            total=steps.stop * batch_size,
            initial=steps.start * batch_size,
            desc=title,
            unit="img",
            disable=quiet or None,  # None: only where stderr is no terminal
            mininterval=1.0,
        )
        self._loss_path, self._validation_path = out / "log.csv", out / "validation.csv"
        # Before the first append: a crash between checkpoint and log must not leave a step twice.
        for path in (self._loss_path, self._validation_path):
            _drop_rows_after(path, steps.start)
        # purge_step hides the same steps in TensorBoard, whose files cannot be cut.
        self._tensorboard = SummaryWriter(str(out / "tensorboard"), purge_step=steps.start + 1)
        if steps.start:
            self._message(f"resuming at step {steps.start} of {steps.stop}")

    def step(self, steps_done: int, terms: Mapping[str, float], learning_rate: float) -> None:
        """Log the loss terms of the step after which ``steps_done`` are done."""
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._summed_steps += 1
        self._bar.update(self._batch_size)
        if steps_done % LOG_EVERY and steps_done != self._last_step:
            return
        means = {name: value / self._summed_steps for name, value in self._sums.items()}
        self._sums, self._summed_steps = {}, 0
        self._bar.set_postfix(loss=f"{sum(means.values()):.4f}", refresh=False)
        _append(self._loss_path, steps_done, {**means, "learning_rate": learning_rate})
        for name, value in means.items():
            self._tensorboard.add_scalar(f"loss/{name}", value, steps_done)
        self._tensorboard.add_scalar("learning_rate", learning_rate, steps_done)

    def validation(self, steps_done: int, scores: Mapping[str, float]) -> None:
        """Log the validation scores after ``steps_done`` steps."""
        _append(self._validation_path, steps_done, scores)
        for name, value in scores.items():
            self._tensorboard.add_scalar(f"validation/{name}", value, steps_done)
        self._message(f"step {steps_done}: " + ", ".join(f"{name} {value:.4g}" for name, value in scores.items()))

    def close(self) -> None:
        """Finish the bar's line and TensorBoard's file."""
        self._bar.close()
        self._tensorboard.close()

    def _message(self, text: str) -> None:
        """Report a message without cutting through the bar, which is on the same terminal."""
        with tqdm.external_write_mode():
            self._reporter.message(text)


def _append(path: Path, steps_done: int, values: Mapping[str, float]) -> None:
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(["step", *values])
        writer.writerow([steps_done, *(f"{value:.6g}" for value in values.values())])


def _drop_rows_after(path: Path, step: int) -> None:
    """Remove the rows of steps after the checkpoint that the run resumes from: those steps are taken again."""
    if not path.exists():
        return
    header, *rows = path.read_text().splitlines(keepends=True)
    remaining = [row for row in rows if int(row.partition(",")[0]) <= step]
    if remaining:
        write_atomic(path, "".join([header, *remaining]))
    else:
        path.unlink()  # another method's terms may need another header
