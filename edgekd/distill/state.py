"""Everything a training run needs to go on, in one safetensors file, and the moving average of the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from edgekd.core.artifact import digest_of
from edgekd.core.config import TrainConfig
from edgekd.core.errors import InputError
from edgekd.core.schema import to_plain
from edgekd.networks.checkpoint import read_tensors, write_tensors

# What may change between two parts of one run without changing its result.
_FREE = ("checkpoint_every", "validate_every", "workers")


@dataclass(slots=True)
class State:
    """What training changes.

    Attributes:
        student, loss: The network, and the method with its adaptors.
        optimizers: Theirs first, then the method's own.
        config: Of the run; a checkpoint belongs to one.
        origin: What else the run is made from, by name: a checkpoint belongs to that alone.
        average: Moving average of the student's state, where the config asks for one.
        step: Steps done.
        best: Best validated figure so far.
    """

    student: nn.Module
    loss: nn.Module
    optimizers: Sequence[torch.optim.Optimizer]
    config: TrainConfig
    origin: Mapping[str, str]
    average: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    best: float = float("-inf")

    def advance(self) -> None:
        """Count a step, and let the average follow; its decay grows from 0.1, so that it forgets the first weights."""
        self.step += 1
        if not self.config.ema:
            return
        decay = min(self.config.ema, self.step / (self.step + 9))
        for name, value in self.student.state_dict().items():
            if name not in self.average or not value.is_floating_point():
                self.average[name] = value.detach().clone()
            else:
                self.average[name].lerp_(value.detach(), 1 - decay)

    def result(self) -> dict[str, Tensor]:
        """Return the weights that count: the average where there is one, else the student's own."""
        return self.average or dict(self.student.state_dict())

    def save(self, path: Path) -> None:
        """Write everything, whole or not at all."""
        tensors = {f"student.{name}": value for name, value in self.student.state_dict().items()}
        tensors |= {f"loss.{name}": value for name, value in self.loss.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.items()}
        for i, optimizer in enumerate(self.optimizers):
            for j, parameter in enumerate(_parameters(optimizer)):
                held: Mapping[str, object] = optimizer.state.get(parameter, {})
                tensors |= {f"optimizer.{i}.{j}.{key}": v for key, v in held.items() if isinstance(v, Tensor)}
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        write_tensors(path, plain, {**self._identity(), "step": str(self.step), "best": repr(self.best)})

    def load(self, path: Path) -> None:
        """Load what ``save`` wrote.

        Raises:
            InputError: The checkpoint belongs to another network, method, seed, configuration or origin.
        """
        tensors, facts = read_tensors(path)
        unlike = [name for name, value in self._identity().items() if facts.get(name) != value]
        if unlike:
            raise InputError(
                f"{path} is from a training with another {', another '.join(unlike)}; choose another -o, or remove it"
            )
        try:
            self.student.load_state_dict(_under("student.", tensors))
            self.loss.load_state_dict(_under("loss.", tensors))
            for i, optimizer in enumerate(self.optimizers):
                for j, parameter in enumerate(_parameters(optimizer)):
                    held = _under(f"optimizer.{i}.{j}.", tensors)
                    optimizer.state[parameter] = {
                        key: value if key == "step" else value.to(parameter.device) for key, value in held.items()
                    }
        except (KeyError, RuntimeError, ValueError) as err:
            raise InputError(
                f"{path} is for another network ({str(err).splitlines()[0][:120]}); remove it to start again"
            ) from err
        device = next(self.student.parameters()).device
        self.average = {name: value.to(device) for name, value in _under("average.", tensors).items()}
        self.step, self.best = int(facts["step"]), float(facts["best"])

    def _identity(self) -> dict[str, str]:
        plain = {key: value for key, value in to_plain(self.config).items() if key not in _FREE}
        own = {"seed": str(self.config.seed), "method": self.config.method, "configuration": digest_of(plain)[:16]}
        return {**own, **self.origin}


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
