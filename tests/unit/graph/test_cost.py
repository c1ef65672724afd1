"""Counted on the ONNX graph = counted by torch on the module."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgekd.checkpoint import network
from edgekd.core.sections import ExportConfig
from edgekd.core.tensor import DimRange, TensorSpec
from edgekd.export import Job, run
from edgekd.graph.cost import cost_of
from tests.unit.graph.networks import branches, convolutions


class Attention(nn.Module):
    """One self-attention block over patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 8, stride=8)
        self.qkv, self.project = nn.Linear(32, 96), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).chunk(3, dim=-1)
        return self.project(torch.softmax(q @ k.transpose(1, 2), dim=-1) @ v)


def make(name: str, root: Path) -> nn.Module:
    if name == "attention":
        return Attention().eval()
    if name == "mobilenet":
        return torchvision.models.mobilenet_v3_small(weights=None).eval()
    return network(root / "models/edsr_from_edsr", name)


@pytest.mark.parametrize("name", ["teacher", "student", "mobilenet", "attention"])
def test_flops_are_torchs_own(name: str, root: Path, tmp_path: Path) -> None:
    module, shape = make(name, root), (1, 3, 64, 64)
    # The older exporter is the quicker one; the numbers are the graph's all the same.
    config = ExportConfig(shape=shape, exporter="torchscript")
    cost = run(module, Job("0" * 64, config, 17, None, {}, tmp_path / "x.onnx")).facts["cost"]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.rand(shape))
    assert cost["flops"] == counter.get_total_flops()
    assert cost["uncounted"] == 0
    assert cost["parameters"] == pytest.approx(sum(p.numel() for p in module.parameters()), rel=0.01)


def test_what_the_graph_holds() -> None:
    cost = cost_of(convolutions())
    assert cost.macs == 16 * 16 * (8 * 27 + 8 * 36) + 8 * 5
    assert (cost.parameters, cost.nodes, cost.weight_bytes) == (8 * 27 + 8 + 8 * 36 + 40 + 5, 6, 4 * 557)


def test_dynamic_dims_need_sizes_and_branches_count_once() -> None:
    model = branches()
    ranges = {"batch": DimRange(1, 1, 1), "length": DimRange(1, 10, 20)}
    inputs = (TensorSpec("x", ("batch", "length"), "float32", ranges),)
    assert cost_of(model, inputs).activation_bytes > cost_of(model).activation_bytes
    assert cost_of(model).nodes == 4


def test_a_graph_whose_shapes_are_unknown_says_so() -> None:
    model = convolutions()
    model.graph.input[0].type.tensor_type.shape.dim[2].ClearField("dim_value")
    assert cost_of(model).uncounted == 2
