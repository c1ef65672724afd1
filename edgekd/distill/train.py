"""The training loop: build or resume, then step, log, validate and save, and publish the trained weights.

``accelerate`` handles devices and processes: start ``python -m edgekd distill …`` with ``torchrun`` or ``accelerate
launch`` to use several. A sample depends on (seed, index) alone and every step is seeded, so several processes share a
batch by slicing it, and a resumed run takes the same steps as an uninterrupted one.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import set_seed
from torch import Tensor

from edgekd import __version__
from edgekd.core import family
from edgekd.core.artifact import Artifact, locked, publish, sha256_of, write_atomic
from edgekd.core.config import Recipe, Role, TrainConfig
from edgekd.core.errors import InputError
from edgekd.core.network_info import NetworkInfo
from edgekd.core.provenance import Provenance, digest_of
from edgekd.core.reporter import QuietReporter, Reporter
from edgekd.core.schema import to_plain
from edgekd.distill.data import UNLABELLED, TrainingData, batches, digest_of_folders, open_data, validate
from edgekd.distill.log import TrainLog
from edgekd.distill.method import HasOptimizers
from edgekd.distill.schedule import learning_rate, make_optimizer
from edgekd.distill.state import FREE_FIELDS, TrainState, parameters_of
from edgekd.distill.step import Checkpoints, build_step
from edgekd.networks.checkpoint import load_weights, save_state

# Spreads the seeds of runs apart, so that two runs with neighbouring seeds share no step's seed.
_SEED_STRIDE = 1_000_003


@dataclass(frozen=True, slots=True)
class TrainJob:
    """One training run.

    Attributes:
        pair_folder: The folder of model.py.
        role: Which network is trained.
        teacher: The trained teacher's checkpoint; needed where the method has a teacher.
        data: The user's folders, laid out as the recipe says.
        out: Folder for the result, ``<role>.safetensors`` and its manifest; ``last.safetensors``, from which an
            interrupted run resumes; ``best.safetensors``; ``metrics.json``, the result's validation scores; the logs.
        start: Weights to start from instead of random ones.
        adapt: ``data`` are pictures without labels; the teacher's outputs are the targets.
        quiet: Show no progress bar.
        reporter: Receives messages.
    """

    pair_folder: Path
    role: Role
    teacher: Path | None
    data: Sequence[Path]
    out: Path
    start: Path | None = None
    adapt: bool = False
    quiet: bool = False
    reporter: Reporter = field(default_factory=QuietReporter)


def run(job: TrainJob, recipe: Recipe) -> Path:
    """Train ``job.role`` and return the path of its weights (float16 safetensors).

    Raises:
        InputError: The data or a checkpoint cannot be used, the networks do not match, the output folder cannot be
            written or another run holds it, or the loss is not finite.
        UnknownName: The recipe names a method, task, layout or feature layer that does not exist.
    """
    config: TrainConfig = getattr(recipe.distill, job.role)
    if job.adapt:
        config = dataclasses.replace(config, **recipe.distill.adapt.changes())
    accelerator = Accelerator(
        # Without a GPU, accelerate ignores torchrun's processes unless it is told to use the CPU.
        cpu=not torch.cuda.is_available(),
        # accelerate has one precision for a process; step.NetworkPair gives each network its own.
        mixed_precision="no",
        # A method may use other adaptors at each step.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    # One process locks the folder: two runs in it would overwrite each other's checkpoints.
    with locked(job.out) if accelerator.is_main_process else nullcontext():
        return _Training(job, recipe, config, accelerator).run()


class _Training:
    """One run: everything that is built once, and the loop over its steps."""

    def __init__(self, job: TrainJob, recipe: Recipe, config: TrainConfig, accelerator: Accelerator) -> None:
        assert recipe.pair is not None, "the caller has looked up the pair"
        self.job, self.recipe, self.config, self.accelerator = job, recipe, config, accelerator
        self.task: Any = family.load("tasks", recipe.pair.task)
        set_seed(config.seed)  # before anything draws: the data's order, the networks' weights, the method's adaptors
        self.data = open_data(job.data, recipe, config, UNLABELLED if job.adapt else recipe.data.layout)
        _check_validation(self.data, config, job)
        checkpoints = Checkpoints(job.pair_folder, job.role, job.start, job.teacher)
        step_module = build_step(checkpoints, recipe, config, self.data.training[0], adapt=job.adapt)
        loss = step_module.loss
        self.method_optimizers = list(loss.optimizers()) if isinstance(loss, HasOptimizers) else []
        trained_by_method = {id(p) for optimizer in self.method_optimizers for p in parameters_of(optimizer)}
        adaptors = [parameter for parameter in loss.parameters() if id(parameter) not in trained_by_method]
        # Convolutions in bfloat16 take half the time on channels-last tensors, on CPUs and GPUs alike.
        step_module.to(accelerator.device, memory_format=torch.channels_last)
        self.optimizer = make_optimizer(step_module.student, adaptors, config)
        optimizers = [self.optimizer, *self.method_optimizers]
        self.state = TrainState(step_module.student, loss, optimizers, config, _origin(job, recipe, config))
        self.last_path, self.best_path = job.out / "last.safetensors", job.out / "best.safetensors"
        if self.last_path.exists():
            self.state.load(self.last_path)
        self.step_module = accelerator.prepare(step_module)
        self.log: TrainLog | None = None
        if accelerator.is_main_process:
            title = f"{'adapt' if job.adapt else 'distill'} {job.role}"
            steps = range(self.state.step, config.steps)
            self.log = TrainLog(job.out, title, steps, config.batch_size, quiet=job.quiet, reporter=job.reporter)

    def run(self) -> Path:
        """Take the remaining steps, publish the result and return its path."""
        config, state, accelerator = self.config, self.state, self.accelerator
        process = (accelerator.process_index, accelerator.num_processes)
        for inputs, targets in batches(self.data, config, state.step, process, accelerator.device):
            rate = learning_rate(state.step, config)
            terms = self._step(inputs, targets, rate)
            # Every process takes part in the reduction, whether it logs or not.
            means = {name: float(accelerator.reduce(term.detach(), "mean")) for name, term in terms.items()}
            if self.log is None:
                continue
            self.log.step(state.step, means, rate)
            if _is_due(state.step, config.validate_every, config.steps) and self.data.validation:
                self._validate(self.log)
            if _is_due(state.step, config.checkpoint_every, config.steps):
                state.save(self.last_path)
        result = self.job.out / f"{self.job.role}.safetensors"
        if self.log is not None:
            self.log.close()
            self._publish(result)
        accelerator.wait_for_everyone()
        accelerator.end_training()
        return result

    def _step(self, inputs: Tensor, targets: Tensor, rate: float) -> dict[str, Tensor]:
        """Take one optimizer step and return the loss terms, each a scalar."""
        config, state, accelerator = self.config, self.state, self.accelerator
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_multiplier"]
        # Dropout and random masks differ between processes; the shift leaves room for 256 of them.
        torch.manual_seed(((config.seed * _SEED_STRIDE + state.step) << 8) + accelerator.process_index)
        terms: dict[str, Tensor] = self.step_module(inputs, targets, state.step / config.steps)
        total = torch.stack(list(terms.values())).sum()
        self._check_finite(total.item())
        self.optimizer.zero_grad()
        accelerator.backward(total)
        accelerator.clip_grad_norm_(parameters_of(self.optimizer), config.gradient_clip)
        self.optimizer.step()
        self._average_over_processes()
        state.advance()
        return terms

    def _check_finite(self, total: float) -> None:
        if math.isfinite(total):
            return
        step, size = self.state.step, self.config.batch_size
        raise InputError(
            f"the loss is {total} at step {step} (samples {step * size} to {(step + 1) * size - 1}); lower "
            f"distill.{self.job.role}.learning_rate and run again: the run resumes from {self.last_path}"
        )

    def _average_over_processes(self) -> None:
        """Average what the method trains by itself: accelerate synchronises the gradients of the main loss alone."""
        if self.accelerator.num_processes == 1:
            return
        for optimizer in self.method_optimizers:
            for parameter in parameters_of(optimizer):
                parameter.data.copy_(self.accelerator.reduce(parameter.data, "mean"))

    def _validate(self, log: TrainLog) -> None:
        """Score the weights that would be the result now; save them if they are the best so far."""
        state, metric = self.state, self.task.PRIMARY
        current = {name: value.detach().clone() for name, value in state.student.state_dict().items()}
        state.student.load_state_dict(state.result())
        scores = validate(state.student, self.data.validation, self.task, self.recipe.task)
        state.student.load_state_dict(current)
        log.validation(state.step, scores)
        if scores[metric] > state.best:
            state.best = scores[metric]
            facts = {"step": str(state.step), metric: repr(state.best)}
            save_state(state.result(), self.best_path, torch.float16, facts)

    def _publish(self, path: Path) -> None:
        """Write the result, its manifest and ``metrics.json``."""
        job, config, state = self.job, self.config, self.state
        facts = {"method": config.method, "steps": str(config.steps), "seed": str(config.seed)}
        facts["checkpoint_selection"] = config.checkpoint_selection
        weights = state.result()
        if config.checkpoint_selection == "best" and self.best_path.exists():
            weights = load_weights(state.student, self.best_path).state_dict()

        def write(temporary: Path) -> dict[str, Any]:
            save_state(weights, temporary, torch.float16, facts)
            # The scores are those of the file itself, whose weights are rounded to float16.
            student = load_weights(state.student, temporary)
            return {"metrics": validate(student, self.data.validation, self.task, self.recipe.task)}

        assert self.recipe.pair is not None, "checked when the run was built"
        info = NetworkInfo(
            role=job.role, title=job.pair_folder.name, task=self.recipe.pair.task, task_options=self.recipe.task
        )
        artifact = publish(
            Artifact("checkpoint", path, made_by=_provenance(state, job), facts=facts, network=info), write
        )
        write_atomic(job.out / "metrics.json", json.dumps(dict(artifact.facts), indent=1) + "\n")


def _check_validation(data: TrainingData, config: TrainConfig, job: TrainJob) -> None:
    if config.checkpoint_selection == "best" and not data.validation:
        raise InputError(
            f'checkpoint_selection = "best" needs validation pictures, and {job.data[0]} has none; set '
            'checkpoint_selection = "last"'
        )


def _origin(job: TrainJob, recipe: Recipe, config: TrainConfig) -> dict[str, str]:
    """Return name → digest of what a run is made from besides its configuration; all must be equal to resume."""
    has_teacher = job.teacher is not None and family.load("distill.methods", config.method).NEEDS_TEACHER
    layout = {"layout": recipe.data.layout, "options": dict(recipe.data.options), "adapt": job.adapt}
    return {
        "recipe": digest_of([dict(recipe.task), layout, to_plain(recipe.network)])[:16],
        "data": digest_of_folders(job.data)[:16],
        "teacher": sha256_of(job.teacher)[:16] if has_teacher and job.teacher else "",
        "start": sha256_of(job.start)[:16] if job.start else "",
    }


def _provenance(state: TrainState, job: TrainJob) -> Provenance:
    """Return what a result was made from: teacher and starting weights are its parents."""
    parents = []
    if job.teacher is not None and state.origin["teacher"]:
        parents.append(sha256_of(job.teacher))
    if job.start is not None:
        parents.append(sha256_of(job.start))
    plain = {name: value for name, value in to_plain(state.config).items() if name not in FREE_FIELDS}
    return Provenance(
        stage="distill",
        parents_sha256=tuple(parents),
        config_sha256=digest_of({"config": plain, "origin": dict(state.origin)}),
        versions={"edgekd": __version__, "torch": str(torch.__version__)},
    )


def _is_due(step: int, every: int, steps: int) -> bool:
    """Return whether something that happens every so many steps, and at the end, happens after this one."""
    return step == steps or (every > 0 and step % every == 0)
