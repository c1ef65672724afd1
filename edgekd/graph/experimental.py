"""Operators that ONNX tried before 1.5 and withdrew, rewritten in the standard ones that newer opsets know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnx import GraphProto, NodeProto, TensorProto, helper

from edgekd.core.errors import InputError
from edgekd.graph.constants import set_nodes

_END = 2**31 - 1  # Slice's "to the end"
_FIRST_BROADCAST = 7  # Mul and Add broadcast as numpy does from this opset on
_WITHDRAWN = 10  # and these operators are gone
# onnx/checker.cc, check_is_experimental_op: it names them on stdout, which is not ours to write on.
_EXPERIMENTAL = frozenset(
    "ATen Affine ConstantFill Crop DynamicSlice GRUUnit GivenTensorFill ImageScaler ParametricSoftplus Scale "
    "ScaledTanh".split()
)


def rewrite_experimental(graph: GraphProto, opset: int) -> None:
    """Replace withdrawn operators of ``graph`` in place.

    Raises:
        InputError: One of them has no standard form here.
    """
    found = {node.op_type for node in graph.node if node.domain in ("", "ai.onnx")} & _EXPERIMENTAL
    if not found:
        return
    if found - _REWRITES.keys() or not _FIRST_BROADCAST <= opset < _WITHDRAWN:
        raise InputError(
            f"the graph uses {', '.join(sorted(found - _REWRITES.keys() or found))} in opset {opset}: an experimental "
            "operator that ONNX withdrew; export it again with opset 13 or newer"
        )
    nodes: list[NodeProto] = []
    for index, node in enumerate(graph.node):
        if node.op_type in found:
            given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
            nodes.extend(_REWRITES[node.op_type](_Rewrite(node, index), given))
        else:
            nodes.append(node)
    set_nodes(graph, nodes)


class _Rewrite:
    """Where one node's replacement takes its names from, and puts its constants."""

    def __init__(self, node: NodeProto, index: int) -> None:
        self.node = node
        self.constants: list[NodeProto] = []
        self.stem = f"edgekd_{node.op_type}_{index}"

    def constant(self, word: str, shape: tuple[int, ...], values: list[float]) -> str:
        # A node, not an initializer: IR 3 wants each of those among the inputs.
        name = f"{self.stem}_{word}"
        tensor = helper.make_tensor(name, TensorProto.FLOAT, shape, values)
        self.constants.append(helper.make_node("Constant", [], [name], name=name, value=tensor))
        return name

    def chain(self, *steps: tuple[str, tuple[str, ...]]) -> list[NodeProto]:
        """Make nodes, each taking the one before it as first input; a step is (operator, other inputs)."""
        nodes, before = [*self.constants], self.node.input[0]
        for i, (operator, others) in enumerate(steps):
            last = i == len(steps) - 1
            after = self.node.output[0] if last else f"{self.stem}_{i}"
            nodes.append(helper.make_node(operator, [before, *others], [after], name=f"{self.stem}_{operator}_{i}"))
            before = after
        return nodes


def _affine(at: _Rewrite, given: dict[str, Any]) -> list[NodeProto]:
    alpha, beta = (
        at.constant("alpha", (1,), [given.get("alpha", 1.0)]),
        at.constant("beta", (1,), [given.get("beta", 0.0)]),
    )
    return at.chain(("Mul", (alpha,)), ("Add", (beta,)))


def _image_scaler(at: _Rewrite, given: dict[str, Any]) -> list[NodeProto]:
    bias = list(given.get("bias", [0.0]))
    scale = at.constant("scale", (1,), [given.get("scale", 1.0)])
    return at.chain(("Mul", (scale,)), ("Add", (at.constant("bias", (1, len(bias), 1, 1), bias),)))


def _scale(at: _Rewrite, given: dict[str, Any]) -> list[NodeProto]:
    return at.chain(("Mul", (at.constant("scale", (1,), [given.get("scale", 1.0)]),)))


def _scaled_tanh(at: _Rewrite, given: dict[str, Any]) -> list[NodeProto]:
    alpha, beta = (
        at.constant("alpha", (1,), [given.get("alpha", 1.0)]),
        at.constant("beta", (1,), [given.get("beta", 1.0)]),
    )
    return at.chain(("Mul", (beta,)), ("Tanh", ()), ("Mul", (alpha,)))


def _crop(at: _Rewrite, given: dict[str, Any]) -> list[NodeProto]:
    left, top, right, bottom = given.get("border", [0, 0, 0, 0])
    size = given.get("scale")  # (height, width) from the top left corner
    ends = [top + size[0], left + size[1]] if size else [-bottom or _END, -right or _END]
    return [
        helper.make_node(
            "Slice", at.node.input, at.node.output, name=f"{at.stem}_Slice", axes=[2, 3], starts=[top, left], ends=ends
        )
    ]


_REWRITES: dict[str, Callable[[_Rewrite, dict[str, Any]], list[NodeProto]]] = {
    "Affine": _affine,
    "Crop": _crop,
    "ImageScaler": _image_scaler,
    "Scale": _scale,
    "ScaledTanh": _scaled_tanh,
}
