"""Counted on the ONNX graph = counted by torch on the module."""

from __future__ import annotations

import importlib
import io
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torchvision
from onnx import helper
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgekd.convert.export import Job, run
from edgekd.core.config import ExportConfig
from edgekd.core.tensor import DimRange, TensorSpec
from edgekd.graph.cost import cost_of, node_costs
from edgekd.networks.checkpoint import network
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
    makers = {
        "attention": Attention,
        "mobilenet_v3_small": lambda: torchvision.models.mobilenet_v3_small(weights=None),
        "mobilenet_v3_large": lambda: torchvision.models.mobilenet_v3_large(weights=None),
        "swin_t": lambda: torchvision.models.swin_t(weights=None),
        "resnet50": lambda: torchvision.models.resnet50(weights=None),
        "deeplabv3plus teacher": lambda: network(root / "models/deeplabv3plus_resnet18_from_resnet101", "teacher"),
        "deeplabv3plus student": lambda: network(root / "models/deeplabv3plus_resnet18_from_resnet101", "student"),
        "edsr teacher": lambda: network(root / "models/edsr_from_edsr", "teacher"),
        "edsr student": lambda: network(root / "models/edsr_from_edsr", "student"),
    }
    return makers[name]().eval()


def macs_by_fvcore(module: nn.Module, x: torch.Tensor) -> float:
    """Count as fvcore does, which calls one multiply-accumulate one flop; it counts normalisation and resizing too."""
    # Imported here: its libraries warn when they are imported.
    fvcore = importlib.import_module("fvcore.nn")
    analysis = fvcore.FlopCountAnalysis(module, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return sum(analysis.by_operator()[op] for op in ("conv", "linear", "matmul", "addmm", "bmm"))


NETWORKS = ["attention", "mobilenet_v3_small", "mobilenet_v3_large", "swin_t", "resnet50"]
NETWORKS += [f"{name} {role}" for name in ("deeplabv3plus", "edsr") for role in ("teacher", "student")]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.filterwarnings("ignore")  # of two tracers of torch's, and of libraries that one of them imports
def test_flops_are_those_of_torch_and_of_fvcore(name: str, root: Path) -> None:
    module, shape = make(name, root), (1, 3, 16, 16) if "edsr" in name else (1, 3, 64, 64)
    file = io.BytesIO()
    # The older exporter is the quicker one; the numbers are the graph's all the same.
    torch.onnx.export(module, (torch.rand(shape),), file, opset_version=17, dynamo=False)
    model = onnx.load_from_string(file.getvalue())
    cost, by_node = cost_of(model), node_costs(model)
    assert cost.macs == pytest.approx(macs_by_fvcore(module, torch.rand(shape)), rel=0.01)
    # On meta tensors torch counts without computing.
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.to("meta")(torch.rand(shape, device="meta"))
    assert cost.flops == pytest.approx(counter.get_total_flops(), rel=0.01)
    assert (cost.uncounted, cost.unsized) == (0, 0)
    if "deeplabv3plus" not in name:  # whose auxiliary head is there in training alone
        assert cost.parameters == pytest.approx(sum(p.numel() for p in module.parameters()), rel=0.02)
    assert sum(node.macs for node in by_node) == cost.macs
    assert sum(node.bytes_moved for node in by_node) == cost.bytes_moved
    assert cost.intensity == cost.flops / cost.bytes_moved
    # Whatever else a node does, each activation is written once, and weights are read.
    assert cost.bytes_moved > cost.weight_bytes


def test_an_exports_manifest_carries_every_total(root: Path, tmp_path: Path) -> None:
    config = ExportConfig(shape=(1, 3, 64, 64), exporter="torchscript")
    made = run(Attention().eval(), Job("0" * 64, config, 17, None, {}, tmp_path / "x.onnx"))
    assert made.facts["cost"] == asdict(cost_of(onnx.load(made.path)))
    assert set(made.facts["cost"]) >= {"macs", "bytes_moved", "intensity"}


def test_what_the_graph_holds() -> None:
    cost = cost_of(convolutions())
    assert cost.macs == 16 * 16 * (8 * 27 + 8 * 36) + 8 * 5
    assert (cost.parameters, cost.nodes, cost.weight_bytes) == (8 * 27 + 8 + 8 * 36 + 40 + 5, 6, 4 * 557)


def test_each_node_by_hand() -> None:
    nodes = {node.name: node for node in node_costs(convolutions())}
    first, second, *_ = nodes.values()
    # 3 x 16 x 16 in, 8 x 16 x 16 out, a weight of 8 x 3 x 3 x 3 and its bias, float32
    assert (first.op, first.macs, first.parameters, first.weight_bytes) == ("Conv", 256 * 8 * 27, 224, 4 * 224)
    assert first.activation_bytes == 4 * 8 * 256
    assert first.bytes_moved == 4 * (3 * 256 + 8 * 256 + 224)
    assert first.intensity == 2 * first.macs / first.bytes_moved
    assert (second.macs, second.bytes_moved) == (0, 2 * 4 * 8 * 256)  # an activation: read once, written once
    flat = next(node for node in nodes.values() if node.op == "Flatten")
    assert (flat.bytes_moved, flat.activation_bytes) == (0, 4 * 8)


def test_a_weight_that_two_nodes_read_is_stored_once_and_moved_twice() -> None:
    weight = onnx.numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    made = [helper.make_node("MatMul", [a, "w"], [b]) for a, b in (("x", "y"), ("y", "z"))]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (2, 4)) for name in "xz"]
    model = helper.make_model(helper.make_graph(made, "twice", ends[:1], ends[1:], [weight]))
    cost, nodes = cost_of(model), node_costs(model)
    assert (cost.parameters, cost.weight_bytes, cost.macs) == (16, 64, 2 * 32)
    assert [(node.name, node.parameters, node.bytes_moved) for node in nodes] == [("y", 16, 128), ("z", 16, 128)]
    assert cost.bytes_moved == 256


def test_a_gather_reads_what_it_picks() -> None:
    table = onnx.numpy_helper.from_array(np.ones((1000, 8), np.float32), "table")
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    x = helper.make_tensor_value_info("x", onnx.TensorProto.INT64, (2,))
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (2, 8))
    assert cost_of(helper.make_model(helper.make_graph([node], "pick", [x], [y], [table]))).bytes_moved == 64 + 16 + 64


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
    assert cost_of(model).unsized > 2
    assert not any(node.is_whole for node in node_costs(model)[:2])
