"""One form for constants: float Constant nodes become initializers, which converters recognise as weights."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper, numpy_helper


def lift_constants(graph: GraphProto) -> None:
    """Turn the float Constant nodes of ``graph`` into initializers, in place; subgraphs are left alone."""
    outputs = {value.name for value in graph.output}
    nodes: list[NodeProto] = []
    for node in graph.node:
        tensor = _constant_value(node)
        if tensor is None:
            nodes.append(node)
            continue
        tensor.name = node.output[0]
        if tensor.name in outputs:  # a graph output must be written by a node
            tensor.name = f"{node.output[0]}_constant"
            nodes.append(helper.make_node("Identity", [tensor.name], [node.output[0]], name=node.name))
        graph.initializer.append(tensor)
    set_nodes(graph, nodes)


def set_nodes(graph: GraphProto, nodes: Iterable[NodeProto]) -> None:
    """Replace the nodes of ``graph``; the new ones may be among its present ones."""
    # Copied first: deleting the old list would clear the messages that the new list still refers to.
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _constant_value(node: NodeProto) -> TensorProto | None:
    """Return a copy of a Constant node's value; None for another node, or for a constant that is not float."""
    if node.op_type != "Constant" or len(node.attribute) != 1:
        return None
    attribute, copy = node.attribute[0], TensorProto()
    if attribute.name == "value" and attribute.t.data_type == TensorProto.FLOAT:
        copy.CopyFrom(attribute.t)
        return copy
    if attribute.name in ("value_float", "value_floats"):
        value = attribute.f if attribute.type == AttributeProto.FLOAT else list(attribute.floats)
        return numpy_helper.from_array(np.array(value, np.float32))
    return None
