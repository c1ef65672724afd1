"""Running an ONNX graph exactly as written, for parity: onnxruntime on the CPU with all optimisations off."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from edgekd.core.errors import BuildError, InputError
from edgekd.graph.model import to_bytes

Array = NDArray[Any]
# onnxruntime derives each of its errors directly from Exception.
ORT_ERRORS: tuple[type[Exception], ...] = (
    *(error for error in vars(ort_errors).values() if isinstance(error, type) and issubclass(error, Exception)),
    RuntimeError,
    ValueError,
    MemoryError,
)
_FATAL_ONLY = 4  # onnxruntime's log level "fatal"; everything else reaches us as an exception


class Evaluator:
    """A graph that is opened once and run on many feeds."""

    def __init__(self, model: ModelProto | Path) -> None:
        """Open ``model``.

        Raises:
            BuildError: onnxruntime rejects the graph.
        """
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = _FATAL_ONLY
        source: bytes | str = str(model) if isinstance(model, Path) else to_bytes(model)
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except ORT_ERRORS as err:
            raise BuildError(
                f"onnxruntime {onnxruntime.__version__} rejects the graph: {_message(err)}; "
                "export it with standard operators"
            ) from err
        self.output_names: tuple[str, ...] = tuple(output.name for output in self._session.get_outputs())

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run once and return output name → array, in the order of the graph's outputs.

        Args:
            feeds: Input name → array of the input's shape, or a Python scalar.

        Raises:
            InputError: The feeds do not fit the graph's inputs, or the graph fails on them.
        """
        options = onnxruntime.RunOptions()
        options.log_severity_level = _FATAL_ONLY
        try:
            arrays = {name: np.asarray(array) for name, array in feeds.items()}
            found = self._session.run(list(self.output_names), arrays, options)
        except ORT_ERRORS as err:
            shapes = ", ".join(f"{name} {list(np.shape(array))}" for name, array in feeds.items())
            raise InputError(f"the graph cannot be run on {shapes}: {_message(err)}") from err
        return {name: np.asarray(array) for name, array in zip(self.output_names, found, strict=True)}


def run_onnx(model: ModelProto | Path, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Run a graph once. Raises BuildError and InputError as ``Evaluator`` does."""
    return Evaluator(model)(feeds)


def _message(err: Exception) -> str:
    # The end of the text names the operator and the cause; the beginning is onnxruntime's own file and line.
    return " ".join(str(err).split())[-240:] or type(err).__name__
