"""TensorRT-RTX's builder in a process of its own: ``python -m edgekd.backends._rtx_build < request > answer``.

A builder written in C++ can abort, and cannot be interrupted: here neither takes edgekd with it, and its memory goes
back when it ends.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import tensorrt_rtx as trt

from edgekd.backends._layers import layer_facts, layers_in_log
from edgekd.backends._trt import build
from edgekd.core.errors import EdgeKDError
from edgekd.core.tensor import TensorSpec


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Build what ``request`` asks and return the facts, or the error's class and words.

    Args:
        request: ``onnx`` and ``engine`` paths, ``inputs`` as specs in plain data, ``compute_capability`` ("SM86"),
            ``threads``.
    """

    def configure(builder: Any, config: Any) -> None:
        """Set what the request asks of the builder."""
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, request["compute_capability"]), 0)
        if request["threads"]:
            builder.max_threads = request["threads"]

    inputs = [TensorSpec.from_json(data) for data in request["inputs"]]
    try:
        built = build(trt, Path(request["onnx"]), inputs, configure)
    except EdgeKDError as err:
        return {"error": type(err).__name__, "message": str(err)}
    Path(request["engine"]).write_bytes(built.engine)
    facts = {
        "tensorrt_rtx": trt.__version__,
        "convolutions": built.convolutions,
        "network_layers": built.network_layers,
        **layer_facts(layers_in_log(built.messages)),
        "warnings": list(built.warnings),
    }
    return {"facts": facts}


def main() -> None:
    """Answer the request on stdin. Whatever libraries print goes to stderr; stdout holds the answer alone."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        json.dump(answer(json.load(sys.stdin)), answers)


if __name__ == "__main__":
    main()
