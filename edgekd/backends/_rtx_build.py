"""TensorRT-RTX's builder, which ``core.worker`` runs in a child process.

The builder is C++ that can abort and cannot be interrupted. In a child process it takes nothing with it, and its memory
is freed when it ends.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorrt_rtx as trt

from edgekd.backends import _trt
from edgekd.backends._layers import layer_facts, layers_in_log
from edgekd.core.tensor import TensorSpec


def build(plan: dict[str, Any]) -> dict[str, Any]:
    """Build an engine and return the facts of its build.

    Args:
        plan: ``onnx`` and ``engine`` (paths), ``inputs`` (specs as plain data), ``compute_capability`` ("SM86"),
            ``threads``.

    Raises:
        BuildError: The parser or the builder refused the graph.
        InputError: The file is damaged, or a dynamic input has no range.
    """

    def configure(builder: Any, config: Any) -> None:
        # Naming the compute capability lets the builder work without a GPU to ask.
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, plan["compute_capability"]), 0)
        if plan["threads"]:  # 0 leaves the choice to the library
            builder.max_threads = plan["threads"]

    inputs = [TensorSpec.from_json(data) for data in plan["inputs"]]
    built = _trt.build(trt, Path(plan["onnx"]), inputs, configure)
    Path(plan["engine"]).write_bytes(built.engine)
    return {
        "tensorrt_rtx": trt.__version__,
        "convolutions": built.convolutions,
        "network_layers": built.network_layers,
        **layer_facts(layers_in_log(built.messages)),
        "warnings": list(built.warnings),
    }
