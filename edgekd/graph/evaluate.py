"""Running an ONNX graph as it is written, for parity: onnxruntime on the CPU with every optimisation off."""

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
# onnxruntime derives its errors from Exception, one by one.
ORT_ERRORS: tuple[type[Exception], ...] = (
    *(e for e in vars(ort_errors).values() if isinstance(e, type) and issubclass(e, Exception)),
    RuntimeError,
    ValueError,
    MemoryError,
)
_SILENT = 4  # onnxruntime's "fatal": what it has to say comes as an exception


class Evaluator:
    """One graph, opened once, run on many feeds."""

    def __init__(self, model: ModelProto | Path) -> None:
        """Open ``model``.

        Raises:
            BuildError: onnxruntime does not take the graph.
        """
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = _SILENT
        source: bytes | str = str(model) if isinstance(model, Path) else to_bytes(model)
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except ORT_ERRORS as err:
            raise BuildError(
                f"onnxruntime {onnxruntime.__version__} does not take the graph: {_last_words(err)}"
            ) from err
        self.output_names: tuple[str, ...] = tuple(output.name for output in self._session.get_outputs())

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run once: tensor name → array, in the order of the graph's outputs.

        Raises:
            InputError: The feeds are not the graph's, or the graph fails on them.
        """
        options = onnxruntime.RunOptions()
        options.log_severity_level = _SILENT
        try:
            found = self._session.run(
                list(self.output_names), {name: np.asarray(array) for name, array in feeds.items()}, options
            )
        except ORT_ERRORS as err:
            shapes = ", ".join(f"{name} {list(np.shape(array))}" for name, array in feeds.items())
            raise InputError(f"the graph cannot be run on {shapes}: {_last_words(err)}") from err
        return {name: np.asarray(array) for name, array in zip(self.output_names, found, strict=True)}


def run_onnx(model: ModelProto | Path, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Run a graph once. Raises BuildError and InputError as ``Evaluator`` does."""
    return Evaluator(model)(feeds)


def _last_words(err: Exception) -> str:
    return " ".join(str(err).split())[-240:] or type(err).__name__
