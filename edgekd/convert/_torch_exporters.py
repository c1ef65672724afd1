"""torch's two ONNX exporters, dynamo and TorchScript, held to the opset and the names that were asked for."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from onnx import ModelProto
from torch import nn
from torch.onnx.errors import OnnxExporterError

from edgekd.convert.compose import join
from edgekd.core.errors import BuildError, EdgeKDError, InputError
from edgekd.core.tensor import TensorSpec
from edgekd.graph.model import infer_shapes, load_onnx, opset_of

_SEED = 0
# What both exporters raise on networks they cannot follow; torch.export's own errors derive from these.
_REFUSALS = (
    OnnxExporterError,
    torch._dynamo.exc.TorchDynamoException,
    RuntimeError,
    TypeError,
    ValueError,
    AttributeError,
    KeyError,
    IndexError,
    NotImplementedError,
    AssertionError,
    EdgeKDError,
)
# In the order in which "auto" tries them.
_EXPORTERS = ("dynamo", "torchscript")


@dataclass(frozen=True, slots=True)
class Part:
    """A module that becomes a graph.

    Attributes:
        module: In eval mode, on the CPU; takes one tensor.
        input: The tensor's name, shape and dtype in the graph.
        outputs: The names of the graph's outputs, in the module's order.
    """

    module: nn.Module
    input: TensorSpec
    outputs: Sequence[str]


def export_parts(parts: Sequence[Part], opset: int, exporter: str) -> tuple[ModelProto, dict[str, Any]]:
    """Export all parts with the first exporter that succeeds, and join them.

    Args:
        parts: One network, or three parts: preprocessing, network, postprocessing.
        opset: The graph's opset; exporters that write another one have failed.
        exporter: "auto", "dynamo" or "torchscript".

    Returns:
        The graph; facts: "exporter", "opset", and "fallback_reason" where the first exporter failed.

    Raises:
        BuildError: No exporter can follow the network.
    """
    reasons: list[str] = []
    for name in _EXPORTERS if exporter == "auto" else (exporter,):
        try:
            models = [_export(part, opset, dynamo=name == "dynamo") for part in parts]
            model = models[0] if len(models) == 1 else infer_shapes(join(*models))
        except _REFUSALS as err:
            reasons.append(f"{name}: {one_line(err)}")
            continue
        facts: dict[str, Any] = {"exporter": name, "opset": opset}
        if reasons:
            facts["fallback_reason"] = reasons[0]
        return model, facts
    raise BuildError(f"torch {torch.__version__} cannot export the network to opset {opset}; {'; '.join(reasons)}")


def one_line(err: BaseException) -> str:
    """Return an exception's type and the first line of its message; torch's messages run over pages."""
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    return f"{type(err).__name__}: {lines[0] if lines else 'no message'}"[:200]


def _export(part: Part, opset: int, *, dynamo: bool) -> ModelProto:
    spec, outputs = part.input, list(part.outputs)
    dims = {axis: dim for axis, dim in enumerate(spec.shape) if isinstance(dim, str)}
    options: dict[str, Any] = {
        "input_names": [spec.name],
        "output_names": outputs,
        "opset_version": opset,
        "dynamo": dynamo,
    }
    if dynamo:
        options |= {"verbose": False, "optimize": True, "external_data": False}
        if dims:
            options["dynamic_shapes"] = (_torch_dims(dims, spec),)
    elif dims:
        options["dynamic_axes"] = {spec.name: dims, **{name: {} for name in outputs}}
    with tempfile.TemporaryDirectory(prefix="edgekd-export-") as folder, _quiet():
        path = Path(folder) / "model.onnx"
        torch.onnx.export(part.module, (_example(spec),), str(path), **options)
        try:
            model = load_onnx(path)
        except InputError as err:
            raise BuildError(str(err).replace(str(path), "the exporter's file")) from err
    if opset_of(model) != opset:
        raise BuildError(f"wrote opset {opset_of(model)}; {opset} was expected")
    found = [value.name for value in model.graph.output]
    if found != outputs:
        raise BuildError(f"wrote outputs {', '.join(found)}; {', '.join(outputs)} were expected")
    return _restore_dims(model, spec)


def _example(spec: TensorSpec) -> torch.Tensor:
    """Return a random input at the optimal shape: (*spec.at("opt")), float32 0..1 or uint8."""
    example = torch.rand(spec.at("opt"), generator=torch.Generator().manual_seed(_SEED))
    return (256 * example).to(torch.uint8) if spec.dtype == "uint8" else example


def _torch_dims(dims: Mapping[int, str], spec: TensorSpec) -> dict[int, Any]:
    """Return torch.export's dimension of each dynamic axis; axes that share a name share a dimension."""
    by_name: dict[str, Any] = {}
    for name in dims.values():
        if name not in by_name:
            limits = (spec.ranges or {})[name]
            is_fixed = limits.min == limits.max  # torch.export refuses a Dim that can take one value only
            by_name[name] = limits.min if is_fixed else torch.export.Dim(name, min=limits.min, max=limits.max)
    return {axis: by_name[name] for axis, name in dims.items()}


def _restore_dims(model: ModelProto, spec: TensorSpec) -> ModelProto:
    """Write the input's shape with the recipe's dimension names, and infer the outputs' shapes from it."""
    for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim, spec.shape, strict=True):
        if isinstance(size, str):
            dim.dim_param = size
        else:
            dim.dim_value = size
    return infer_shapes(model)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' prints, warnings and log lines from the terminal; failures arrive as exceptions.

    The file descriptors are redirected too, since the TorchScript exporter prints whole graphs from C++.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    sys.stdout.flush()
    sys.stderr.flush()
    copies = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            for descriptor in copies:
                os.dup2(sink, descriptor)
            yield
    finally:
        for descriptor, copy in copies.items():
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(sink)
        logging.disable(disabled)
