"""Counting a torch module: parameters, and multiply-accumulates of its convolutions, linear layers and products."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(module: nn.Module) -> int:
    """Number of learnt values."""
    return sum(parameter.numel() for parameter in module.parameters())


def macs(module: nn.Module, *shape: int) -> int:
    """MACs of one inference on an input of ``shape``; nothing is computed: the module is moved to the meta device."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.to("meta").eval()(torch.empty(shape, device="meta"))
    return int(counter.get_total_flops()) // 2
