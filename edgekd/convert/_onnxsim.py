"""``python -m edgekd.simplify_worker IN OUT``: onnxsim in a process of its own, for it may crash or write on stdout."""

from __future__ import annotations

import sys

sys.modules["torch"] = None  # type: ignore[assignment]  # onnxsim imports it (seconds) for options that are not used here

import onnx  # noqa: E402
import onnxsim  # noqa: E402


def main(source: str, target: str) -> None:
    """Simplify the ONNX file ``source`` into ``target``."""
    model, _ = onnxsim.simplify(onnx.load(source), check_n=0)
    onnx.save(model, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
