"""Checkpoint → ONNX by torch's dynamo exporter, or its TorchScript one, and per-output parity with the torch module.

With ``embed_preprocess`` three modules are exported and joined, and the whole is proven: a picture's bytes through the
graph give what the task's own numpy code and the torch module give.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
import logging
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from torch import nn
from torch.onnx.errors import OnnxExporterError

from edgekd import __version__
from edgekd.convert.compose import ANSWER, SEEN, join
from edgekd.core import family, provenance
from edgekd.core.artifact import Artifact, save_manifest, sha256_of
from edgekd.core.config import ExportConfig
from edgekd.core.errors import BuildError, EdgeKDError, InputError, ParityError
from edgekd.core.preprocessing import answer_of, input_spec
from edgekd.core.samples import Samples
from edgekd.core.tensor import TensorSpec
from edgekd.graph.cost import cost_of
from edgekd.graph.evaluate import Evaluator
from edgekd.graph.model import graphs, infer_shapes, load_onnx, opset_of, save_onnx, specs
from edgekd.graph.parity import compare, said, to_facts

Array = NDArray[Any]

TAKES, GIVES = "checkpoint", "onnx"

DEFAULT_OPSET = 17
_COMPARED, _SEED = 4, 0
# Of an embedded answer's values: float32 here and float64 there differ where a value is about to be rounded up.
_MOVED_SHARE = 0.01
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


@dataclass(frozen=True, slots=True)
class Job:
    """What to export, and from where.

    Attributes:
        checkpoint_sha256: The weights' file.
        config: Shape, ranges, exporter and tolerance.
        opset: The opset to write; 0 for ``config.opset``, or 17 where that is 0 too.
        samples: Real feeds for parity, or None.
        metadata: Written into the file as ``edgekd.<key>``: pair, role, task. Embedding reads "task", a file of
            ``edgekd/tasks/``, and "task_options", the recipe's ``[task]`` as JSON.
        out: The file to write.
    """

    checkpoint_sha256: str
    config: ExportConfig
    opset: int
    samples: Samples | None
    metadata: Mapping[str, str]
    out: Path


def run(module: nn.Module, job: Job) -> Artifact:
    """Export ``module``, one input and any number of outputs, and prove it.

    Args:
        module: The network in eval mode, on the CPU.
        job: What to export.

    Raises:
        InputError: The shape and ranges do not fit the network.
        BuildError: Neither exporter can follow the network.
        ParityError: The ONNX file does not give the module's numbers.
    """
    config = job.config
    spec = input_spec(config)
    unused = set(config.ranges) - {dim for dim in config.shape if isinstance(dim, str)}
    if unused:
        raise InputError(f"export.ranges names {', '.join(sorted(unused))}; export.shape has {list(config.shape)}")
    feeds = _feeds(spec, job.samples)
    opset = job.opset or config.opset or DEFAULT_OPSET
    if config.embed_preprocess:
        parts, expected = _embedded(module, job, spec, feeds)
    else:
        expected = [_reference(module, feed) for feed in feeds]
        parts = (_Part(module, spec, sorted(expected[0])),)
    model, facts = _exported(parts, opset, config.exporter)
    facts |= {"parity": _parity(model, feeds, expected, config.tolerance), "parity_on": _source(job.samples)}
    _stamp(model, job, facts)
    save_onnx(model, job.out)
    facts["cost"] = dataclasses.asdict(cost_of(model, (spec,)))
    # Travels on, stage by stage, to the engine's manifest.
    facts["network"] = {**job.metadata, **({"embedded": True} if config.embed_preprocess else {})}
    fallback = f" ({facts['fallback_reason']})" if "fallback_reason" in facts else ""
    facts["summary"] = f"{facts['exporter']} exporter, opset {opset}, {said(facts['parity'])}{fallback}"
    inputs, outputs = specs(model, config.ranges)
    made_by = provenance.export(job.checkpoint_sha256, config, job.opset, job.metadata)
    artifact = Artifact("onnx", job.out, sha256_of(job.out), inputs, outputs, made_by, facts)
    save_manifest(artifact)
    return artifact


@dataclass(frozen=True, slots=True)
class _Part:
    """A module to export, what goes in, and the names of what comes out."""

    module: nn.Module
    spec: TensorSpec
    names: Sequence[str]


def _embedded(
    module: nn.Module, job: Job, spec: TensorSpec, pictures: Sequence[Array]
) -> tuple[tuple[_Part, ...], list[dict[str, Array]]]:
    """Return preprocessing, network and postprocessing, and what numpy and torch make of each picture."""
    if "task" not in job.metadata:
        raise InputError("export.embed_preprocess = true for a network of no task; give a pair whose recipe names one")
    name, options = job.metadata["task"], json.loads(job.metadata.get("task_options", "{}"))
    task, ends = family.load("tasks", name), family.load("convert.preprocessing", name)
    high, wide = spec.at("opt")[1:3]
    before, after = ends.Before(options, (high, wide)).eval(), ends.After(options).eval()
    shape: tuple[int, ...] = ()
    expected = []
    for feed in pictures:
        seen = task.preprocess(feed[0], options)[None]
        if seen.shape != job.config.shape:
            raise InputError(f"export.shape = {list(job.config.shape)}; task {name!r} makes {list(seen.shape)} of it")
        outputs = _reference(module, seen)
        if len(outputs) != 1:
            raise InputError(f"the network gives {len(outputs)} outputs; one was expected by export.embed_preprocess")
        shape = outputs["output"].shape
        answer = answer_of(task, np.asarray(task.postprocess(outputs["output"][0], options)), options)
        expected.append({"output": answer[None]})
    seen_spec, answer_spec = TensorSpec(SEEN, job.config.shape, "float32"), TensorSpec(ANSWER, shape, "float32")
    parts = (_Part(before, spec, [SEEN]), _Part(module, seen_spec, [ANSWER]), _Part(after, answer_spec, ["output"]))
    return parts, expected


def _feeds(spec: TensorSpec, samples: Samples | None) -> list[Array]:
    """Return what parity is proven on: the samples that fit, and a random feed at min, opt and max of the ranges."""
    real = [] if samples is None else [samples.feeds(i).get(spec.name) for i in range(min(_COMPARED, len(samples)))]
    kind = np.dtype(spec.dtype).kind
    admitted = (a for a in real if a is not None and a.dtype.kind == kind and spec.admits(a.shape))
    fitting = [np.asarray(array, spec.dtype) for array in admitted]
    if samples is not None and not fitting:
        found = ", ".join(f"{name} {list(array.shape[1:])} {array.dtype}" for name, array in samples.inputs.items())
        raise InputError(f"the samples hold {found}; export.shape {spec} was expected")
    rng = np.random.default_rng(_SEED)
    high = 256 if kind == "u" else 1
    shapes = (
        dict.fromkeys(spec.at(which) for which in ("min", "opt", "max")) if not spec.is_static or not fitting else {}
    )
    return fitting + [(high * rng.random(shape, np.float32)).astype(spec.dtype) for shape in shapes]


def _source(samples: Samples | None) -> str:
    return samples.source if samples is not None else f"synthetic, seed {_SEED}"


def _reference(module: nn.Module, feed: Array) -> dict[str, Array]:
    try:
        with torch.no_grad():
            found = module(torch.from_numpy(np.ascontiguousarray(feed)))
    except (RuntimeError, ValueError, TypeError, IndexError) as err:
        raise InputError(
            f"the network does not run on input {list(feed.shape)}: {_one_line(err)}; check export.shape"
        ) from err
    return {_output(i): tensor.numpy() for i, tensor in enumerate(_flat(found))}


def _flat(found: Any) -> list[torch.Tensor]:
    if isinstance(found, torch.Tensor):
        return [found]
    if isinstance(found, Mapping):
        return _flat(list(found.values()))
    if isinstance(found, (list, tuple)):
        return list(itertools.chain.from_iterable(map(_flat, found)))
    raise InputError(
        f"the network gives {type(found).__name__}; tensors, or tuples, lists or dicts of them, were expected"
    )


def _output(index: int) -> str:
    return "output" if index == 0 else f"output.{index}"


def _exported(parts: Sequence[_Part], opset: int, exporter: str) -> tuple[ModelProto, dict[str, Any]]:
    """Export all parts by the first exporter that can, at the very opset asked for, and join them.

    Returns:
        The graph; facts: "exporter", "opset", and "fallback_reason" where the first one was passed over.
    """
    tries = {"auto": ("dynamo", "torchscript")}.get(exporter, (exporter,))
    reasons: list[str] = []
    for name in tries:
        try:
            models = [_export_once(part, opset, name == "dynamo") for part in parts]
            model = models[0] if len(models) == 1 else infer_shapes(join(*models))
        except _REFUSALS as err:
            reasons.append(f"{name}: {_one_line(err)}")
            continue
        facts: dict[str, Any] = {"exporter": name, "opset": opset}
        return model, facts | ({"fallback_reason": reasons[0]} if reasons else {})
    raise BuildError(f"torch {torch.__version__} cannot export the network to opset {opset}; {'; '.join(reasons)}")


def _export_once(part: _Part, opset: int, dynamo: bool) -> ModelProto:
    spec, names = part.spec, part.names
    example = torch.rand(spec.at("opt"), generator=torch.Generator().manual_seed(_SEED))
    if spec.dtype == "uint8":
        example = (256 * example).to(torch.uint8)
    dims = {axis: dim for axis, dim in enumerate(spec.shape) if isinstance(dim, str)}
    options: dict[str, Any] = {
        "input_names": [spec.name],
        "output_names": list(names),
        "opset_version": opset,
        "dynamo": dynamo,
    }
    if dynamo:
        options |= {"verbose": False, "optimize": True, "external_data": False}
        if dims:
            options["dynamic_shapes"] = (_torch_dims(dims, spec),)
    elif dims:
        options["dynamic_axes"] = {spec.name: dims, **{name: {} for name in names}}
    with tempfile.TemporaryDirectory(prefix="edgekd-export-") as folder, _quiet():
        path = Path(folder) / "model.onnx"
        torch.onnx.export(part.module, (example,), str(path), **options)
        try:
            model = load_onnx(path)
        except InputError as err:
            raise BuildError(str(err).replace(str(path), "what it wrote")) from err
    if opset_of(model) != opset:
        raise BuildError(f"wrote opset {opset_of(model)} where {opset} was asked for")
    if [value.name for value in model.graph.output] != list(names):
        raise BuildError(
            f"wrote outputs {', '.join(v.name for v in model.graph.output)} where {', '.join(names)} were asked for"
        )
    return _restore_dims(model, spec)


def _torch_dims(dims: Mapping[int, str], spec: TensorSpec) -> dict[int, Any]:
    """Return torch.export's dimensions; one name used twice is one dimension."""
    made = {}
    for name in dict.fromkeys(dims.values()):
        low, high = (getattr((spec.ranges or {})[name], end) for end in ("min", "max"))
        made[name] = torch.export.Dim(name, min=low, max=high) if high > low else low
    return {axis: made[name] for axis, name in dims.items()}


def _restore_dims(model: ModelProto, spec: TensorSpec) -> ModelProto:
    """Write the input's shape as the recipe names it, and let the outputs' follow from it."""
    for dim, known in zip(model.graph.input[0].type.tensor_type.shape.dim, spec.shape, strict=True):
        if isinstance(known, str):
            dim.dim_param = known
        else:
            dim.dim_value = known
    return infer_shapes(model)


def _parity(
    model: ModelProto, feeds: Sequence[Array], expected: Sequence[Mapping[str, Array]], tolerance: float
) -> dict[str, Any]:
    evaluate = Evaluator(model)
    found = [evaluate({"input": feed}) for feed in feeds]
    worst = compare(expected, found, {})
    facts: dict[str, dict[str, float | None]] = to_facts(worst)
    for name, apart in worst.items():
        if expected[0][name].dtype == np.uint8:
            facts[name]["moved_share"] = _moved_share(name, [e[name] for e in expected], [f[name] for f in found])
        elif not apart.relative <= tolerance:
            raise ParityError(
                f"the export moved {name!r} by {apart.relative:.3g} of its peak (largest {apart.max_abs:.3g}); "
                f"at most {tolerance:g} was expected: try another export.exporter, or raise export.tolerance"
            )
    return facts


def _moved_share(name: str, expected: Sequence[Array], found: Sequence[Array]) -> float:
    """Return what share of bytes the graph gives otherwise than numpy. Raises ParityError where it is too much."""
    apart = np.stack(found).astype(np.int64) - np.stack(expected)
    share, most = float(np.mean(apart != 0)), int(np.abs(apart).max())
    is_picture = expected[0].ndim == 4  # labels are names: their distance says nothing
    if share > _MOVED_SHARE or (is_picture and most > 1):
        raise ParityError(
            f"the export moved {share:.2%} of the values of {name!r}, by up to {most}; at most {_MOVED_SHARE:.0%}"
            f"{', by 1 grey level,' if is_picture else ''} was expected: try another export.exporter"
        )
    return share


def _stamp(model: ModelProto, job: Job, facts: Mapping[str, Any]) -> None:
    """Say in the file itself where it is from, and forget what names this machine: stack traces, source paths."""
    for graph in graphs(model.graph):
        for item in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
            item.ClearField("metadata_props")
            item.ClearField("doc_string")
    del model.metadata_props[:]
    model.ClearField("doc_string")
    model.producer_name, model.producer_version = "edgekd", __version__
    model.graph.name = job.metadata.get("pair", "edgekd")
    parity = max((entry["relative"] for entry in facts["parity"].values()), default=math.nan)
    embedded = {"embedded": "true"} if job.config.embed_preprocess else {}
    props = {
        **embedded,
        "version": __version__,
        "source_sha256": job.checkpoint_sha256,
        "exporter": facts["exporter"],
        "parity": f"{parity:.3g}",
    }
    onnx.helper.set_model_props(model, {f"edgekd.{key}": value for key, value in {**job.metadata, **props}.items()})


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' prints, warnings and log lines from the terminal; what matters comes as an exception.

    By file descriptor: the TorchScript exporter prints whole graphs from C++.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            for descriptor in kept:
                os.dup2(sink, descriptor)
            yield
    finally:
        for descriptor, copy in kept.items():
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(sink)
        logging.disable(disabled)


def _one_line(err: BaseException) -> str:
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    return f"{type(err).__name__}: {lines[0] if lines else 'no message'}"[:200]
