"""The cost of a network, counted node by node on its ONNX graph: parameters, multiply-accumulates, bytes.

FLOPs are counted as in torch.utils.flop_counter: convolutions and matrix products alone, two operations per
multiply-accumulate. Elementwise operators, pooling and normalisation count 0. Recurrent layers, which torch does not
count, count as their matrix products.

Bytes moved are those of a graph that runs as written: every node reads each of its inputs and weights once and writes
its outputs. An engine that fuses nodes, or keeps a tensor in cache, moves fewer. FLOPs per byte moved is the arithmetic
intensity of the roofline model. Source: S. Williams, A. Waterman, D. Patterson, "Roofline: An Insightful Visual
Performance Model for Multicore Architectures", CACM 52(4), 2009.
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
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}  # matrix products per time step

# Operators that give the same bytes another shape, or return a shape: they move nothing.
_VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Shape", "Size")
# Operators that read only as much of their first input as they write.
_PICKERS = ("Gather", "GatherElements", "GatherND", "Slice")


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one inference.

    Attributes:
        parameters: Weights, biases and normalisation statistics: float or quantized elements.
        macs: Multiply-accumulates of convolutions, matrix products and recurrent layers.
        flops: Two per multiply-accumulate.
        weight_bytes: Size of all constants as stored.
        activation_bytes: Size of every tensor that a node writes, each once.
        bytes_moved: Bytes that all nodes read and write, run one by one.
        intensity: FLOPs per byte moved.
        nodes: Number of nodes, those in subgraphs included.
        uncounted: Nodes missing from ``macs`` because a shape could not be inferred; 0 where it is complete.
        unsized: Nodes missing from ``bytes_moved`` for the same reason; 0 where it is complete.
    """

    parameters: int
    macs: int
    flops: int
    weight_bytes: int
    activation_bytes: int
    bytes_moved: int
    intensity: float
    nodes: int
    uncounted: int = 0
    unsized: int = 0


@dataclass(frozen=True, slots=True)
class NodeCost:
    """The cost of one node; fields as in ``Cost``. An If or Loop includes its body.

    A constant that several nodes read counts in the ``parameters`` and ``weight_bytes`` of each, and once in the total.

    Attributes:
        is_whole: Whether all shapes were known, so that no figure lacks a part.
    """

    name: str
    op: str
    parameters: int
    macs: int
    flops: int
    weight_bytes: int
    activation_bytes: int
    bytes_moved: int
    intensity: float
    is_whole: bool


def cost_of(model: ModelProto, inputs: Sequence[TensorSpec] = ()) -> Cost:
    """Count the whole of ``model``.

    Args:
        model: The graph.
        inputs: Its inputs, where it has dynamic dimensions: each is counted at the ``opt`` of its range.
    """
    return _counted(model, inputs)[0].total()


def node_costs(model: ModelProto, inputs: Sequence[TensorSpec] = ()) -> tuple[NodeCost, ...]:
    """Count each node of ``model``'s outermost graph, in its order; arguments as for ``cost_of``."""
    return tuple(_counted(model, inputs)[1])


def _counted(model: ModelProto, inputs: Sequence[TensorSpec]) -> tuple[_Sums, list[NodeCost]]:
    sizes: dict[str, int] = {}
    for spec in inputs:
        for name, allowed in (spec.ranges or {}).items():
            sizes[name] = allowed.opt
    static = ModelProto()
    static.CopyFrom(model)
    for value in static.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
    if sizes:
        # These shapes hold the names; inference finds them again with the sizes.
        del static.graph.value_info[:]
        for value in static.graph.output:
            value.type.tensor_type.ClearField("shape")
    inferred = infer_shapes(static)
    sums, by_node = _count_graph(inferred.graph, _Scope({}, {}, {}, frozenset()))
    if not sums.uncounted and not sums.unsized:
        return sums, by_node
    observed = _observed_shapes(inferred)
    return _count_graph(inferred.graph, _Scope(observed, {}, {}, frozenset())) if observed else (sums, by_node)


def _observed_shapes(model: ModelProto) -> dict[str, tuple[int, ...]]:
    """Run the graph once on zeros and return the shapes that inference could not find; {} if it cannot be run."""
    inputs = input_specs(model)
    if not all(spec.is_static and spec.dtype not in ("string", "bfloat16") for spec in inputs):
        return {}
    graph = model.graph
    known = {value.name for value in (*graph.input, *graph.output, *graph.value_info) if _is_static(value)}
    unknown = [name for node in graph.node for name in node.output if name and name not in known]
    probe = ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in unknown)
    try:
        found = run_onnx(probe, {spec.name: np.zeros(spec.at("opt"), spec.dtype) for spec in inputs})
    except (BuildError, InputError):
        return {}
    return {name: array.shape for name, array in found.items()}


def _is_static(value: onnx.ValueInfoProto) -> bool:
    dims = dims_of(value)
    return dims is not None and all(isinstance(dim, int) for dim in dims)


@dataclass(slots=True)
class _Sums:
    """Running sums; fields as in ``Cost``."""

    parameters: int = 0
    macs: int = 0
    weight_bytes: int = 0
    activation_bytes: int = 0
    bytes_moved: int = 0
    nodes: int = 0
    uncounted: int = 0
    unsized: int = 0

    def add(self, other: _Sums) -> None:
        """Add the sums of ``other`` to these."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def total(self) -> Cost:
        """Return the sums together with the figures derived from them."""
        sums = {name: getattr(self, name) for name in self.__slots__}
        return Cost(flops=2 * self.macs, intensity=_intensity(self), **sums)


@dataclass(frozen=True, slots=True)
class _Scope:
    """The tensors that are visible in a graph, those of the enclosing graphs included.

    Attributes:
        shapes: Tensor → its shape, where that is known.
        types: Tensor → its ONNX element type.
        constants: Constant → number of parameters in it.
        scales: Scales and zero points of Q/DQ nodes.
    """

    shapes: dict[str, tuple[int, ...]]
    types: dict[str, int]
    constants: dict[str, int]
    scales: frozenset[str]

    def bytes_of(self, name: str) -> int | None:
        """Return a tensor's size in bytes, None where its shape is unknown."""
        shape = self.shapes.get(name)
        return None if shape is None else math.prod(shape) * _BYTES.get(self.types.get(name, 0), 4)


def _count_graph(graph: GraphProto, outer: _Scope) -> tuple[_Sums, list[NodeCost]]:
    """Count a graph that stands inside ``outer``."""
    scope = _Scope({**outer.shapes}, {**outer.types}, {**outer.constants}, outer.scales | _scales(graph))
    for value in (*graph.input, *graph.value_info, *graph.output):
        scope.types[value.name] = value.type.tensor_type.elem_type
        if _is_static(value):
            scope.shapes[value.name] = tuple(dim for dim in dims_of(value) or () if isinstance(dim, int))
    sums, by_node = _Sums(), []
    for tensor in graph.initializer:
        _count_constant(tensor.name, tensor, scope, sums)
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    _count_constant(node.output[0], attribute.t, scope, sums)
            continue
        work = _count_node(node, scope)
        sums.add(work)
        # Constants are in the totals already; from here on they are added to this node's own figures alone.
        stored = [name for name in dict.fromkeys(node.input) if name in scope.constants]
        work.parameters += sum(scope.constants[name] for name in stored)
        work.weight_bytes += sum(scope.bytes_of(name) or 0 for name in stored)
        by_node.append(_node_cost(node, work))
    return sums, by_node


def _node_cost(node: NodeProto, work: _Sums) -> NodeCost:
    return NodeCost(
        name=node.name or next(iter(node.output), ""),
        op=node.op_type,
        parameters=work.parameters,
        macs=work.macs,
        flops=2 * work.macs,
        weight_bytes=work.weight_bytes,
        activation_bytes=work.activation_bytes,
        bytes_moved=work.bytes_moved,
        intensity=_intensity(work),
        is_whole=not work.uncounted and not work.unsized,
    )


def _count_node(node: NodeProto, scope: _Scope) -> _Sums:
    """Count a node and the graphs inside it, without the constants of the graph it stands in."""
    work = _Sums(nodes=1)
    work.activation_bytes = sum(scope.bytes_of(name) or 0 for name in node.output)
    rule = _RULES.get(node.op_type)
    if rule is not None:
        try:
            work.macs = rule(node, scope.shapes)
        except (KeyError, IndexError):
            work.uncounted = 1
    branches = [_count_graph(inner, scope)[0] for inner in subgraphs(node)]
    if not branches:
        bytes_moved = _bytes_moved(node, scope)
        work.bytes_moved, work.unsized = bytes_moved or 0, int(bytes_moved is None)
        return work
    # All branches are stored, and one of them runs: the most expensive is counted. A Loop's body counts once.
    for name in ("parameters", "weight_bytes", "nodes", "uncounted", "unsized"):
        setattr(work, name, getattr(work, name) + sum(getattr(branch, name) for branch in branches))
    for name in ("macs", "activation_bytes", "bytes_moved"):
        setattr(work, name, getattr(work, name) + max(getattr(branch, name) for branch in branches))
    return work


def _bytes_moved(node: NodeProto, scope: _Scope) -> int | None:
    """Return the bytes that a node reads and writes; None where the shape of a tensor is unknown."""
    if node.op_type in _VIEWS:
        return 0
    read = [scope.bytes_of(name) for name in dict.fromkeys(node.input) if name]
    written = [scope.bytes_of(name) for name in node.output if name]
    sizes = [size for size in (*read, *written) if size is not None]
    if len(sizes) < len(read) + len(written):  # one of them is unknown
        return None
    if node.op_type in _PICKERS and sizes:  # the first is the tensor picked from, the last is the output
        sizes[0] = min(sizes[0], sizes[-1])
    return sum(sizes)


def _intensity(sums: _Sums) -> float:
    return 2 * sums.macs / sums.bytes_moved if sums.bytes_moved else 0.0


def _count_constant(name: str, tensor: TensorProto, scope: _Scope, sums: _Sums) -> None:
    size = math.prod(tensor.dims)
    is_parameter = name not in scope.scales and tensor.dims and tensor.data_type in (*_FLOATS, *_QUANTIZED)
    scope.shapes[name], scope.types[name] = tuple(tensor.dims), tensor.data_type
    scope.constants[name] = size if is_parameter else 0
    sums.parameters += scope.constants[name]
    sums.weight_bytes += size * _BYTES.get(tensor.data_type, 0)


def _scales(graph: GraphProto) -> frozenset[str]:
    """Return the scales and zero points of Q/DQ nodes, which are not parameters of the network."""
    quantizers = ("QuantizeLinear", "DequantizeLinear")
    return frozenset(name for node in graph.node if node.op_type in quantizers for name in node.input[1:])


def _conv(node: NodeProto, shapes: Shapes) -> int:
    # weight (M, C/group, *kernel): each output element takes C/group * kernel products
    return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])


def _conv_transpose(node: NodeProto, shapes: Shapes) -> int:
    # weight (C, M/group, *kernel): each input element takes M/group * kernel products
    return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])


def _gemm(node: NodeProto, shapes: Shapes) -> int:
    is_transposed = next((attribute.i for attribute in node.attribute if attribute.name == "transA"), 0)
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if is_transposed else 1]


def _matmul(node: NodeProto, shapes: Shapes) -> int:
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _einsum(node: NodeProto, shapes: Shapes) -> int:
    if len(node.input) < 2:
        return 0
    equation = next(a.s for a in node.attribute if a.name == "equation").decode().replace(" ", "")
    # One multiply-accumulate per combination of all indices, those that are summed over included.
    sizes: dict[str, int] = {}
    for term, name in zip(equation.partition("->")[0].split(","), node.input, strict=False):
        sizes.update(zip(term, shapes[name], strict=False))
    return math.prod(sizes.values())


def _recurrent(node: NodeProto, shapes: Shapes) -> int:
    # W (directions, gates * hidden, input), R (directions, gates * hidden, hidden), X (sequence, batch, input)
    directions, rows, size = shapes[node.input[1]]
    sequence, batch = shapes[node.input[0]][:2]
    # rows // gates is the hidden size: per step, rows x input products with W and rows x hidden with R
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
