"""What a network costs, counted on its ONNX graph: parameters, multiply-accumulates, bytes.

Differs from the usual "FLOPs" tables: as in torch.utils.flop_counter, only convolutions and matrix products count (two
operations a multiply-accumulate); elementwise work, pooling and normalisation are free here, and recurrent layers,
which torch does not count, are taken as their matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from edgekd.core.errors import BuildError, InputError
from edgekd.core.tensor import TensorSpec
from edgekd.graph.evaluate import run_onnx
from edgekd.graph.model import dims_of, infer_shapes, input_specs, subgraphs

Shapes = Mapping[str, tuple[int, ...]]
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
_QUANTIZED = (TensorProto.INT8, TensorProto.UINT8)
_BYTES = {t: onnx.helper.tensor_dtype_to_np_dtype(t).itemsize for t in onnx.helper.get_all_tensor_dtypes()}
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@dataclass(frozen=True, slots=True)
class Cost:
    """One inference's cost.

    Attributes:
        parameters: Weights, biases and normalisation statistics: float or quantized elements.
        macs: Multiply-accumulates of convolutions, matrix products and recurrent layers.
        flops: Two a multiply-accumulate.
        weight_bytes: All constants as stored.
        activation_bytes: Every tensor that a node writes, once.
        nodes: How many, those in subgraphs included.
        uncounted: Weighty nodes whose shapes could not be inferred; 0 where ``macs`` is whole.
    """

    parameters: int
    macs: int
    flops: int
    weight_bytes: int
    activation_bytes: int
    nodes: int
    uncounted: int = 0


def cost_of(model: ModelProto, inputs: Sequence[TensorSpec] = ()) -> Cost:
    """Count ``model``.

    Args:
        model: The graph.
        inputs: Its inputs; a dynamic dimension is counted at the ``opt`` of its range.
    """
    sizes = {dim: size.opt for spec in inputs for dim, size in (spec.ranges or {}).items()}
    static = ModelProto()
    static.CopyFrom(model)
    for value in static.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
    if sizes:
        del static.graph.value_info[:]
        for value in static.graph.output:
            value.type.tensor_type.ClearField("shape")
    inferred = infer_shapes(static)
    count = _Count()
    count.graph(inferred.graph, {}, frozenset())
    if count.uncounted and (seen := _seen_shapes(inferred)):
        count = _Count()
        count.graph(inferred.graph, seen, frozenset())
    macs = count.macs
    return Cost(
        count.parameters, macs, 2 * macs, count.weight_bytes, count.activation_bytes, count.nodes, count.uncounted
    )


def _seen_shapes(model: ModelProto) -> dict[str, tuple[int, ...]]:
    """Run the graph once on zeros and return the shapes that inference could not find, where the graph can be run."""
    inputs = input_specs(model)
    known = {
        value.name for value in (*model.graph.input, *model.graph.output, *model.graph.value_info) if _shape(value)
    }
    unknown = [name for node in model.graph.node for name in node.output if name and name not in known]
    if not all(spec.is_static for spec in inputs) or any(spec.dtype in ("string", "bfloat16") for spec in inputs):
        return {}
    watched = ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in unknown)
    try:
        found = run_onnx(watched, {spec.name: np.zeros(spec.at("opt"), spec.dtype) for spec in inputs})
    except (BuildError, InputError):
        return {}
    return {name: array.shape for name, array in found.items()}


def _shape(value: onnx.ValueInfoProto) -> bool:
    dims = dims_of(value)
    return dims is not None and all(isinstance(dim, int) for dim in dims)


class _Count:
    """The running sums of one walk over a graph and its subgraphs."""

    def __init__(self) -> None:
        self.parameters = self.macs = self.weight_bytes = self.activation_bytes = self.nodes = self.uncounted = 0

    def graph(self, graph: GraphProto, outer: Shapes, outer_scales: frozenset[str]) -> None:
        shapes, types = dict(outer), {}
        for value in (*graph.input, *graph.value_info, *graph.output):
            types[value.name] = value.type.tensor_type.elem_type
            if _shape(value):
                shapes[value.name] = tuple(dim for dim in dims_of(value) or () if isinstance(dim, int))
        scales = outer_scales | _scales(graph)
        for tensor in graph.initializer:
            shapes[tensor.name] = tuple(tensor.dims)
            self._constant(tensor, tensor.name in scales)
        for node in graph.node:
            self._node(node, shapes, types, scales)

    def _node(
        self, node: NodeProto, shapes: dict[str, tuple[int, ...]], types: Mapping[str, int], scales: frozenset[str]
    ) -> None:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    shapes[node.output[0]] = tuple(attribute.t.dims)
                    self._constant(attribute.t, node.output[0] in scales)
            return
        self.nodes += 1
        for name in node.output:
            if name in shapes:
                self.activation_bytes += math.prod(shapes[name]) * _BYTES.get(types.get(name, 0), 4)
        rule = _RULES.get(node.op_type)
        if rule is not None:
            try:
                self.macs += rule(node, shapes)
            except (KeyError, IndexError):
                self.uncounted += 1
        self._branches(node, shapes, scales)

    def _branches(self, node: NodeProto, shapes: Shapes, scales: frozenset[str]) -> None:
        """Count subgraphs: all of their weights, and the dearest branch's work (If takes one, Loop counts once)."""
        branches = []
        for inner in subgraphs(node):
            branch = _Count()
            branch.graph(inner, shapes, scales)
            branches.append(branch)
        for name in ("parameters", "weight_bytes", "nodes", "uncounted"):
            setattr(self, name, getattr(self, name) + sum(getattr(branch, name) for branch in branches))
        for name in ("macs", "activation_bytes"):
            setattr(self, name, getattr(self, name) + max((getattr(branch, name) for branch in branches), default=0))

    def _constant(self, tensor: TensorProto, is_scale: bool) -> None:
        size = math.prod(tensor.dims)
        self.weight_bytes += size * _BYTES.get(tensor.data_type, 0)
        if not is_scale and tensor.dims and tensor.data_type in (*_FLOATS, *_QUANTIZED):
            self.parameters += size


def _scales(graph: GraphProto) -> frozenset[str]:
    """Name what Q/DQ nodes take as scale and zero_point: part of the arithmetic, not of the network's parameters."""
    quantizers = ("QuantizeLinear", "DequantizeLinear")
    return frozenset(name for node in graph.node if node.op_type in quantizers for name in node.input[1:])


def _conv(node: NodeProto, shapes: Shapes) -> int:
    # weight (M, C/group, *kernel): each output element takes C/group * kernel products
    return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])


def _conv_transpose(node: NodeProto, shapes: Shapes) -> int:
    # weight (C, M/group, *kernel): each input element takes M/group * kernel products
    return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])


def _gemm(node: NodeProto, shapes: Shapes) -> int:
    transposed = next((attribute.i for attribute in node.attribute if attribute.name == "transA"), 0)
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else 1]


def _matmul(node: NodeProto, shapes: Shapes) -> int:
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _einsum(node: NodeProto, shapes: Shapes) -> int:
    if len(node.input) < 2:
        return 0
    equation = next(a.s for a in node.attribute if a.name == "equation").decode().replace(" ", "")
    sizes: dict[str, int] = {}
    for term, name in zip(equation.partition("->")[0].split(","), node.input, strict=False):
        sizes.update(zip(term, shapes[name], strict=False))
    return math.prod(sizes.values())


def _recurrent(node: NodeProto, shapes: Shapes) -> int:
    # W (directions, gates * hidden, input), R (directions, gates * hidden, hidden), X (sequence, batch, input)
    directions, rows, size = shapes[node.input[1]]
    sequence, batch = shapes[node.input[0]][:2]
    return sequence * batch * directions * rows * (size + rows // _GATES[node.op_type])


_RULES: dict[str, Callable[[NodeProto, Shapes], int]] = {
    "Conv": _conv,
    "ConvInteger": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "Einsum": _einsum,
    **dict.fromkeys(_GATES, _recurrent),
}
