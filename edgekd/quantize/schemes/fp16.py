"""FP16: every float tensor inside the graph typed half, the edge left float32; valid for a strongly typed TensorRT.

One walk over the graph and its subgraphs: constants are rounded, casts change their target, and the few nodes that must
stay in FP32 (the operator or its constants cannot hold half, or the node is of the embedded preprocessing) get a Cast
where they meet half ones. Between themselves they hand on float32: a guided filter subtracts squares whose difference
half would lose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgekd.core.artifact import Artifact
from edgekd.core.config import QuantizeConfig
from edgekd.core.preprocessing import AFTER, BEFORE
from edgekd.core.samples import Samples
from edgekd.graph.constants import lift_constants, set_nodes
from edgekd.graph.model import infer_shapes, load_onnx, subgraphs
from edgekd.quantize.write import Scheme, kept_nodes, write

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT
_MAX_HALF = 65504.0
_CAST = "edgekd_cast_"

# Operators whose float tensors ONNX, or TensorRT, does not let be half.
_FP32_OPERATORS = {
    "NonMaxSuppression": "takes float32 only",
    "CumSum": "accumulates; half loses its low bits",
    "Range": "a half cannot count beyond 2048",
    "RoiAlign": "its coordinates are pixels",
    "Multinomial": "takes float32 only",
    "QuantizeLinear": "its scale is float32",
    "DequantizeLinear": "its scale is float32",
}
# Inputs that stay float32 by the operator's own definition.
_FP32_INPUTS = {"Resize": (2,), "Upsample": (1,)}
_WITH_DTYPE = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "EyeLike", "Bernoulli")


def quantize(onnx: Artifact, config: QuantizeConfig, samples: Samples, out: Path) -> Artifact:
    """Type the graph of ``onnx`` half, but for its inputs and outputs.

    Args:
        onnx: The graph.
        config: ``keep`` names nodes that stay in FP32.
        samples: What the result is compared on.
        out: The file to write.

    Raises:
        InputError: The file cannot be read, or ``keep`` names no node.
        ParityError: Half precision breaks this network.
    """
    before = load_onnx(onnx.path)
    after = infer_shapes(before)
    embedded = dict.fromkeys(_embedded(before.graph), "embedded pre- or postprocessing")
    walk = _Walk({**embedded, **dict.fromkeys(kept_nodes(before, config.keep), "named in quantize.keep")})
    walk.model(after)
    facts = {
        "kept_fp32": dict(sorted(walk.kept.items())),
        "fp16_nodes": walk.converted,
        "rounded_to_zero": walk.lost,
        "summary": f"{walk.converted} nodes in FP16, {len(walk.kept)} in FP32{_of_them(embedded, walk.kept)}",
    }
    return write(Scheme("fp16", onnx, config, samples, out), before, after, facts, _simulated(before, set(walk.kept)))


def _embedded(graph: GraphProto) -> set[str]:
    """Name the nodes of the task's ends: what leads to the one and follows from the other is theirs, too.

    A simplifier merges nodes, and gives what it made names of its own.
    """
    found: set[str] = set()
    for nodes, prefix, backwards in ((reversed(graph.node), BEFORE, True), (iter(graph.node), AFTER, False)):
        reached: set[str] = set()
        for node in nodes:
            near, far = (node.output, node.input) if backwards else (node.input, node.output)
            if node.name.startswith(prefix) or not reached.isdisjoint(near):
                reached.update(filter(None, far))
                found.add(node.name)
    return found - {""}


def _of_them(embedded: Mapping[str, str], kept: Mapping[str, str]) -> str:
    count = len(embedded.keys() & kept.keys())
    return f", {count} of them embedded pre- and postprocessing" if count else ""


def _simulated(before: ModelProto, kept: set[str]) -> ModelProto:
    """Return the FP32 graph with every tensor rounded to half on its way.

    onnxruntime's CPU has few half kernels: it computes a half graph in float32 and drops the casts between, so that
    neither an overflow nor the rounding of activations would show.
    """
    model = infer_shapes(before)
    graph = model.graph
    lift_constants(graph)
    typed = (*graph.input, *graph.output, *graph.value_info)
    floats = {value.name for value in typed if value.type.tensor_type.elem_type == FLOAT}
    nodes: list[NodeProto] = []
    rounded: dict[str, str] = {}
    unrounded: dict[str, str] = {}
    edge = {value.name for value in graph.output}
    for name in sorted(tensor.name for tensor in graph.initializer if tensor.data_type == FLOAT):
        rounded[name] = f"{name}_rounded"
        nodes.extend(_round_trip(name, rounded[name]))
    for node in graph.node:
        keeps = (node.name or node.output[0]) in kept
        for index, name in enumerate(node.input):
            if keeps:
                node.input[index] = unrounded.get(name, name)
            elif name in rounded and index not in _FP32_INPUTS.get(node.op_type, ()):
                node.input[index] = rounded[name]
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in floats and not (keeps and name in edge):
                node.output[index] = f"{name}_wide"
                nodes.extend(_round_trip(f"{name}_wide", name))
                if keeps:
                    unrounded[name] = f"{name}_wide"
    set_nodes(graph, nodes)
    del graph.value_info[:]
    return model


def _round_trip(source: str, target: str) -> list[NodeProto]:
    return [_cast(source, f"{target}_as_half", HALF), _cast(f"{target}_as_half", target, FLOAT)]


@dataclass(slots=True)
class _Walk:
    """The conversion's state.

    Attributes:
        keep: Node name → why it stays in FP32.
        kept: Those that were met, and others found on the way.
        converted: Nodes typed half.
        lost: Constants' elements that were not 0 and are now.
        wide: Half tensor → the float32 one it was rounded from.
        wide_nodes: First outputs of the nodes that stay in FP32.
    """

    keep: dict[str, str]
    kept: dict[str, str] = field(default_factory=dict)
    converted: int = 0
    lost: int = 0
    wide: dict[str, str] = field(default_factory=dict)
    wide_nodes: set[str] = field(default_factory=set)

    def model(self, model: ModelProto) -> None:
        graph = model.graph
        edge = {value.name for value in (*graph.input, *graph.output) if value.type.tensor_type.elem_type == FLOAT}
        floats = self._float_names(graph, set())
        inside = {name: f"{name}_half" for name in sorted(edge)}
        self.wide = {inside[v.name]: v.name for v in graph.input if v.name in edge}
        front = [_cast(v.name, inside[v.name], HALF) for v in graph.input if v.name in edge]
        self.graph(graph, floats, inside)
        outputs = (v.name for v in graph.output if v.name in edge and self.wide.get(inside[v.name]) != v.name)
        back = [_cast(inside[name], name, FLOAT) for name in outputs]
        set_nodes(graph, _without_idle_casts([*front, *graph.node, *back], {value.name for value in graph.output}))
        del graph.value_info[:]

    def graph(self, graph: GraphProto, floats: set[str], renamed: dict[str, str]) -> None:
        """Convert one graph in place; ``floats``: float32 tensors in sight, ``renamed``: those under another name."""
        lift_constants(graph)
        constants = {tensor.name: tensor for tensor in graph.initializer}
        wide = {name for name, tensor in constants.items() if tensor.data_type == FLOAT and _too_wide(tensor)}
        nodes: list[NodeProto] = []
        for node in graph.node:
            _rename(node, renamed)
            reason = self.keep.get(node.name) or _FP32_OPERATORS.get(node.op_type) or self._wide_reason(node, wide)
            if reason and _touches(node, floats, renamed) and not list(subgraphs(node)):
                self.kept[node.name or node.output[0]] = reason
                nodes.extend(self._kept(node, floats, renamed, constants))
            else:
                nodes.extend(self._half(node, floats, renamed, constants))
        self._constants(graph, nodes)
        set_nodes(graph, nodes)
        del graph.value_info[:]

    def _half(
        self, node: NodeProto, floats: set[str], renamed: dict[str, str], constants: dict[str, TensorProto]
    ) -> list[NodeProto]:
        self.converted += _touches(node, floats, renamed)
        casts = []
        for index in _FP32_INPUTS.get(node.op_type, ()):
            if index < len(node.input) and node.input[index] and node.input[index] not in constants:
                casts.append(_cast(node.input[index], f"{node.output[0]}_in{index}_float", FLOAT))
                node.input[index] = casts[-1].output[0]
        _retype(node)
        for attribute in node.attribute:
            if attribute.HasField("t"):
                attribute.t.CopyFrom(self._rounded(attribute.t))
        for inner in subgraphs(node):
            seen = self._float_names(inner, floats)
            for value in (*inner.input, *inner.output):
                if value.type.tensor_type.elem_type == FLOAT:
                    value.type.tensor_type.elem_type = HALF
            self.graph(inner, seen, dict(renamed))
        return [*casts, node]

    def _kept(
        self, node: NodeProto, floats: set[str], renamed: dict[str, str], constants: dict[str, TensorProto]
    ) -> list[NodeProto]:
        """Surround a node that stays in FP32 with casts; its own constants stay as they are."""
        back = {new: old for old, new in renamed.items()}
        front, behind = [], []
        for index, name in enumerate(node.input):
            if name in self.wide:
                node.input[index] = self.wide[name]
            elif back.get(name, name) in floats and name not in constants:
                front.append(_cast(name, f"{node.output[0]}_in{index}_float", FLOAT))
                node.input[index] = front[-1].output[0]
        for index, name in enumerate(node.output):
            if back.get(name, name) in floats:
                self.wide[name] = back.get(name, f"{name}_float")
                behind.append(_cast(self.wide[name], name, HALF))
                node.output[index] = self.wide[name]
        self.wide_nodes.add(node.output[0])
        return [*front, node, *behind]

    def _constants(self, graph: GraphProto, nodes: list[NodeProto]) -> None:
        """Round each float initializer that a half node reads; where an FP32 node reads it too, keep both."""
        half_readers, float_readers = _readers(nodes, self.wide_nodes)
        for tensor in list(graph.initializer):
            if tensor.data_type != FLOAT:
                continue
            if tensor.name in float_readers:
                if tensor.name not in half_readers:
                    continue
                wide = TensorProto()
                wide.CopyFrom(tensor)
                wide.name = f"{tensor.name}_float"
                graph.initializer.append(wide)
                for node, index in float_readers[tensor.name]:
                    node.input[index] = wide.name
            tensor.CopyFrom(self._rounded(tensor))

    def _rounded(self, tensor: TensorProto) -> TensorProto:
        if tensor.data_type != FLOAT:
            return tensor
        wide = numpy_helper.to_array(tensor)
        # Infinities stay; a finite number beyond half never gets here but as a mask's "minus infinity".
        finite = np.isfinite(wide)
        half = np.where(finite, np.clip(wide, -_MAX_HALF, _MAX_HALF), wide).astype(np.float16)
        self.lost += int(np.count_nonzero((half == 0) & (wide != 0)))
        return numpy_helper.from_array(half, tensor.name)

    @staticmethod
    def _wide_reason(node: NodeProto, wide: set[str]) -> str:
        if node.op_type in ("Clip", "Pad"):  # a bound or a filling beyond the range says the same at its end
            return ""
        return next((f"constant {name!r} is beyond half's range" for name in node.input if name in wide), "")

    @staticmethod
    def _float_names(graph: GraphProto, outer: set[str]) -> set[str]:
        typed = (*graph.input, *graph.output, *graph.value_info)
        shadowed = {value.name for value in typed if value.type.tensor_type.elem_type != FLOAT}
        own = {value.name for value in typed if value.type.tensor_type.elem_type == FLOAT}
        own |= {tensor.name for tensor in graph.initializer if tensor.data_type == FLOAT}
        return (outer - shadowed) | own


def _readers(nodes: list[NodeProto], wide_nodes: set[str]) -> tuple[set[str], dict[str, list[tuple[NodeProto, int]]]]:
    """Return (tensors that half nodes read, subgraphs' too; float32 readers of each tensor)."""
    half: set[str] = set()
    wide: dict[str, list[tuple[NodeProto, int]]] = {}
    for node in nodes:
        for index, name in enumerate(node.input):
            if node.output[0] in wide_nodes or index in _FP32_INPUTS.get(node.op_type, ()):
                wide.setdefault(name, []).append((node, index))
            else:
                half.add(name)
        for inner in subgraphs(node):
            half |= _readers(list(inner.node), wide_nodes)[0] | {value.name for value in inner.output}
    return half, wide


def _without_idle_casts(nodes: list[NodeProto], outputs: set[str]) -> list[NodeProto]:
    """Leave out the casts that this walk wrote and that nobody reads: those between two nodes that stay in FP32."""
    read = outputs | set(_names_read(nodes))
    return [node for node in nodes if not node.name.startswith(_CAST) or node.output[0] in read]


def _names_read(nodes: Iterable[NodeProto]) -> Iterator[str]:
    for node in nodes:
        yield from node.input
        for inner in subgraphs(node):
            yield from _names_read(inner.node)
            yield from (value.name for value in inner.output)


def _too_wide(tensor: TensorProto) -> bool:
    array = numpy_helper.to_array(tensor)
    finite = array[np.isfinite(array)]
    return bool(np.any(np.abs(finite) > _MAX_HALF)) and not bool(np.all(finite[np.abs(finite) > _MAX_HALF] < -1e8))


def _touches(node: NodeProto, floats: set[str], renamed: dict[str, str]) -> bool:
    back = {new: old for old, new in renamed.items()}
    return any(back.get(name, name) in floats for name in (*node.input, *node.output))


def _retype(node: NodeProto) -> None:
    """Change what a node itself says of its output's type."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type == "Cast" and attributes["to"].i == FLOAT:
        attributes["to"].i = HALF
    elif node.op_type in _WITH_DTYPE:
        if "dtype" in attributes and attributes["dtype"].i == FLOAT:
            attributes["dtype"].i = HALF
        elif "dtype" not in attributes and node.op_type in ("RandomNormal", "RandomUniform", "EyeLike"):
            node.attribute.append(helper.make_attribute("dtype", HALF))
    elif node.op_type == "ConstantOfShape" and "value" not in attributes:
        node.attribute.append(helper.make_attribute("value", helper.make_tensor("value", HALF, [1], [0.0])))


def _cast(source: str, target: str, to: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{_CAST}{target}", to=to)


def _rename(node: NodeProto, renamed: dict[str, str]) -> None:
    for names in (node.input, node.output):
        for index, name in enumerate(names):
            names[index] = renamed.get(name, name)
