"""Three graphs, one behind the other: a task's preprocessing, the network, the task's postprocessing."""

from __future__ import annotations

from onnx import ModelProto, compose

from edgekd.core.errors import BuildError
from edgekd.core.preprocessing import AFTER, BEFORE, NODES

# The tensors where the three meet.
SEEN, ANSWER = f"{NODES}seen", f"{NODES}answer"


def join(before: ModelProto, network: ModelProto, after: ModelProto) -> ModelProto:
    """Join three graphs of one opset; the network's nodes keep their names, the others' begin with ``NODES``.

    Args:
        before: Its one output is ``SEEN``.
        network: Takes ``SEEN`` and gives ``ANSWER``.
        after: Takes ``ANSWER``.

    Returns:
        The whole, from the inputs of ``before`` to the outputs of ``after``.

    Raises:
        BuildError: A tensor inside the network has the name of one outside.
    """
    edge = {"rename_inputs": False, "rename_outputs": False}
    first, last = compose.add_prefix(before, BEFORE, **edge), compose.add_prefix(after, AFTER, **edge)
    outside = {value.name for value in (*first.graph.input, *last.graph.output)}
    shared = sorted(outside & {name for node in network.graph.node for name in node.output})
    if shared:
        raise BuildError(f"the network calls a tensor {', '.join(shared)}, which is what its edge is called")
    whole = ModelProto()
    whole.CopyFrom(network)
    graph = whole.graph
    nodes = [*first.graph.node, *graph.node, *last.graph.node]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.input.extend(first.graph.input)
    graph.output.extend(last.graph.output)
    for part in (first.graph, last.graph):
        graph.initializer.extend(part.initializer)
    return whole
