"""The optimizer, its parameter groups, and the learning rate of every step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from edgekd.core.config import TrainConfig
from edgekd.core.errors import RecipeError

# Prefix of the method's own parameters in ``lr_multipliers``.
ADAPTORS = "adaptors"


def make_optimizer(student: nn.Module, adaptors: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer of the student and the method's adaptors, one group for each learning-rate multiplier.

    AdamW applies weight decay to matrices and kernels only, as timm does; SGD and Adam apply it to every parameter, as
    the papers' code does.

    Args:
        student: The network that is trained.
        adaptors: The method's parameters, without those it trains by itself.
        config: Optimizer, learning rate, ``lr_multipliers``, weight decay.

    Returns:
        The optimizer; each of its groups holds its multiplier as "lr_multiplier".

    Raises:
        RecipeError: A prefix in ``lr_multipliers`` matches no parameter.
    """
    named = list(student.named_parameters())
    named += [(f"{ADAPTORS}.{index}", parameter) for index, parameter in enumerate(adaptors)]
    multipliers = config.lr_multipliers
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    unused = set(multipliers) - {ADAPTORS}  # a method without adaptors may leave that one unused
    for name, parameter in named:
        # The longest prefix is the most specific: "decoder.bias" wins over "decoder".
        prefix = max((p for p in multipliers if name.startswith(p)), key=len, default=None)
        unused.discard(prefix or "")
        decays = config.optimizer != "adamw" or parameter.ndim > 1
        groups.setdefault((multipliers[prefix] if prefix else 1.0, decays), []).append(parameter)
    if unused:
        raise RecipeError(
            f"lr_multipliers names {', '.join(sorted(unused))}, which no parameter's name starts with; prefixes such "
            f"as {named[0][0].partition('.')[0]!r} were expected"
        )
    options = [
        {"params": members, "lr_multiplier": multiplier, "weight_decay": config.weight_decay if decays else 0.0}
        for (multiplier, decays), members in groups.items()
    ]
    if config.optimizer == "sgd":
        momentum = config.momentum
        return torch.optim.SGD(options, config.learning_rate, momentum=momentum, nesterov=momentum > 0)
    optimizer_class = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return optimizer_class(options, config.learning_rate, betas=config.betas)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Return the learning rate of one step: linear warm-up, then ``config.schedule``."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    factors: dict[str, float] = {
        # Down to 1 %: at exactly 0 the last steps would change nothing.
        "cosine": 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)),
        "poly": (1 - progress) ** 0.9,
        "step": 0.1 ** sum(step >= share * config.steps for share in config.milestones),
        "constant": 1.0,
    }
    return config.learning_rate * factors[config.schedule]
