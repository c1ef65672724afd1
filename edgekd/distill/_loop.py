"""The training loop, read top to bottom: build, resume, step, log, checkpoint.

``accelerate`` carries devices and processes: ``torchrun`` and ``accelerate launch`` work on
``python -m edgekd distill …`` as it is. A sample depends on (seed, index) alone, so processes share a batch by
slicing it, and a resumed run sees what the uninterrupted one would have seen.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from edgekd.checkpoint import load_weights, network, read_tensors, save_weights, write_tensors
from edgekd.core import family
from edgekd.core.artifact import locked, write_atomic
from edgekd.core.errors import InputError
from edgekd.core.schema import parse
from edgekd.core.sections import Recipe, Role, TrainConfig
from edgekd.datasets.hr_patches import Samples

# Each task's own loss, the one that needs no teacher.
_CRITERIA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"super_resolution": functional.l1_loss}
_MOMENTS = ("exp_avg", "exp_avg_sq")  # Adam's, in torch's words
_LOG_EVERY = 20


@dataclass(frozen=True, slots=True)
class Job:
    """One training run.

    Attributes:
        pair_folder: Where model.py lies.
        role: Which network learns.
        teacher: The trained teacher's checkpoint; needed when the method asks for one.
        data: Folders of pictures.
        out: Folder for ``last.safetensors`` (resumable), ``<role>.safetensors`` (the result) and ``log.csv``.
        quiet: No progress bar.
    """

    pair_folder: Path
    role: Role
    teacher: Path | None
    data: Sequence[Path]
    out: Path
    quiet: bool = False


def run(job: Job, recipe: Recipe) -> Path:
    """Train ``job.role`` and return the path of its weights (float16 safetensors).

    Raises:
        InputError: Unusable data or checkpoints, an output folder that cannot be written or that another run holds,
            or the loss is no longer a number.
        UnknownName: The recipe names a method or task that does not exist.
    """
    config = getattr(recipe.distill, job.role)
    # cpu: without it, accelerate takes the processes of torchrun on a machine without a GPU for strangers.
    # mixed_precision: it keeps one a process; the recipe's stands below.
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no")
    # One process holds the folder: two runs in it would overwrite each other's checkpoints.
    with locked(job.out) if accelerator.is_main_process else nullcontext():
        return _train(job, recipe, config, accelerator)


def _train(job: Job, recipe: Recipe, config: TrainConfig, accelerator: Accelerator) -> Path:
    assert recipe.pair is not None, "a recipe with [pair] is what the caller looked up"
    method = family.load("distill", config.method)
    loss_of = method.make_loss(
        parse(method.Config, config.options, f"distill.{job.role}.options"), _criterion(recipe.pair.task)
    )
    set_seed(config.seed)
    student: nn.Module = network(job.pair_folder, job.role).train()
    teacher = _teacher(job) if method.NEEDS_TEACHER else None
    samples = Samples(job.data, recipe.task, config.patch, config.seed)
    optimizer = torch.optim.Adam(student.parameters(), lr=config.learning_rate, betas=(0.9, 0.99))
    last = job.out / "last.safetensors"
    first_step = _resume(last, student, optimizer, config) if last.exists() else 0
    learner, optimizer = accelerator.prepare(student, optimizer)
    teacher = teacher.to(accelerator.device) if teacher is not None else None
    log = _Log(job, accelerator.is_main_process, first_step, config)
    for step in range(first_step, config.steps):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(step, config)
        low, high = _shard(samples, step, config, accelerator)
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            taps_s = {"output": learner(low)}
            with torch.no_grad():
                taps_t = {"output": teacher(low)} if teacher is not None else {}
        terms = loss_of({k: v.float() for k, v in taps_s.items()}, {k: v.float() for k, v in taps_t.items()}, high)
        loss = torch.stack(list(terms.values())).sum()
        if not math.isfinite(loss.item()):
            raise InputError(
                f"the loss is {loss.item()} at step {step} (samples {step * config.batch_size} to "
                f"{(step + 1) * config.batch_size - 1}); lower distill.{job.role}.learning_rate and run again: "
                f"it goes on from {last}"
            )
        optimizer.zero_grad()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(learner.parameters(), config.gradient_clip)
        optimizer.step()
        log.step(step, {name: float(accelerator.reduce(term.detach(), "mean")) for name, term in terms.items()})
        done = step + 1
        if accelerator.is_main_process and (done % config.checkpoint_every == 0 or done == config.steps):
            _save(last, accelerator.unwrap_model(learner), optimizer, done, config)
    log.close()
    result = job.out / f"{job.role}.safetensors"
    if accelerator.is_main_process:
        facts = {"method": config.method, "steps": str(config.steps), "seed": str(config.seed)}
        save_weights(accelerator.unwrap_model(learner), result, torch.float16, facts)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return result


def _criterion(task: str) -> Callable[[Tensor, Tensor], Tensor]:
    if task not in _CRITERIA:
        raise InputError(f"distillation for task {task!r} is not there yet; there is: {', '.join(_CRITERIA)}")
    return _CRITERIA[task]


def _teacher(job: Job) -> nn.Module:
    """The trained teacher: eval mode, and nothing in it asks for a gradient."""
    if job.teacher is None:
        raise InputError(
            "this method needs a trained teacher; train one first with --role teacher, or give --teacher FILE"
        )
    return load_weights(network(job.pair_folder, "teacher"), job.teacher).requires_grad_(False)


def _learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the peak."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def _shard(samples: Samples, step: int, config: TrainConfig, accelerator: Accelerator) -> tuple[Tensor, Tensor]:
    """This process's equal slice of the step's batch, so that the averaged gradient is the whole batch's."""
    size, rest = divmod(config.batch_size, accelerator.num_processes)
    if rest:
        raise InputError(
            f"batch_size {config.batch_size} cannot be shared by {accelerator.num_processes} processes; "
            "give a multiple of them"
        )
    first = step * config.batch_size + accelerator.process_index * size
    low, high = samples.batch(first, size)
    return torch.from_numpy(low).to(accelerator.device), torch.from_numpy(high).to(accelerator.device)


def _save(path: Path, student: nn.Module, optimizer: Any, step: int, config: TrainConfig) -> None:
    """Write weights and Adam's moments in float32, whole or not at all."""
    tensors = {f"weights.{name}": value for name, value in student.state_dict().items()}
    for name, parameter in student.named_parameters():
        for moment in _MOMENTS:
            tensors[f"{moment}.{name}"] = optimizer.state[parameter][moment]
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_tensors(path, plain, {"step": str(step), "seed": str(config.seed), "method": config.method})


def _resume(path: Path, student: nn.Module, optimizer: Any, config: TrainConfig) -> int:
    """Load what ``_save`` wrote and return the step to go on from.

    Raises:
        InputError: The checkpoint belongs to another network, method or seed.
    """
    tensors, facts = read_tensors(path)
    asked = {"seed": str(config.seed), "method": config.method}
    if any(facts.get(key) != value for key, value in asked.items()):
        raise InputError(f"{path} was trained with {facts}, now {asked} is asked for; choose another -o, or remove it")
    try:
        student.load_state_dict({name: tensors[f"weights.{name}"] for name in student.state_dict()})
        for name, parameter in student.named_parameters():
            moments = {moment: tensors[f"{moment}.{name}"] for moment in _MOMENTS}
            optimizer.state[parameter] = {"step": torch.tensor(float(facts["step"])), **moments}
    except (KeyError, RuntimeError, ValueError) as err:
        raise InputError(
            f"{path} is for another network ({str(err).splitlines()[0][:120]}); remove it to start again"
        ) from err
    return int(facts["step"])


class _Log:
    """A progress bar on stderr with loss, images per second and time left; the same figures in log.csv."""

    def __init__(self, job: Job, is_main: bool, first_step: int, config: TrainConfig) -> None:
        self.is_main, self.batch_size, self.steps = is_main, config.batch_size, config.steps
        self.sums: dict[str, float] = {}
        self.summed = 0
        if not is_main:
            return
        self.bar = tqdm(
            total=config.steps * config.batch_size,
            initial=first_step * config.batch_size,
            desc=f"distill {job.role}",
            unit="img",
            disable=job.quiet or None,
            mininterval=1.0,
        )
        self.path = job.out / "log.csv"
        self._forget_after(first_step)

    def _forget_after(self, step: int) -> None:
        """Drop what was logged after the checkpoint that training goes on from: those steps are taken again."""
        if self.path.exists():
            head, *rows = self.path.read_text().splitlines(keepends=True)
            kept = [row for row in rows if int(row.partition(",")[0]) <= step]
            write_atomic(self.path, "".join([head, *kept])) if kept else self.path.unlink()

    def step(self, step: int, terms: dict[str, float]) -> None:
        """Take one step's loss terms."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.summed += 1
        if not self.is_main:
            return
        self.bar.update(self.batch_size)
        if (step + 1) % _LOG_EVERY and step + 1 != self.steps:
            return
        means = {name: value / self.summed for name, value in self.sums.items()}
        self.sums, self.summed = {}, 0
        self.bar.set_postfix(loss=f"{sum(means.values()):.4f}", refresh=False)
        fresh = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(["step", *means])
            writer.writerow([step + 1, *(f"{value:.6f}" for value in means.values())])

    def close(self) -> None:
        """Finish the bar's line."""
        if self.is_main:
            self.bar.close()
