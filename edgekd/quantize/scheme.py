"""What a quantization scheme is: the names in its file, what it is given and what it returns.

A scheme is one file in ``edgekd/quantize/schemes/`` with three names:

- ``Config``: a frozen dataclass of its options, the recipe's ``[quantize.options.<scheme>]``.
- ``LIBRARIES``: distribution names of the libraries whose versions change its result.
- ``quantize(model, config, context)``: returns a new graph and leaves ``model`` as it is; it writes no file.

``LIBRARIES`` is a literal: ``core.provenance`` reads it without importing the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Protocol

from onnx import ModelProto

from edgekd.core.errors import InputError
from edgekd.core.samples import SampleSource
from edgekd.graph.model import graphs


@dataclass(frozen=True, slots=True)
class Context:
    """What a scheme is given besides the graph and its own options.

    Attributes:
        path: The file that the graph was read from, for messages.
        samples: Calibration samples that feed the graph's inputs.
        exclude_nodes: Node names, or ``fnmatch`` patterns of them, that stay in FP32.
    """

    path: Path
    samples: SampleSource
    exclude_nodes: tuple[str, ...] = ()

    def excluded_nodes(self, model: ModelProto) -> set[str]:
        """Return the names of the nodes of ``model`` that ``exclude_nodes`` matches, those in subgraphs included.

        Raises:
            InputError: A pattern matches no node.
        """
        names = {node.name for graph in graphs(model.graph) for node in graph.node if node.name}
        excluded: set[str] = set()
        for pattern in self.exclude_nodes:
            matches = {name for name in names if fnmatch(name, pattern)}
            if not matches:
                raise InputError(
                    f"quantize.exclude_nodes {pattern!r} matches none of the graph's {len(names)} named nodes; "
                    "`edgekd show` lists them"
                )
            excluded |= matches
        return excluded


@dataclass(frozen=True, slots=True)
class Quantized:
    """What a scheme returns.

    Attributes:
        model: The graph to be written.
        facts: What the scheme did, as plain data for the manifest.
        summary: The same in a few words; "" if there is nothing to add.
        simulation: A graph that rounds on this CPU as ``model`` will on a GPU, where onnxruntime's CPU kernels compute
            ``model`` itself in another precision; it is compared with the input in place of ``model``.
    """

    model: ModelProto
    facts: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    simulation: ModelProto | None = None


class Scheme(Protocol):
    """The names in a scheme's file; see the top of this module."""

    LIBRARIES: tuple[str, ...]
    Config: type[Any]

    def quantize(self, model: ModelProto, config: Any, context: Context) -> Quantized:
        """Return ``model`` in the scheme's precision.

        Raises:
            CalibrationError: The samples cannot be calibrated on.
            InputError: The graph is not one that the scheme takes, or an excluded node does not exist.
            BuildError: A library fails on the graph.
        """
