"""The optimizer, its parameter groups, and the learning rate of every step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from edgekd.core.config import TrainConfig
from edgekd.core.errors import RecipeError

ADAPTORS = "adaptors"


def optimizer_of(student: nn.Module, adaptors: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """Make the optimizer over the student and the method's own adaptors, a group for each learning-rate factor.

    AdamW decays matrices and kernels only (as timm does); SGD and Adam decay everything, as the papers' code does.

    Raises:
        RecipeError: A prefix in ``rates`` names no parameter.
    """
    named = [*student.named_parameters(), *((f"{ADAPTORS}.{i}", tensor) for i, tensor in enumerate(adaptors))]
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    unused = set(config.rates) - {ADAPTORS}
    for name, parameter in named:
        prefix = max((p for p in config.rates if name.startswith(p)), key=len, default=None)
        unused.discard(prefix or "")
        decays = config.optimizer != "adamw" or parameter.ndim > 1
        groups.setdefault((config.rates[prefix] if prefix else 1.0, decays), []).append(parameter)
    if unused:
        raise RecipeError(f"rates names {', '.join(sorted(unused))}, and no parameter's name begins so")
    settings = [
        {"params": params, "factor": factor, "weight_decay": config.weight_decay if decays else 0.0}
        for (factor, decays), params in groups.items()
    ]
    if config.optimizer == "sgd":
        momentum = config.momentum
        return torch.optim.SGD(settings, config.learning_rate, momentum=momentum, nesterov=momentum > 0)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(settings, config.learning_rate, betas=config.betas)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Return the rate of one step: linear warm-up, then ``config.schedule``."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    shape: dict[str, float] = {
        "cosine": 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)),
        "poly": (1 - progress) ** 0.9,
        "step": 0.1 ** sum(step >= share * config.steps for share in config.milestones),
        "constant": 1.0,
    }
    return config.learning_rate * shape[config.schedule]
