"""Joining three graphs into one: a task's preprocessing, the network, the task's postprocessing."""

from __future__ import annotations

from onnx import ModelProto, compose

from edgekd.core.errors import BuildError
from edgekd.core.preprocessing import POSTPROCESS_PREFIX, PREPROCESS_PREFIX

# The tensors where the three graphs meet.
NETWORK_INPUT, NETWORK_OUTPUT = "edgekd_network_input", "edgekd_network_output"


def join(preprocess: ModelProto, network: ModelProto, postprocess: ModelProto) -> ModelProto:
    """Join three graphs of one opset.

    The network's nodes keep their names. The names of the other nodes get the prefixes of ``core.preprocessing``.

    Args:
        preprocess: Its only output is ``NETWORK_INPUT``.
        network: Its only input is ``NETWORK_INPUT``, its only output ``NETWORK_OUTPUT``.
        postprocess: Its only input is ``NETWORK_OUTPUT``.

    Returns:
        One graph, from the inputs of ``preprocess`` to the outputs of ``postprocess``.

    Raises:
        BuildError: A tensor inside the network has the name of an input or output of the joined graph.
    """
    first = _prefixed(preprocess, PREPROCESS_PREFIX)
    last = _prefixed(postprocess, POSTPROCESS_PREFIX)
    signature = {value.name for value in (*first.graph.input, *last.graph.output)}
    clashes = sorted(signature & {name for node in network.graph.node for name in node.output})
    if clashes:
        raise BuildError(
            f"the network has an inner tensor {', '.join(clashes)}, which is the name of an input or output of the "
            "graph that includes preprocessing: set export.include_preprocessing = false"
        )
    joined = ModelProto()
    joined.CopyFrom(network)
    graph = joined.graph
    nodes = [*first.graph.node, *graph.node, *last.graph.node]
    # The network's value_info goes: its input and output are inner tensors now, and shapes are inferred again.
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.input.extend(first.graph.input)
    graph.output.extend(last.graph.output)
    for part in (first.graph, last.graph):
        graph.initializer.extend(part.initializer)
    return joined


def _prefixed(model: ModelProto, prefix: str) -> ModelProto:
    """Prefix every name but those of inputs and outputs, by which the graphs are joined."""
    return compose.add_prefix(model, prefix, rename_inputs=False, rename_outputs=False)
