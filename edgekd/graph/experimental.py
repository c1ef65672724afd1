"""Experimental operators that ONNX 1.5 withdrew, rewritten with standard operators of the same opset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnx import GraphProto, NodeProto, TensorProto, helper

from edgekd.core.errors import InputError
from edgekd.graph.constants import set_nodes

_TO_THE_END = 2**31 - 1  # as an end of Slice
_FIRST_BROADCAST_OPSET = 7  # from here on, Mul and Add broadcast as numpy does
_WITHDRAWN_OPSET = 10  # from here on, these operators are gone
# Source: onnx/checker.cc, check_is_experimental_op. onnx's checker prints these names on stdout, where only edgekd's
# answer may stand, so they are rewritten before the checker runs.
_EXPERIMENTAL = frozenset(
    "ATen Affine ConstantFill Crop DynamicSlice GRUUnit GivenTensorFill ImageScaler ParametricSoftplus Scale "
    "ScaledTanh".split()
)


def rewrite_experimental(graph: GraphProto, opset: int) -> None:
    """Replace withdrawn operators of ``graph`` in place.

    Args:
        graph: Subgraphs are left alone.
        opset: Of the model.

    Raises:
        InputError: One of them cannot be rewritten.
    """
    found = {node.op_type for node in graph.node if node.domain in ("", "ai.onnx")} & _EXPERIMENTAL
    if not found:
        return
    unknown = found - _REWRITES.keys()
    if unknown or not _FIRST_BROADCAST_OPSET <= opset < _WITHDRAWN_OPSET:
        raise InputError(
            f"the graph uses {', '.join(sorted(unknown or found))} in opset {opset}: an experimental operator that "
            "ONNX withdrew; export it again with opset 13 or newer"
        )
    nodes: list[NodeProto] = []
    for index, node in enumerate(graph.node):
        if node.op_type in found:
            attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
            nodes.extend(_REWRITES[node.op_type](_Replacement(node, index), attributes))
        else:
            nodes.append(node)
    set_nodes(graph, nodes)


class _Replacement:
    """Builds the nodes that replace one node, under names that are unique in the graph."""

    def __init__(self, node: NodeProto, index: int) -> None:
        self.node = node
        self.constants: list[NodeProto] = []
        self.prefix = f"edgekd_{node.op_type}_{index}"

    def constant(self, label: str, shape: tuple[int, ...], values: list[float]) -> str:
        # A node, because IR version 3 requires every initializer to be listed as an input too.
        name = f"{self.prefix}_{label}"
        tensor = helper.make_tensor(name, TensorProto.FLOAT, shape, values)
        self.constants.append(helper.make_node("Constant", [], [name], name=name, value=tensor))
        return name

    def chain(self, *steps: tuple[str, tuple[str, ...]]) -> list[NodeProto]:
        """Return nodes that each take the previous one's output first; a step is (operator, further inputs)."""
        nodes, source = [*self.constants], self.node.input[0]
        for i, (operator, others) in enumerate(steps):
            is_last = i == len(steps) - 1
            target = self.node.output[0] if is_last else f"{self.prefix}_{i}"
            nodes.append(helper.make_node(operator, [source, *others], [target], name=f"{self.prefix}_{operator}_{i}"))
            source = target
        return nodes


def _affine(new: _Replacement, attributes: dict[str, Any]) -> list[NodeProto]:
    # y = alpha * x + beta
    alpha = new.constant("alpha", (1,), [attributes.get("alpha", 1.0)])
    beta = new.constant("beta", (1,), [attributes.get("beta", 0.0)])
    return new.chain(("Mul", (alpha,)), ("Add", (beta,)))


def _image_scaler(new: _Replacement, attributes: dict[str, Any]) -> list[NodeProto]:
    # y = scale * x + bias, one bias a channel of NCHW
    values = list(attributes.get("bias", [0.0]))
    scale = new.constant("scale", (1,), [attributes.get("scale", 1.0)])
    bias = new.constant("bias", (1, len(values), 1, 1), values)
    return new.chain(("Mul", (scale,)), ("Add", (bias,)))


def _scale(new: _Replacement, attributes: dict[str, Any]) -> list[NodeProto]:
    scale = new.constant("scale", (1,), [attributes.get("scale", 1.0)])
    return new.chain(("Mul", (scale,)))


def _scaled_tanh(new: _Replacement, attributes: dict[str, Any]) -> list[NodeProto]:
    # y = alpha * tanh(beta * x)
    alpha = new.constant("alpha", (1,), [attributes.get("alpha", 1.0)])
    beta = new.constant("beta", (1,), [attributes.get("beta", 1.0)])
    return new.chain(("Mul", (beta,)), ("Tanh", ()), ("Mul", (alpha,)))


def _crop(new: _Replacement, attributes: dict[str, Any]) -> list[NodeProto]:
    left, top, right, bottom = attributes.get("border", [0, 0, 0, 0])
    size = attributes.get("scale")  # (height, width) from the top left corner
    ends = [top + size[0], left + size[1]] if size else [-bottom or _TO_THE_END, -right or _TO_THE_END]
    return [
        helper.make_node(
            "Slice",
            new.node.input,
            new.node.output,
            name=f"{new.prefix}_Slice",
            axes=[2, 3],
            starts=[top, left],
            ends=ends,
        )
    ]


_REWRITES: dict[str, Callable[[_Replacement, dict[str, Any]], list[NodeProto]]] = {
    "Affine": _affine,
    "Crop": _crop,
    "ImageScaler": _image_scaler,
    "Scale": _scale,
    "ScaledTanh": _scaled_tanh,
}
