"""The cost counted on an ONNX graph: as torch and fvcore count it on the module, and by hand."""

from __future__ import annotations

import importlib
import io
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torchvision
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgekd.core.tensor import DimRange, TensorSpec
from edgekd.graph.cost import cost_of, node_costs
from edgekd.networks.checkpoint import network
from edgekd.quantize.scheme import Context
from edgekd.quantize.schemes import int8
from tests.unit.graph.networks import branches, convolutions, parse, real_samples


class Attention(nn.Module):
    """Self-attention over patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 8, stride=8)
        self.qkv, self.project = nn.Linear(32, 96), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).chunk(3, dim=-1)
        return self.project(torch.softmax(q @ k.transpose(1, 2), dim=-1) @ v)


def make(name: str, root: Path) -> nn.Module:
    """Return an untrained network by name."""
    makers = {
        "attention": Attention,
        "mobilenet_v3_small": lambda: torchvision.models.mobilenet_v3_small(weights=None),
        # One block a stage: the deeper ones have the same operators.
        "swin": lambda: torchvision.models.SwinTransformer([4, 4], 24, [2, 2], [3, 6], [7, 7]),
        "resnet": lambda: torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1]),
        "deeplabv3plus": lambda: network(root / "models/deeplabv3plus_resnet18_from_resnet101", "student"),
        "edsr": lambda: network(root / "models/edsr_from_edsr", "student"),
    }
    return makers[name]().eval()


def macs_by_fvcore(module: nn.Module, x: torch.Tensor) -> float:
    """Count as fvcore does, which calls one multiply-accumulate one flop; it counts normalisation and resizing too."""
    # Imported here: its libraries warn when they are imported.
    fvcore = importlib.import_module("fvcore.nn")
    analysis = fvcore.FlopCountAnalysis(module, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return sum(analysis.by_operator()[op] for op in ("conv", "linear", "matmul", "addmm", "bmm"))


NETWORKS = ["attention", "mobilenet_v3_small", "swin", "resnet", "deeplabv3plus", "edsr"]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.filterwarnings("ignore")  # both of torch's tracers warn, and so do libraries that one of them imports
def test_flops_are_those_of_torch_and_of_fvcore(name: str, root: Path) -> None:
    module, shape = make(name, root), (1, 3, 16, 16) if name == "edsr" else (1, 3, 64, 64)
    file = io.BytesIO()
    # The older exporter is faster; the counts do not depend on it.
    torch.onnx.export(module, (torch.rand(shape),), file, opset_version=17, dynamo=False)
    model = onnx.load_from_string(file.getvalue())
    cost, by_node = cost_of(model), node_costs(model)
    assert cost.macs == pytest.approx(macs_by_fvcore(module, torch.rand(shape)), rel=0.01)
    # On meta tensors torch counts without computing.
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.to("meta")(torch.rand(shape, device="meta"))
    assert cost.flops == pytest.approx(counter.get_total_flops(), rel=0.01)
    assert (cost.uncounted, cost.unsized) == (0, 0)
    # The exporter unfolds swin's position tables; deeplabv3plus has an auxiliary head in training alone.
    if name not in ("swin", "deeplabv3plus"):
        assert cost.parameters == pytest.approx(sum(p.numel() for p in module.parameters()), rel=0.02)
    assert sum(node.macs for node in by_node) == cost.macs
    assert sum(node.bytes_moved for node in by_node) == cost.bytes_moved
    assert cost.intensity == cost.flops / cost.bytes_moved
    # Weights are read at least once, and activations are moved besides.
    assert cost.bytes_moved > cost.weight_bytes


def test_a_small_graph_by_hand() -> None:
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
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    made = [helper.make_node("MatMul", [a, "w"], [b]) for a, b in (("x", "y"), ("y", "z"))]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (2, 4)) for name in "xz"]
    model = helper.make_model(helper.make_graph(made, "twice", ends[:1], ends[1:], [weight]))
    cost, nodes = cost_of(model), node_costs(model)
    assert (cost.parameters, cost.weight_bytes, cost.macs) == (16, 64, 2 * 32)
    assert [(node.name, node.parameters, node.bytes_moved) for node in nodes] == [("y", 16, 128), ("z", 16, 128)]
    assert cost.bytes_moved == 256


def test_a_gather_reads_what_it_picks() -> None:
    table = numpy_helper.from_array(np.ones((1000, 8), np.float32), "table")
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    x = helper.make_tensor_value_info("x", TensorProto.INT64, (2,))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (2, 8))
    assert cost_of(helper.make_model(helper.make_graph([node], "pick", [x], [y], [table]))).bytes_moved == 64 + 16 + 64


def macs_of(text: str, **weights: tuple[int, ...]) -> int:
    """Count the multiply-accumulates of a graph whose ``weights`` are of these shapes."""
    model = parse(text)
    for name, shape in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
    cost = cost_of(model)
    assert cost.uncounted == 0
    assert cost.flops == 2 * cost.macs
    return cost.macs


@pytest.mark.parametrize("trans_a", [0, 1])
def test_gemm_multiplies_along_the_inner_dimension(trans_a: int) -> None:
    shape = "[4,7]" if trans_a else "[7,4]"
    text = f"net (float{shape} x) => (float[7,5] y) {{ y = Gemm <transA = {trans_a}> (x, w) }}"
    assert macs_of(text, w=(4, 5)) == 7 * 4 * 5


def test_matmul_counts_every_matrix_of_a_batch() -> None:
    assert macs_of("net (float[2,3,7,4] x) => (float[2,3,7,5] y) { y = MatMul (x, w) }", w=(4, 5)) == 2 * 3 * 7 * 4 * 5
    assert macs_of("net (float[3,7,4] x, float[3,4,5] w) => (float[3,7,5] y) { y = MatMul (x, w) }") == 3 * 7 * 4 * 5


@pytest.mark.parametrize(
    ("equation", "x", "w", "macs"),
    [
        ("bij,bjk->bik", (2, 3, 4), (2, 4, 5), 2 * 3 * 4 * 5),
        ("b i j , j k -> b i k", (2, 3, 4), (4, 5), 2 * 3 * 4 * 5),
        ("ij,ij->", (3, 4), (3, 4), 3 * 4),
    ],
)
def test_einsum_counts_each_combination_of_indices(equation: str, x: tuple, w: tuple, macs: int) -> None:
    node = helper.make_node("Einsum", ["x", "w"], ["y"], equation=equation)
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", x), ("w", w))]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "sum", inputs, [output])
    assert cost_of(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])).macs == macs


def test_an_einsum_of_one_tensor_multiplies_nothing() -> None:
    node = helper.make_node("Einsum", ["x"], ["y"], equation="ij->ji")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (3, 4))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (4, 3))
    assert cost_of(helper.make_model(helper.make_graph([node], "turn", [x], [y]))).macs == 0


@pytest.mark.parametrize(("operator", "module"), [("LSTM", nn.LSTM), ("GRU", nn.GRU), ("RNN", nn.RNN)])
def test_recurrent_layers_count_as_their_matrix_products(operator: str, module: type[nn.Module]) -> None:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator]
    text = f"net (float[6,2,5] x) => (float[6,1,2,8] y) {{ y = {operator} <hidden_size = 8> (x, w, r) }}"
    macs = macs_of(text, w=(1, gates * 8, 5), r=(1, gates * 8, 8))
    # 6 steps of 2 sequences, each through every weight of the torch module once
    weights = sum(parameter.numel() for parameter in module(5, 8, bias=False).parameters())
    assert macs == 6 * 2 * weights


def test_transposed_convolutions_count_from_their_input() -> None:
    text = "net (float[1,4,5,5] x) => (float[1,6,10,10] y) { y = ConvTranspose <strides = [2,2], group = 2> (x, w) }"
    assert macs_of(text, w=(4, 3, 2, 2)) == 4 * 25 * 3 * 4


def test_elementwise_operators_and_pooling_count_nothing() -> None:
    assert macs_of("net (float[1,4,8,8] x) => (float[1,4,1,1] y) { a = Mul (x, x) y = GlobalAveragePool (a) }") == 0


def test_views_move_nothing() -> None:
    model = parse("net (float[2,8] x) => (float[16] y) <int64[1] s = {-1}> { a = Reshape (x, s) y = Identity (a) }")
    cost = cost_of(model)
    assert (cost.bytes_moved, cost.activation_bytes, cost.intensity) == (0, 2 * 64, 0)


@pytest.mark.parametrize(("dtype", "size"), [("float16", 2), ("float", 4), ("double", 8), ("int8", 1), ("bool", 1)])
def test_bytes_follow_the_element_type(dtype: str, size: int) -> None:
    model = parse(f"net ({dtype}[1,10] x) => ({dtype}[1,10] y) {{ y = Concat <axis = 0> (x) }}")
    assert cost_of(model).bytes_moved == 2 * 10 * size


def test_scales_of_quantization_are_no_parameters() -> None:
    """The float graph and the same graph with Q/DQ have the same parameters; weights shrink to a quarter."""
    before = convolutions()
    context = Context(Path("net.onnx"), real_samples(before))
    after = int8.quantize(before, int8.Config(), context).model
    assert cost_of(after).parameters == cost_of(before).parameters
    assert cost_of(after).macs == cost_of(before).macs
    assert cost_of(after).weight_bytes < 0.5 * cost_of(before).weight_bytes


def test_half_moves_half_the_bytes() -> None:
    before = parse("net (float16[1,3,8,8] x) => (float16[1,3,8,8] y) { y = Relu (x) }")
    after = parse("net (float[1,3,8,8] x) => (float[1,3,8,8] y) { y = Relu (x) }")
    assert 2 * cost_of(before).bytes_moved == cost_of(after).bytes_moved


def branching(then_channels: int, else_channels: int) -> ModelProto:
    """Return an If of two convolutions of these numbers of output channels."""
    sizes = {"then": then_channels, "else": else_channels}
    weights = [
        numpy_helper.from_array(np.ones((size, 3, 1, 1), np.float32), f"{name}_weight") for name, size in sizes.items()
    ]
    bodies = {}
    for name, weight in zip(sizes, weights, strict=True):
        output = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, (1, sizes[name], 4, 4))
        node = helper.make_node("Conv", ["x", weight.name], [output.name])
        bodies[f"{name}_branch"] = helper.make_graph([node], name, [], [output], [weight])
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 4, 4)),
        helper.make_tensor_value_info("c", TensorProto.BOOL, ()),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node("If", ["c"], ["y"], **bodies)
    return helper.make_model(helper.make_graph([node], "choose", inputs, [output]))


@pytest.mark.parametrize(("then_channels", "else_channels"), [(2, 5), (5, 2)])
def test_of_two_branches_the_expensive_one_runs_and_both_are_stored(then_channels: int, else_channels: int) -> None:
    model = branching(then_channels, else_channels)
    cost, (node,) = cost_of(model), node_costs(model)
    assert cost.macs == node.macs == 5 * 3 * 16
    assert cost.parameters == node.parameters == 7 * 3
    assert cost.nodes == 3


def test_dynamic_dimensions_are_counted_at_their_opt() -> None:
    model = branches()
    ranges = {"batch": DimRange(1, 1, 1), "length": DimRange(1, 10, 20)}
    inputs = (TensorSpec("x", ("batch", "length"), "float32", ranges),)
    assert cost_of(model, inputs).activation_bytes > cost_of(model).activation_bytes
    assert cost_of(model).nodes == 4


def test_shapes_recorded_before_the_sizes_were_known_do_not_count() -> None:
    model = onnx.shape_inference.infer_shapes(
        parse("net (float[n,4] x) => (float[n,4] y) { a = Relu (x) y = Neg (a) }")
    )
    spec = TensorSpec("x", ("n", 4), "float32", {"n": DimRange(1, 3, 9)})
    before = model.SerializeToString()
    assert cost_of(model, [spec]).activation_bytes == 2 * 3 * 4 * 4
    assert model.SerializeToString() == before


def test_a_graph_whose_shapes_are_unknown_says_so() -> None:
    model = convolutions()
    model.graph.input[0].type.tensor_type.shape.dim[2].ClearField("dim_value")
    assert cost_of(model).uncounted == 2
    assert cost_of(model).unsized > 2
    assert not any(node.is_whole for node in node_costs(model)[:2])


def test_shapes_that_depend_on_values_are_found_by_running_the_graph() -> None:
    """NonZero's output has no shape that inference could find; of zeros, it finds nothing."""
    model = parse("net (float[3,4] x) => (float[2,5] y) { i = NonZero (x) f = Cast <to = 1> (i) y = MatMul (f, w) }")
    model.graph.initializer.append(numpy_helper.from_array(np.ones((0, 5), np.float32), "w"))
    cost = cost_of(model)
    assert (cost.uncounted, cost.unsized) == (0, 0)
    assert cost.macs == 0
    assert all(node.is_whole for node in node_costs(model))


def test_a_graph_that_cannot_be_run_stays_uncounted() -> None:
    model = parse("net (float[3,4] x) => (float[2,5] y) { i = NonZero (x) f = Cast <to = 1> (i) y = MatMul (f, w) }")
    model.graph.initializer.append(numpy_helper.from_array(np.ones((7, 5), np.float32), "w"))  # runs on 7 values alone
    assert cost_of(model).unsized > 0


def test_strings_are_not_made_up_to_run_a_graph() -> None:
    model = parse("net (string[3] x) => (string[n] y) { y = StringNormalizer (x) }")
    assert cost_of(model).unsized == 1


def test_nodes_without_a_name_go_by_their_first_output() -> None:
    model = parse("net (float[2] x) => (float[2] y) { [first] a = Relu (x) y = Neg (a) }")
    assert [(node.name, node.op) for node in node_costs(model)] == [("first", "Relu"), ("y", "Neg")]


def test_constant_nodes_are_weights_and_no_work() -> None:
    model = parse("net (float[3] x) => (float[3] y) { k = Constant <value = float[3] {1, 2, 3}> () y = Mul (x, k) }")
    cost = cost_of(model)
    assert (cost.nodes, cost.parameters, cost.weight_bytes, cost.bytes_moved) == (1, 3, 12, 3 * 12)
