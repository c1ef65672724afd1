"""What a network costs, counted on its ONNX graph, node by node: parameters, multiply-accumulates, bytes.

Differs from the usual "FLOPs" tables: as in torch.utils.flop_counter, only convolutions and matrix products count (two
operations a multiply-accumulate); elementwise work, pooling and normalisation are free here, and recurrent layers,
which torch does not count, are taken as their matrix products.

Bytes moved are those of a graph that is run as it is written: every node reads each of its inputs and weights once, and
writes its outputs. An engine that fuses nodes, or keeps a tensor in cache, moves fewer. FLOPs over bytes moved is the
arithmetic intensity of the roofline. Source: S. Williams, A. Waterman, D. Patterson, "Roofline: An Insightful Visual
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
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


# They give the same bytes another shape, or tell a shape.
_VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Shape", "Size")
# They read of their first input as much as they write.
_PICKERS = ("Gather", "GatherElements", "GatherND", "Slice")


@dataclass(frozen=True, slots=True)
class Cost:
    """One inference's cost.

    Attributes:
        parameters: Weights, biases and normalisation statistics: float or quantized elements.
        macs: Multiply-accumulates of convolutions, matrix products and recurrent layers.
        flops: Two a multiply-accumulate.
        weight_bytes: All constants as stored.
        activation_bytes: Every tensor that a node writes, once.
        bytes_moved: Read and written by all nodes, run one by one.
        intensity: FLOPs per byte moved.
        nodes: How many, those in subgraphs included.
        uncounted: Weighty nodes whose shapes could not be inferred; 0 where ``macs`` is whole.
        unsized: Nodes with a tensor whose shape could not be inferred; 0 where ``bytes_moved`` is whole.
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
    """One node's share of it; fields as in ``Cost``. An If or Loop stands for its body.

    A constant that several nodes read is in each one's ``parameters`` and ``weight_bytes``, and once in the total.
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
    """Count ``model``.

    Args:
        model: The graph.
        inputs: Its inputs; a dynamic dimension is counted at the ``opt`` of its range.
    """
    return _counted(model, inputs)[0].total()


def node_costs(model: ModelProto, inputs: Sequence[TensorSpec] = ()) -> tuple[NodeCost, ...]:
    """Count every node of ``model``'s outermost graph, in its order; arguments are those of ``cost_of``."""
    return tuple(_counted(model, inputs)[1])


def _counted(model: ModelProto, inputs: Sequence[TensorSpec]) -> tuple[_Sums, list[NodeCost]]:
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
    sums, by_node = _graph(inferred.graph, _Scope({}, {}, {}, frozenset()))
    if (sums.uncounted or sums.unsized) and (seen := _seen_shapes(inferred)):
        return _graph(inferred.graph, _Scope(seen, {}, {}, frozenset()))
    return sums, by_node


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
        """Add another's sums to these."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def total(self) -> Cost:
        """Return the sums with what follows from them."""
        sums = {name: getattr(self, name) for name in self.__slots__}
        return Cost(flops=2 * self.macs, intensity=_intensity(self), **sums)


@dataclass(frozen=True, slots=True)
class _Scope:
    """What the nodes of a graph see, the graphs around it included.

    Attributes:
        shapes: Tensor → its shape, where that is known.
        kinds: Tensor → its element type.
        constants: Tensor → how many parameters it holds.
        scales: Constants that are part of the arithmetic.
    """

    shapes: dict[str, tuple[int, ...]]
    kinds: dict[str, int]
    constants: dict[str, int]
    scales: frozenset[str]

    def bytes_of(self, name: str) -> int | None:
        """Return a tensor's size, None where its shape is unknown."""
        shape = self.shapes.get(name)
        return None if shape is None else math.prod(shape) * _BYTES.get(self.kinds.get(name, 0), 4)


def _graph(graph: GraphProto, outer: _Scope) -> tuple[_Sums, list[NodeCost]]:
    """Count a graph that sees what ``outer`` does."""
    scope = _Scope({**outer.shapes}, {**outer.kinds}, {**outer.constants}, outer.scales | _scales(graph))
    for value in (*graph.input, *graph.value_info, *graph.output):
        scope.kinds[value.name] = value.type.tensor_type.elem_type
        if _shape(value):
            scope.shapes[value.name] = tuple(dim for dim in dims_of(value) or () if isinstance(dim, int))
    sums, by_node = _Sums(), []
    for tensor in graph.initializer:
        _constant(tensor.name, tensor, scope, sums)
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    _constant(node.output[0], attribute.t, scope, sums)
            continue
        work = _work(node, scope)
        sums.add(work)
        stored = [name for name in dict.fromkeys(node.input) if name in scope.constants]
        work.parameters += sum(scope.constants[name] for name in stored)
        work.weight_bytes += sum(scope.bytes_of(name) or 0 for name in stored)
        by_node.append(_named(node, work))
    return sums, by_node


def _named(node: NodeProto, work: _Sums) -> NodeCost:
    return NodeCost(
        *(node.name or next(iter(node.output), ""), node.op_type, work.parameters, work.macs, 2 * work.macs),
        *(work.weight_bytes, work.activation_bytes, work.bytes_moved, _intensity(work)),
        is_whole=not work.uncounted and not work.unsized,
    )


def _work(node: NodeProto, scope: _Scope) -> _Sums:
    """Count what a node does, and all that is inside it; constants of the graph it stands in are not its own."""
    work = _Sums(nodes=1)
    work.activation_bytes = sum(scope.bytes_of(name) or 0 for name in node.output)
    rule = _RULES.get(node.op_type)
    if rule is not None:
        try:
            work.macs = rule(node, scope.shapes)
        except (KeyError, IndexError):
            work.uncounted = 1
    branches = [_graph(inner, scope)[0] for inner in subgraphs(node)]
    if not branches:
        moved = _moved(node, scope)
        work.bytes_moved, work.unsized = moved or 0, int(moved is None)
        return work
    # All of the branches' weights, and the dearest one's work: If takes one, Loop is counted once.
    for name in ("parameters", "weight_bytes", "nodes", "uncounted", "unsized"):
        setattr(work, name, getattr(work, name) + sum(getattr(branch, name) for branch in branches))
    for name in ("macs", "activation_bytes", "bytes_moved"):
        setattr(work, name, getattr(work, name) + max(getattr(branch, name) for branch in branches))
    return work


def _moved(node: NodeProto, scope: _Scope) -> int | None:
    """Return the bytes that a node reads and writes; None where the shape of one of its tensors is unknown."""
    if node.op_type in _VIEWS:
        return 0
    read = [scope.bytes_of(name) for name in dict.fromkeys(node.input) if name]
    written = [scope.bytes_of(name) for name in node.output if name]
    sizes = [size for size in (*read, *written) if size is not None]
    if len(sizes) < len(read) + len(written):
        return None
    if node.op_type in _PICKERS and sizes:
        sizes[0] = min(sizes[0], sizes[-1])
    return sum(sizes)


def _intensity(sums: _Sums) -> float:
    return 2 * sums.macs / sums.bytes_moved if sums.bytes_moved else 0.0


def _constant(name: str, tensor: TensorProto, scope: _Scope, sums: _Sums) -> None:
    size = math.prod(tensor.dims)
    is_parameter = name not in scope.scales and tensor.dims and tensor.data_type in (*_FLOATS, *_QUANTIZED)
    scope.shapes[name], scope.kinds[name] = tuple(tensor.dims), tensor.data_type
    scope.constants[name] = size if is_parameter else 0
    sums.parameters += scope.constants[name]
    sums.weight_bytes += size * _BYTES.get(tensor.data_type, 0)


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
