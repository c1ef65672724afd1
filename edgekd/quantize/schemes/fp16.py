"""FP16: every float tensor inside the graph becomes half, inputs and outputs stay float32; for strongly typed TensorRT.

One pass over the graph and its subgraphs rounds the constants and changes the targets of casts. A few nodes stay in
FP32: the operator or its constants do not fit half, the node belongs to the preprocessing or postprocessing in the
graph, or the user excludes it. They get a Cast where they meet half nodes. Among themselves they pass on float32,
because a guided filter, for one, subtracts squares whose difference half would lose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from edgekd.core.preprocessing import POSTPROCESS_PREFIX, PREPROCESS_PREFIX
from edgekd.graph.constants import lift_constants, set_nodes
from edgekd.graph.model import infer_shapes, subgraphs
from edgekd.quantize.scheme import Context, Quantized

LIBRARIES = ("onnx",)

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT
_MAX_HALF = 65504.0
# Below this, a constant is a mask's "minus infinity": the lowest half does the same.
_MINUS_INFINITY = -1e8
_CAST = "edgekd_cast_"

# Operators whose float tensors may not be half in ONNX or in TensorRT, or lose their meaning in half.
_FP32_OPERATORS = {
    "NonMaxSuppression": "takes float32 only",
    "CumSum": "accumulates; half loses its low bits",
    "Range": "a half cannot count beyond 2048",
    "RoiAlign": "its coordinates are pixels",
    "Multinomial": "takes float32 only",
    "QuantizeLinear": "its scale is float32",
    "DequantizeLinear": "its scale is float32",
}
# Inputs that are float32 by the operator's definition: scales.
_FP32_INPUTS = {"Resize": (2,), "Upsample": (1,)}
_OPERATORS_WITH_DTYPE = (
    *("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike"),
    *("EyeLike", "Bernoulli"),
)
# Those of them that give float32 where they have no dtype.
_FLOAT_BY_DEFAULT = ("RandomNormal", "RandomUniform", "EyeLike")


@dataclass(frozen=True, slots=True)
class Config:
    """FP16 has no options."""


def quantize(model: ModelProto, config: Config, context: Context) -> Quantized:
    """Return ``model`` with its float tensors in half, except for its inputs and outputs.

    Args:
        model: The graph.
        config: No options.
        context: Excluded nodes stay in FP32; the samples are not used.

    Raises:
        InputError: An excluded node does not exist.
    """
    fp16_model = infer_shapes(model)
    preprocessing = dict.fromkeys(_preprocessing_nodes(model.graph), "preprocessing or postprocessing in the graph")
    excluded = dict.fromkeys(context.excluded_nodes(model), "named in quantize.exclude_nodes")
    converter = _Converter({**preprocessing, **excluded})
    converter.convert(fp16_model)
    kept = converter.kept_fp32
    summary = f"{converter.converted_nodes} nodes in FP16, {len(kept)} in FP32"
    if count := len(preprocessing.keys() & kept.keys()):
        summary += f", {count} of them preprocessing and postprocessing"
    facts = {
        "kept_fp32": dict(sorted(kept.items())),
        "fp16_nodes": converter.converted_nodes,
        "rounded_to_zero": converter.rounded_to_zero,
    }
    return Quantized(fp16_model, facts, summary, _simulation(model, set(kept)))


def _preprocessing_nodes(graph: GraphProto) -> set[str]:
    """Return the names of the nodes of the task's preprocessing and postprocessing.

    A simplifier merges nodes and gives them names of its own. Everything that leads to a preprocessing node, or follows
    from a postprocessing node, therefore belongs to it, whatever its name.
    """
    found: set[str] = set()
    upstream: set[str] = set()
    for node in reversed(graph.node):
        if node.name.startswith(PREPROCESS_PREFIX) or not upstream.isdisjoint(node.output):
            upstream.update(filter(None, node.input))
            found.add(node.name)
    downstream: set[str] = set()
    for node in graph.node:
        if node.name.startswith(POSTPROCESS_PREFIX) or not downstream.isdisjoint(node.input):
            downstream.update(filter(None, node.output))
            found.add(node.name)
    return found - {""}


def _simulation(model: ModelProto, kept_fp32: set[str]) -> ModelProto:
    """Return the FP32 graph with every constant, and every node's output, rounded to half and back.

    onnxruntime's CPU has few half kernels. It computes a half graph in float32 and drops the casts in between, so that
    neither an overflow nor the rounding of activations would show.
    """
    simulation = infer_shapes(model)
    graph = simulation.graph
    lift_constants(graph)
    floats = {value.name for value in _typed(graph) if _elem_type(value) == FLOAT}
    outputs = {value.name for value in graph.output}
    nodes: list[NodeProto] = []
    rounded: dict[str, str] = {}  # tensor → its rounded copy
    unrounded: dict[str, str] = {}  # tensor → what an FP32 node wrote, before it was rounded
    for name in sorted(tensor.name for tensor in graph.initializer if tensor.data_type == FLOAT):
        rounded[name] = f"{name}_rounded"
        nodes.extend(_round_trip(name, rounded[name]))
    for node in graph.node:
        is_fp32 = (node.name or node.output[0]) in kept_fp32
        for index, name in enumerate(node.input):
            if is_fp32:
                node.input[index] = unrounded.get(name, name)
            elif name in rounded and index not in _FP32_INPUTS.get(node.op_type, ()):
                node.input[index] = rounded[name]
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in floats and not (is_fp32 and name in outputs):
                exact = f"{name}_exact"
                node.output[index] = exact
                nodes.extend(_round_trip(exact, name))
                if is_fp32:
                    unrounded[name] = exact
    set_nodes(graph, nodes)
    del graph.value_info[:]
    return simulation


def _round_trip(source: str, target: str) -> list[NodeProto]:
    return [_cast(source, f"{target}_as_half", HALF), _cast(f"{target}_as_half", target, FLOAT)]


@dataclass(frozen=True, slots=True)
class _Scope:
    """The tensors that are visible in a graph.

    Attributes:
        floats: Tensors that were float32 before the conversion, those of enclosing graphs included.
        half_names: Float32 input or output of the network → its half counterpart inside.
        constants: The graph's own initializers.
    """

    floats: set[str]
    half_names: Mapping[str, str]
    constants: Mapping[str, TensorProto]

    def original(self, name: str) -> str:
        """Return the float32 input or output whose half counterpart is ``name``, else ``name``."""
        return next((original for original, half in self.half_names.items() if half == name), name)

    def is_float(self, name: str) -> bool:
        """Whether a tensor was float32 before the conversion."""
        return self.original(name) in self.floats

    def touches(self, node: NodeProto) -> bool:
        """Whether a node reads or writes a float tensor."""
        return any(self.is_float(name) for name in (*node.input, *node.output))


@dataclass(slots=True)
class _Converter:
    """Converts a model to half in place.

    Attributes:
        fp32_reasons: Node name → why it must stay in FP32, as far as that is known beforehand.
        kept_fp32: Node name → why it stayed in FP32.
        converted_nodes: Number of nodes with half tensors.
        rounded_to_zero: Number of elements of constants that became 0.
        exact: Half tensor → the float32 tensor that it was rounded from.
        fp32_nodes: First outputs of the nodes that stayed in FP32.
    """

    fp32_reasons: Mapping[str, str]
    kept_fp32: dict[str, str] = field(default_factory=dict)
    converted_nodes: int = 0
    rounded_to_zero: int = 0
    exact: dict[str, str] = field(default_factory=dict)
    fp32_nodes: set[str] = field(default_factory=set)

    def convert(self, model: ModelProto) -> None:
        """Convert ``model`` and put a Cast behind each float input and before each float output."""
        graph = model.graph
        inputs = [value.name for value in graph.input if _elem_type(value) == FLOAT]
        outputs = [value.name for value in graph.output if _elem_type(value) == FLOAT]
        half_names = {name: f"{name}_half" for name in sorted({*inputs, *outputs})}
        self.exact = {half_names[name]: name for name in inputs}
        casts_in = [_cast(name, half_names[name], HALF) for name in inputs]
        self._convert_graph(graph, _float_names(graph, set()), half_names)
        # An FP32 node that writes an output of the network has written it already.
        pending = [name for name in outputs if self.exact.get(half_names[name]) != name]
        casts_out = [_cast(half_names[name], name, FLOAT) for name in pending]
        nodes = [*casts_in, *graph.node, *casts_out]
        set_nodes(graph, _without_unused_casts(nodes, {value.name for value in graph.output}))
        del graph.value_info[:]

    def _convert_graph(self, graph: GraphProto, floats: set[str], half_names: Mapping[str, str]) -> None:
        lift_constants(graph)
        scope = _Scope(floats, half_names, {tensor.name: tensor for tensor in graph.initializer})
        beyond_half = {name for name, tensor in scope.constants.items() if _is_beyond_half(tensor)}
        nodes: list[NodeProto] = []
        for node in graph.node:
            _rename(node, half_names)
            reason = self.fp32_reasons.get(node.name) or _FP32_OPERATORS.get(node.op_type)
            reason = reason or _range_reason(node, beyond_half)
            # A node with subgraphs is converted from the inside; it has no kernel of its own.
            if reason and scope.touches(node) and not list(subgraphs(node)):
                self.kept_fp32[node.name or node.output[0]] = reason
                nodes.extend(self._keep_fp32(node, scope))
            else:
                nodes.extend(self._to_half(node, scope))
        self._round_constants(graph, nodes)
        set_nodes(graph, nodes)
        del graph.value_info[:]

    def _to_half(self, node: NodeProto, scope: _Scope) -> list[NodeProto]:
        """Convert a node and its subgraphs; return it with the casts before it."""
        self.converted_nodes += scope.touches(node)
        casts: list[NodeProto] = []
        for index in _FP32_INPUTS.get(node.op_type, ()):
            if index < len(node.input) and node.input[index] and node.input[index] not in scope.constants:
                casts.append(_cast(node.input[index], f"{node.output[0]}_in{index}_float", FLOAT))
                node.input[index] = casts[-1].output[0]
        _retype(node)
        for attribute in node.attribute:
            if attribute.HasField("t"):
                attribute.t.CopyFrom(self._rounded(attribute.t))
        for inner in subgraphs(node):
            floats = _float_names(inner, scope.floats)
            for value in (*inner.input, *inner.output):
                if _elem_type(value) == FLOAT:
                    value.type.tensor_type.elem_type = HALF
            self._convert_graph(inner, floats, scope.half_names)
        return [*casts, node]

    def _keep_fp32(self, node: NodeProto, scope: _Scope) -> list[NodeProto]:
        """Surround a node that stays in FP32 with casts; its own constants stay as they are."""
        casts_in: list[NodeProto] = []
        casts_out: list[NodeProto] = []
        for index, name in enumerate(node.input):
            if name in self.exact:
                node.input[index] = self.exact[name]
            elif scope.is_float(name) and name not in scope.constants:
                casts_in.append(_cast(name, f"{node.output[0]}_in{index}_float", FLOAT))
                node.input[index] = casts_in[-1].output[0]
        for index, name in enumerate(node.output):
            if scope.is_float(name):
                original = scope.original(name)
                # An output of the network is written under its own name, any other tensor under a new one.
                self.exact[name] = original if original != name else f"{name}_float"
                casts_out.append(_cast(self.exact[name], name, HALF))
                node.output[index] = self.exact[name]
        self.fp32_nodes.add(node.output[0])
        return [*casts_in, node, *casts_out]

    def _round_constants(self, graph: GraphProto, nodes: list[NodeProto]) -> None:
        """Round each float initializer that a half node reads; where an FP32 node reads it as well, keep both."""
        half_readers, fp32_readers = _readers(nodes, self.fp32_nodes)
        for tensor in list(graph.initializer):
            if tensor.data_type != FLOAT:
                continue
            if tensor.name in fp32_readers:
                if tensor.name not in half_readers:
                    continue
                fp32_copy = TensorProto()
                fp32_copy.CopyFrom(tensor)
                fp32_copy.name = f"{tensor.name}_float"
                graph.initializer.append(fp32_copy)
                for node, index in fp32_readers[tensor.name]:
                    node.input[index] = fp32_copy.name
            tensor.CopyFrom(self._rounded(tensor))

    def _rounded(self, tensor: TensorProto) -> TensorProto:
        """Return a float32 tensor rounded to half, any other tensor as it is."""
        if tensor.data_type != FLOAT:
            return tensor
        exact = numpy_helper.to_array(tensor)
        # Infinities stay. A finite number beyond half is a mask's "minus infinity" here, or a bound of Clip or Pad.
        clipped = np.where(np.isfinite(exact), np.clip(exact, -_MAX_HALF, _MAX_HALF), exact)
        half = clipped.astype(np.float16)
        self.rounded_to_zero += int(np.count_nonzero((half == 0) & (exact != 0)))
        return numpy_helper.from_array(half, tensor.name)


def _range_reason(node: NodeProto, beyond_half: set[str]) -> str:
    if node.op_type in ("Clip", "Pad"):  # a bound or a filling beyond the range means the same at its end
        return ""
    return next((f"constant {name!r} is beyond half's range" for name in node.input if name in beyond_half), "")


def _is_beyond_half(tensor: TensorProto) -> bool:
    """Whether a float32 constant has finite elements beyond half's range that are not a mask's "minus infinity"."""
    if tensor.data_type != FLOAT:
        return False
    array = numpy_helper.to_array(tensor)
    beyond = array[np.isfinite(array) & (np.abs(array) > _MAX_HALF)]
    # One huge positive number disqualifies the whole tensor.
    return beyond.size > 0 and not bool(np.all(beyond < _MINUS_INFINITY))


def _float_names(graph: GraphProto, outer: set[str]) -> set[str]:
    """Return the float32 tensors visible in ``graph``: its own, and those of ``outer`` that it does not redefine."""
    redefined = {value.name for value in _typed(graph) if _elem_type(value) != FLOAT}
    own = {value.name for value in _typed(graph) if _elem_type(value) == FLOAT}
    own |= {tensor.name for tensor in graph.initializer if tensor.data_type == FLOAT}
    return (outer - redefined) | own


def _typed(graph: GraphProto) -> Iterator[ValueInfoProto]:
    yield from (*graph.input, *graph.output, *graph.value_info)


def _elem_type(value: ValueInfoProto) -> int:
    return value.type.tensor_type.elem_type


def _readers(nodes: list[NodeProto], fp32_nodes: set[str]) -> tuple[set[str], dict[str, list[tuple[NodeProto, int]]]]:
    """Return (tensors that half nodes read, in subgraphs too; tensor → its FP32 readers as (node, input index))."""
    half_readers: set[str] = set()
    fp32_readers: dict[str, list[tuple[NodeProto, int]]] = {}
    for node in nodes:
        for index, name in enumerate(node.input):
            if node.output[0] in fp32_nodes or index in _FP32_INPUTS.get(node.op_type, ()):
                fp32_readers.setdefault(name, []).append((node, index))
            else:
                half_readers.add(name)
        for inner in subgraphs(node):
            half_readers |= _readers(list(inner.node), fp32_nodes)[0]
            half_readers |= {value.name for value in inner.output}
    return half_readers, fp32_readers


def _without_unused_casts(nodes: list[NodeProto], outputs: set[str]) -> list[NodeProto]:
    """Drop the converter's casts that nobody reads, such as those between two nodes that stay in FP32."""
    read = outputs | set(_names_read(nodes))
    return [node for node in nodes if not node.name.startswith(_CAST) or node.output[0] in read]


def _names_read(nodes: Iterable[NodeProto]) -> Iterator[str]:
    for node in nodes:
        yield from node.input
        for inner in subgraphs(node):
            yield from _names_read(inner.node)
            yield from (value.name for value in inner.output)


def _retype(node: NodeProto) -> None:
    """Change the type of its output that a node states in an attribute, or gives by default."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type == "Cast" and attributes["to"].i == FLOAT:
        attributes["to"].i = HALF
    elif node.op_type in _OPERATORS_WITH_DTYPE:
        if "dtype" in attributes and attributes["dtype"].i == FLOAT:
            attributes["dtype"].i = HALF
        elif "dtype" not in attributes and node.op_type in _FLOAT_BY_DEFAULT:
            node.attribute.append(helper.make_attribute("dtype", HALF))
    elif node.op_type == "ConstantOfShape" and "value" not in attributes:
        node.attribute.append(helper.make_attribute("value", helper.make_tensor("value", HALF, [1], [0.0])))


def _cast(source: str, target: str, to: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{_CAST}{target}", to=to)


def _rename(node: NodeProto, new_names: Mapping[str, str]) -> None:
    for names in (node.input, node.output):
        for index, name in enumerate(names):
            names[index] = new_names.get(name, name)
