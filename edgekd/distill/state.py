"""The state of a training run: all it resumes from, in one safetensors file, and the moving average of the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from edgekd.core.config import TrainConfig
from edgekd.core.errors import InputError
from edgekd.core.provenance import digest_of
from edgekd.core.schema import to_plain
from edgekd.networks.checkpoint import read_tensors, write_tensors

# Fields of TrainConfig that do not change a run's result: a resumed run may have other values.
FREE_FIELDS = ("checkpoint_every", "validate_every", "workers")


@dataclass(slots=True)
class TrainState:
    """What training changes.

    Attributes:
        student: The network that is trained, teacher or student.
        loss: The method's module, with its adaptors.
        optimizers: The training loop's first, then the method's own.
        config: The run's configuration; a checkpoint belongs to one configuration.
        origin: Name → digest of what else the run is made from; a checkpoint belongs to these alone.
        average: Moving average of the student's state dict; empty without ``config.ema``.
        step: Steps done.
        best: Best validation score so far.
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
        """Count one step and update the moving average."""
        self.step += 1
        if not self.config.ema:
            return
        # The decay grows from 0.1 to config.ema, so that the random first weights do not stay in the average.
        decay = min(self.config.ema, self.step / (self.step + 9))
        for name, value in self.student.state_dict().items():
            if name not in self.average or not value.is_floating_point():  # counters are copied, not averaged
                self.average[name] = value.detach().clone()
            else:
                self.average[name].lerp_(value.detach(), 1 - decay)

    def result(self) -> dict[str, Tensor]:
        """Return the weights that would be the result now: the moving average if there is one, else the student's."""
        return self.average or dict(self.student.state_dict())

    def save(self, path: Path) -> None:
        """Write the state to ``path``, whole or not at all."""
        tensors = {f"student.{name}": value for name, value in self.student.state_dict().items()}
        tensors |= {f"loss.{name}": value for name, value in self.loss.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.items()}
        for i, optimizer in enumerate(self.optimizers):
            for j, parameter in enumerate(parameters_of(optimizer)):
                # Optimizers index their state by parameter object; positions are the same in the next process.
                moments: Mapping[str, object] = optimizer.state.get(parameter, {})
                tensors |= {f"optimizer.{i}.{j}.{key}": v for key, v in moments.items() if isinstance(v, Tensor)}
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        write_tensors(path, plain, {**self._identity(), "step": str(self.step), "best": repr(self.best)})

    def load(self, path: Path) -> None:
        """Load what ``save`` wrote.

        Raises:
            InputError: The checkpoint belongs to another network, method, seed, configuration or origin.
        """
        tensors, facts = read_tensors(path)
        differences = [name for name, value in self._identity().items() if facts.get(name) != value]
        if differences:
            raise InputError(
                f"{path} belongs to a training with another {', another '.join(differences)}; choose another -o, or "
                "remove it"
            )
        try:
            self.student.load_state_dict(_under("student.", tensors))
            self.loss.load_state_dict(_under("loss.", tensors))
            for i, optimizer in enumerate(self.optimizers):
                for j, parameter in enumerate(parameters_of(optimizer)):
                    moments = _under(f"optimizer.{i}.{j}.", tensors)
                    # torch expects "step" on the CPU wherever the parameter is.
                    optimizer.state[parameter] = {
                        key: value if key == "step" else value.to(parameter.device) for key, value in moments.items()
                    }
        except (KeyError, RuntimeError, ValueError) as err:
            raise InputError(
                f"{path} belongs to another network ({str(err).splitlines()[0][:120]}); remove it to start again"
            ) from err
        device = next(self.student.parameters()).device
        self.average = {name: value.to(device) for name, value in _under("average.", tensors).items()}
        self.step, self.best = int(facts["step"]), float(facts["best"])

    def _identity(self) -> dict[str, str]:
        plain = {key: value for key, value in to_plain(self.config).items() if key not in FREE_FIELDS}
        own = {"seed": str(self.config.seed), "method": self.config.method, "configuration": digest_of(plain)[:16]}
        return {**own, **self.origin}


def parameters_of(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """List an optimizer's parameters, group by group."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
