"""onnxsim, imported and run in a child process only: it may crash, and it writes on stdout."""

from __future__ import annotations

import sys
from collections.abc import Mapping

# onnxsim imports torch, which takes seconds, for options that are not used here.
sys.modules["torch"] = None  # type: ignore[assignment]

import onnx  # noqa: E402
import onnxsim  # noqa: E402


def simplify(plan: Mapping[str, str]) -> None:
    """Simplify the ONNX file ``plan["source"]`` and write it to ``plan["target"]``; see ``core.worker.call``."""
    model, _ = onnxsim.simplify(onnx.load(plan["source"]), check_n=0)
    onnx.save(model, plan["target"])
