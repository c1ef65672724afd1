"""The training loop, read top to bottom: build, resume, step, log, validate, checkpoint.

``accelerate`` carries devices and processes: ``torchrun`` and ``accelerate launch`` work on
``python -m edgekd distill …`` as it is. A sample depends on (seed, index) alone and every step is seeded, so processes
share a batch by slicing it, and a resumed run sees what the uninterrupted one would have seen.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import set_seed
from torch import Tensor, nn

from edgekd.core import family
from edgekd.core.artifact import digest_of, locked, sha256_of, write_atomic
from edgekd.core.config import Recipe, Role, TrainConfig
from edgekd.core.errors import InputError
from edgekd.core.schema import parse, to_plain
from edgekd.distill.data import Data, batches, listing, open_data, validate
from edgekd.distill.features import Tapped
from edgekd.distill.log import Log
from edgekd.distill.method import OUTPUT, Setting, Shape, criterion_named
from edgekd.distill.schedule import learning_rate, optimizer_of
from edgekd.distill.state import State
from edgekd.networks.checkpoint import load_weights, network, save_state


@dataclass(frozen=True, slots=True)
class Job:
    """One training run.

    Attributes:
        pair_folder: Where model.py lies.
        role: Which network learns.
        teacher: The trained teacher's checkpoint; needed when the method asks for one.
        data: The user's folders, laid out as the recipe says.
        out: Folder for the result, ``<role>.safetensors``; ``last.safetensors``, from which a run goes on;
            ``best.safetensors``; ``metrics.json``, the result's figures on the validation pictures; and the logs.
        start: Weights to start from instead of random ones.
        adapt: ``data`` are pictures without labels: the teacher's answers are the truth.
        quiet: No progress bar.
    """

    pair_folder: Path
    role: Role
    teacher: Path | None
    data: Sequence[Path]
    out: Path
    start: Path | None = None
    adapt: bool = False
    quiet: bool = False


def run(job: Job, recipe: Recipe) -> Path:
    """Train ``job.role`` and return the path of its weights (float16 safetensors).

    Raises:
        InputError: Unusable data or checkpoints, networks that do not fit each other, an output folder that cannot be
            written or that another run holds, or the loss is no longer a number.
        UnknownName: The recipe names a method, task, layout or tap that does not exist.
    """
    config: TrainConfig = getattr(recipe.distill, job.role)
    if job.adapt:
        config = dataclasses.replace(config, **recipe.distill.adapt.changes())
    # cpu: without it, accelerate takes the processes of torchrun on a machine without a GPU for strangers.
    # mixed_precision: it keeps one a process; the recipe's stands in _Step. find_unused_parameters: a method may use
    # other adaptors at each step.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no", kwargs_handlers=[unused])
    # One process holds the folder: two runs in it would overwrite each other's checkpoints.
    with locked(job.out) if accelerator.is_main_process else nullcontext():
        return _train(job, recipe, config, accelerator)


def _train(job: Job, recipe: Recipe, config: TrainConfig, accelerator: Accelerator) -> Path:
    assert recipe.pair is not None, "a recipe with [pair] is what the caller looked up"
    task = family.load("tasks", recipe.pair.task)
    set_seed(config.seed)
    data = open_data(job.data, recipe, config, "unlabelled" if job.adapt else recipe.data.layout)
    if config.keep == "best" and not data.validation:
        raise InputError(f'keep = "best" needs validation pictures, and {job.data[0]} has none; set keep = "last"')
    step_module = _step(job, recipe, config, data)
    loss, student = step_module.loss, step_module.student.network
    own = list(getattr(loss, "optimizers", list)())
    foreign = {id(p) for optimizer in own for group in optimizer.param_groups for p in group["params"]}
    adaptors = [parameter for parameter in loss.parameters() if id(parameter) not in foreign]
    # Convolutions in bfloat16 take half the time on pixels that lie together, on CPUs and GPUs alike.
    step_module.to(accelerator.device, memory_format=torch.channels_last)
    optimizer = optimizer_of(student, adaptors, config)
    state = State(student, loss, [optimizer, *own], config, _origin(job, recipe))
    last, best = job.out / "last.safetensors", job.out / "best.safetensors"
    if last.exists():
        state.load(last)
    learner = accelerator.prepare(step_module)
    log = None
    if accelerator.is_main_process:
        title = f"{'adapt' if job.adapt else 'distill'} {job.role}"
        log = Log(job.out, title, (state.step, config.steps), config.batch_size, job.quiet)
    share = (accelerator.process_index, accelerator.num_processes)
    for inputs, targets in batches(data, config, state.step, share, accelerator.device):
        rate = learning_rate(state.step, config)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        torch.manual_seed(((config.seed * 1_000_003 + state.step) << 8) + accelerator.process_index)
        terms: dict[str, Tensor] = learner(inputs, targets, state.step / config.steps)
        total = torch.stack(list(terms.values())).sum()
        _check(total.item(), state, job)
        optimizer.zero_grad()
        accelerator.backward(total)
        accelerator.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], config.gradient_clip)
        optimizer.step()
        _agree(own, accelerator)
        state.advance()
        means = {name: float(accelerator.reduce(term.detach(), "mean")) for name, term in terms.items()}
        if log is None:
            continue
        log.step(state.step, means, rate)
        if _due(state.step, config.validate_every, config.steps) and data.validation:
            _validated(state, data, (task, recipe.task), log, best)
        if _due(state.step, config.checkpoint_every, config.steps):
            state.save(last)
    result = job.out / f"{job.role}.safetensors"
    if log is not None:
        log.close()
        _finish(job, state, (data, task, recipe.task), result)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return result


def _origin(job: Job, recipe: Recipe) -> dict[str, str]:
    """Name what a run is made from besides its configuration: a checkpoint is not gone on with from anything else."""
    taught = (
        job.teacher is not None
        and family.load("distill.methods", getattr(recipe.distill, job.role).method).NEEDS_TEACHER
    )
    options = {"layout": recipe.data.layout, "options": dict(recipe.data.options), "adapt": job.adapt}
    return {
        "recipe": digest_of([dict(recipe.task), options, to_plain(recipe.network)])[:16],
        "data": listing(job.data)[:16],
        "teacher": sha256_of(job.teacher)[:16] if taught and job.teacher else "",
        "start": sha256_of(job.start)[:16] if job.start else "",
    }


class _Step(nn.Module):
    """One step's forward pass: both networks, then the method. One module, so that processes share its gradients."""

    def __init__(self, student: Tapped, teacher: Tapped | None, loss: nn.Module, config: TrainConfig) -> None:
        super().__init__()
        self.student, self.teacher, self.config = student, teacher, config
        self.network, self.loss = student.network, loss
        self.answers: Any = None  # adaptation: the teacher's output → the target

    def forward(self, x: Tensor, target: Tensor, progress: float) -> dict[str, Tensor]:
        """(N, C, H, W), its target → the method's terms."""
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), self._cast("teacher", x):
            taught = self.teacher(x) if self.teacher is not None else {}
        with self._cast("student", x):
            learnt = self.student(x)
        taps_s, taps_t = _float(learnt), _float(taught)
        if self.answers is not None:
            target = self.answers(taps_t[OUTPUT])
        prepare = getattr(self.loss, "prepare", None)
        if prepare is not None:
            prepare({name: value.detach() for name, value in taps_s.items()}, taps_t, target)
        terms: dict[str, Tensor] = self.loss(taps_s, taps_t, target, progress)
        return terms

    def resume(self, role: str, at: str, value: Tensor, until: str) -> Tensor:
        """Run a network on from a tap; see ``_setting.Resume``."""
        tapped = self.student if role == "student" else self.teacher
        assert tapped is not None, "a method that resumes the teacher needs one"
        with self._cast(role, value):
            return tapped.resume(at, value, until).float()

    def _cast(self, role: str, x: Tensor) -> torch.autocast:
        own = self.config.teacher_precision if role == "teacher" else ""
        return torch.autocast(x.device.type, torch.bfloat16, enabled=(own or self.config.precision) == "bf16")

    def to(self, *args: Any, **kwargs: Any) -> _Step:
        """Move the teacher along: it is no submodule, so that nothing of it is trained, averaged or saved."""
        if self.teacher is not None:
            self.teacher.network.to(*args, **kwargs)
        super().to(*args, **kwargs)
        return self


def _step(job: Job, recipe: Recipe, config: TrainConfig, data: Data) -> _Step:
    """Build both networks and the method, and run them once to learn the taps' shapes.

    Raises:
        InputError: The networks do not run on the data, or do not fit each other or the target.
    """
    assert recipe.pair is not None
    criterion, classes = criterion_named(family.load("tasks", recipe.pair.task).CRITERION)
    method = family.load("distill.methods", config.method)
    options = parse(method.Config, config.options, f"distill.{job.role}.options")
    net = network(job.pair_folder, job.role, getattr(recipe.network, job.role))
    net = load_weights(net, job.start) if job.start else net
    # A method that needs no teacher compares no taps either, whatever the recipe lists for the ones that do.
    taps = config.taps if method.NEEDS_TEACHER else {}
    student = Tapped(net, {name: tap.student for name, tap in taps.items()}, job.role)
    teacher = None
    if method.NEEDS_TEACHER:
        teacher = Tapped(_teacher(job, recipe, config), {name: tap.teacher for name, tap in taps.items()}, "teacher")
    if job.adapt and teacher is None:
        raise InputError(f"method {config.method!r} has no teacher, whose answers are the truth of unlabelled pictures")
    x, target = (torch.as_tensor(array)[None] for array in data.training[0])
    shapes_s = _shapes(student, x)
    shapes_t = _shapes(teacher, x) if teacher is not None else {}
    _check_fit(shapes_s[OUTPUT], shapes_t.get(OUTPUT), None if classes or job.adapt else tuple(target.shape))
    shapes_s, shapes_t = ({k: (config.batch_size, *v[1:]) for k, v in s.items()} for s in (shapes_s, shapes_t))
    resume: dict[str, Any] = {}

    def go_on(role: str, at: str, value: Tensor, until: str) -> Tensor:
        found: Tensor = resume["step"].resume(role, at, value, until)
        return found

    loss = method.make_loss(options, Setting(criterion, classes, shapes_s, shapes_t, go_on))
    net.train()
    step = _Step(student, teacher, loss, config)
    resume["step"] = step
    if job.adapt:
        step.answers = _hard if classes else _itself
    return step


def _teacher(job: Job, recipe: Recipe, config: TrainConfig) -> nn.Module:
    """The trained teacher: eval mode unless the recipe says otherwise, and nothing in it asks for a gradient."""
    if job.teacher is None:
        raise InputError(
            "this method needs a trained teacher; train one first with --role teacher, or give --teacher FILE"
        )
    module = load_weights(network(job.pair_folder, "teacher", recipe.network.teacher), job.teacher)
    return module.requires_grad_(False).train(config.teacher_mode == "train")


def _shapes(tapped: Tapped, x: Tensor) -> dict[str, Shape]:
    """Run once in eval mode, which moves no statistics, and return the taps' shapes."""
    was_training = tapped.network.training
    tapped.network.eval()
    try:
        with torch.no_grad():
            found = {name: tuple(value.shape) for name, value in tapped(x).items()}
    except (RuntimeError, ValueError, IndexError) as err:
        raise InputError(
            f"the {tapped.role} does not run on {list(x.shape)}, which the data gives: "
            f"{str(err).splitlines()[0][:160]}; check [data.options] and [task]"
        ) from err
    tapped.network.train(was_training)
    return found


def _check_fit(student: Shape, teacher: Shape | None, target: Shape | None) -> None:
    if teacher is not None and teacher != student:
        raise InputError(
            f"the teacher's output is {list(teacher)}, the student's {list(student)}; the same classes and size were "
            "expected: see [network]"
        )
    if target is not None and target != student:
        raise InputError(
            f"the student's output is {list(student)}, the target {list(target)}; the same size was expected: see "
            "[network] and [task]"
        )


def _float(taps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.float() for name, value in taps.items()}


def _hard(output: Tensor) -> Tensor:
    return output.argmax(dim=1)


def _itself(output: Tensor) -> Tensor:
    return output


def _check(total: float, state: State, job: Job) -> None:
    size = state.config.batch_size
    if not math.isfinite(total):
        raise InputError(
            f"the loss is {total} at step {state.step} (samples {state.step * size} to {(state.step + 1) * size - 1}); "
            f"lower distill.{job.role}.learning_rate and run again: it goes on from {job.out / 'last.safetensors'}"
        )


def _agree(own: Sequence[torch.optim.Optimizer], accelerator: Accelerator) -> None:
    """Average what the method trains by itself over the processes, which saw other slices of the batch."""
    if accelerator.num_processes == 1:
        return
    for parameter in (p for optimizer in own for group in optimizer.param_groups for p in group["params"]):
        parameter.data.copy_(accelerator.reduce(parameter.data, "mean"))


def _due(step: int, every: int, steps: int) -> bool:
    return step == steps or (every > 0 and step % every == 0)


def _validated(state: State, data: Data, judge: tuple[ModuleType, Mapping[str, Any]], log: Log, best: Path) -> None:
    """Score the weights that would be the result now, and keep them where they are the best so far."""
    task, options = judge
    own = {name: value.detach().clone() for name, value in state.student.state_dict().items()}
    state.student.load_state_dict(state.result())
    found = validate(state.student, data.validation, task, options)
    state.student.load_state_dict(own)
    log.validated(state.step, found)
    if found[task.PRIMARY] > state.best:
        state.best = found[task.PRIMARY]
        save_state(state.result(), best, torch.float16, {"step": str(state.step), task.PRIMARY: repr(state.best)})


def _finish(job: Job, state: State, judge: tuple[Data, ModuleType, Mapping[str, Any]], result: Path) -> None:
    """Write the result and its figures: those of the very file, whose weights are rounded to float16."""
    (data, task, options), config = judge, state.config
    best = job.out / "best.safetensors"
    facts = {"method": config.method, "steps": str(config.steps), "seed": str(config.seed), "keep": config.keep}
    if config.keep == "best" and best.exists():
        state.student.load_state_dict(load_weights(state.student, best).state_dict())
        save_state(state.student.state_dict(), result, torch.float16, facts)
    else:
        save_state(state.result(), result, torch.float16, facts)
    found = validate(load_weights(state.student, result), data.validation, task, options)
    write_atomic(job.out / "metrics.json", json.dumps({**facts, "metrics": found}, indent=1) + "\n")
