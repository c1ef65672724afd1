"""Checkpoint → ONNX with torch's exporters, checked output by output against the torch module.

With ``include_preprocessing`` three modules are exported and joined. The check then covers the whole graph: from the
bytes of an image it must give what the task's own numpy code and the torch module give.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from torch import nn

from edgekd import __version__
from edgekd.convert._torch_exporters import Part, export_parts, one_line
from edgekd.convert.compose import NETWORK_INPUT, NETWORK_OUTPUT
from edgekd.core import family
from edgekd.core.artifact import Artifact, publish
from edgekd.core.config import ExportConfig
from edgekd.core.errors import InputError, ParityError
from edgekd.core.network_info import NetworkInfo
from edgekd.core.preprocessing import graph_output, input_spec
from edgekd.core.provenance import Provenance
from edgekd.core.samples import SampleSource
from edgekd.core.schema import to_plain
from edgekd.core.tensor import Dim, TensorSpec
from edgekd.graph.cost import cost_of
from edgekd.graph.evaluate import Evaluator
from edgekd.graph.model import graphs, specs, to_bytes
from edgekd.graph.parity import compare, parity_summary, to_facts

Array = NDArray[Any]

DEFAULT_OPSET = 17
_MAX_SAMPLES = 4  # each is a whole inference in torch and one in unoptimised onnxruntime
_SEED = 0
# Largest share of a uint8 output's values that may differ: the graph computes in float32 and numpy in float64, so
# values that are about to be rounded up can go either way.
_MAX_CHANGED_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class ExportJob:
    """What to export, from where, and to where.

    Attributes:
        made_by: The ONNX file's provenance; its first parent is the checkpoint.
        config: Shape, ranges, exporter and tolerance.
        opset: The opset to write; 0 takes ``config.opset``, or 17 where that is 0 too.
        samples: Real inputs for the parity check, or None for random ones.
        network: Role, title, task and task options. ``includes_preprocessing`` and ``cost`` are filled in here.
        out: The file to write.
        architecture: What the graph depends on besides the weights: a digest of the network's code, or its
            ``package.module:callable``. Written into the file, not interpreted.
    """

    made_by: Provenance
    config: ExportConfig
    opset: int
    samples: SampleSource | None
    network: NetworkInfo
    out: Path
    architecture: str = ""


def run(module: nn.Module, job: ExportJob) -> Artifact:
    """Export ``module``, which has one input and any number of outputs, and check its numbers.

    Args:
        module: The network in eval mode, on the CPU.
        job: What to export.

    Returns:
        The artifact; facts: "exporter", "opset", "fallback_reason", "parity", "parity_on", "summary".

    Raises:
        InputError: The shape and ranges do not fit the network.
        BuildError: Neither exporter can follow the network.
        ParityError: The ONNX file does not give the module's numbers.
    """
    config = job.config
    spec = input_spec(config)
    unused = set(config.ranges) - {dim for dim in config.shape if isinstance(dim, str)}
    if unused:
        raise InputError(
            f"export.ranges names {', '.join(sorted(unused))}, which export.shape = {list(config.shape)} does not "
            "have; remove it, or name that dimension in the shape"
        )
    inputs = _parity_inputs(spec, job.samples)
    if config.include_preprocessing:
        parts, expected = _parts_with_preprocessing(module, job, spec, inputs)
    else:
        expected = [_torch_outputs(module, array) for array in inputs]
        parts = (Part(module, spec, list(expected[0])),)
    model, facts = export_parts(parts, job.opset or config.opset or DEFAULT_OPSET, config.exporter)
    facts["parity"] = _check_parity(model, inputs, expected, config.tolerance)
    facts["parity_on"] = f"synthetic, seed {_SEED}" if job.samples is None else job.samples.source
    facts["summary"] = _summary(facts)
    _stamp(model, job, facts)
    cost = dataclasses.asdict(cost_of(model, (spec,)))
    network = dataclasses.replace(job.network, includes_preprocessing=config.include_preprocessing, cost=cost)
    graph_inputs, graph_outputs = specs(model, config.ranges)
    artifact = Artifact("onnx", job.out, "", graph_inputs, graph_outputs, job.made_by, facts, network)
    return publish(artifact, to_bytes(model))


def _summary(facts: Mapping[str, Any]) -> str:
    fallback = f" ({facts['fallback_reason']})" if "fallback_reason" in facts else ""
    return f"{facts['exporter']} exporter, opset {facts['opset']}, {parity_summary(facts['parity'])}{fallback}"


def _parts_with_preprocessing(
    module: nn.Module, job: ExportJob, spec: TensorSpec, images: Sequence[Array]
) -> tuple[tuple[Part, ...], list[dict[str, Array]]]:
    """Return the three parts of the graph, and what numpy and torch make of each image, (1, H, W, 3) uint8."""
    name, options, shape = job.network.task, job.network.task_options, job.config.shape
    if not name:
        raise InputError(
            "export.include_preprocessing = true for a network without a task, whose preprocessing is unknown; give a "
            "pair whose recipe names a task, or set export.include_preprocessing = false"
        )
    task, member = family.load("tasks", name), family.load("convert.preprocessing", name)
    height, width = spec.at("opt")[1:3]
    preprocess = member.Preprocess(options, (height, width)).eval()
    postprocess = member.Postprocess(options).eval()
    output_shape: tuple[int, ...] = ()
    expected = []
    for image in images:
        network_input = task.preprocess(image[0], options)[None]  # (1, C, H, W) float32
        if network_input.shape != shape:
            raise InputError(
                f"export.shape = {list(shape)}; task {name!r} makes {list(network_input.shape)} of an image: set that"
            )
        outputs = _torch_outputs(module, network_input)
        if len(outputs) != 1:
            raise InputError(f"the network has {len(outputs)} outputs; export.include_preprocessing needs exactly one")
        network_output = outputs["output"]
        output_shape = network_output.shape
        postprocessed = np.asarray(task.postprocess(network_output[0], options))
        expected.append({"output": graph_output(task, postprocessed, options)[None]})
    parts = (
        Part(preprocess, spec, [NETWORK_INPUT]),
        Part(module, TensorSpec(NETWORK_INPUT, shape, "float32"), [NETWORK_OUTPUT]),
        Part(postprocess, TensorSpec(NETWORK_OUTPUT, output_shape, "float32"), ["output"]),
    )
    return parts, expected


def _parity_inputs(spec: TensorSpec, samples: SampleSource | None) -> list[Array]:
    """Return the inputs of the parity check: the samples that fit, and random arrays where shapes are not covered.

    Random arrays are made at the min, opt and max of the ranges; of a static shape only where no sample fits it.
    """
    kind = np.dtype(spec.dtype).kind
    fitting: list[Array] = []
    if samples is not None:
        given = [samples[index].feeds for index in range(min(_MAX_SAMPLES, len(samples)))]
        arrays = [feeds[spec.name] for feeds in given if spec.name in feeds]
        fitting = [np.asarray(a, spec.dtype) for a in arrays if a.dtype.kind == kind and spec.admits(a.shape)]
        if not fitting:
            found = ", ".join(f"{name} {list(array.shape)} {array.dtype}" for name, array in given[0].items())
            raise InputError(f"the samples hold {found}; export.shape {spec} was expected")
    if spec.is_static and fitting:
        return fitting
    rng = np.random.default_rng(_SEED)
    scale = 256 if kind == "u" else 1
    shapes = dict.fromkeys(spec.at(which) for which in ("min", "opt", "max"))  # ordered, each shape once
    return fitting + [(scale * rng.random(shape, np.float32)).astype(spec.dtype) for shape in shapes]


def _torch_outputs(module: nn.Module, array: Array) -> dict[str, Array]:
    """Run the torch module on one input: output name in the graph → array."""
    try:
        with torch.no_grad():
            found = module(torch.from_numpy(np.ascontiguousarray(array)))
    except (RuntimeError, ValueError, TypeError, IndexError) as err:
        raise InputError(
            f"the network does not run on input {list(array.shape)}: {one_line(err)}; check export.shape"
        ) from err
    return {f"output.{index}" if index else "output": tensor.numpy() for index, tensor in enumerate(_flat(found))}


def output_shapes(module: nn.Module, shape: Sequence[Dim]) -> list[tuple[int, ...]]:
    """Return the shape of each output for an input of zeros; named dimensions count as 1.

    Raises:
        InputError: The network does not run on such an input.
    """
    zeros = np.zeros([size if isinstance(size, int) else 1 for size in shape], np.float32)
    return [array.shape for array in _torch_outputs(module, zeros).values()]


def _flat(found: Any) -> list[torch.Tensor]:
    """List the tensors in nested tuples, lists and dicts, in the order in which the exporters name them."""
    if isinstance(found, torch.Tensor):
        return [found]
    if isinstance(found, Mapping):
        found = list(found.values())
    if isinstance(found, (list, tuple)):
        return [tensor for item in found for tensor in _flat(item)]
    raise InputError(f"the network returns {type(found).__name__}; tensors in tuples, lists or dicts were expected")


def _check_parity(
    model: ModelProto, inputs: Sequence[Array], expected: Sequence[Mapping[str, Array]], tolerance: float
) -> dict[str, Any]:
    """Compare the graph with what was expected of it, and return the worst difference of each output."""
    evaluate = Evaluator(model)
    found = [evaluate({"input": array}) for array in inputs]
    worst = compare(expected, found, {})
    facts: dict[str, dict[str, float | None]] = to_facts(worst)
    for name, difference in worst.items():
        if expected[0][name].dtype == np.uint8:
            share = _changed_share(name, [arrays[name] for arrays in expected], [arrays[name] for arrays in found])
            facts[name]["changed_share"] = share
        elif not difference.relative <= tolerance:  # written so that NaN fails
            raise ParityError(
                f"the exported graph differs from torch in output {name!r} by {difference.relative:.3g} of its peak "
                f"(largest {difference.max_abs:.3g}); at most {tolerance:g} was expected: try another "
                "export.exporter, or raise export.tolerance"
            )
    return facts


def _changed_share(name: str, expected: Sequence[Array], found: Sequence[Array]) -> float:
    """Return the share of uint8 values that differ from numpy's. Raises ParityError where it is too large."""
    difference = np.stack(found).astype(np.int64) - np.stack(expected)
    share, largest = float(np.mean(difference != 0)), int(np.abs(difference).max())
    is_image = expected[0].ndim == 4  # labels are names, and the distance between two of them means nothing
    if share > _MAX_CHANGED_SHARE or (is_image and largest > 1):
        raise ParityError(
            f"the exported graph differs from numpy in {share:.2%} of the values of {name!r}, by up to {largest}; at "
            f"most {_MAX_CHANGED_SHARE:.0%}{', by 1 grey level,' if is_image else ''} was expected: try another "
            "export.exporter"
        )
    return share


def _stamp(model: ModelProto, job: ExportJob, facts: Mapping[str, Any]) -> None:
    """Write the network's origin into the file, and remove what names this machine: stack traces, source paths."""
    for graph in graphs(model.graph):
        for item in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
            item.ClearField("metadata_props")
            item.ClearField("doc_string")
    del model.metadata_props[:]
    model.ClearField("doc_string")
    model.producer_name, model.producer_version = "edgekd", __version__
    model.graph.name = "edgekd"
    network = job.network
    relative = max((entry["relative"] for entry in facts["parity"].values()), default=math.nan)
    props = {"title": network.title, "role": network.role, "network": job.architecture}
    if network.task:
        props |= {"task": network.task, "task_options": json.dumps(dict(network.task_options), sort_keys=True)}
    if network.input is not None:
        props["input"] = json.dumps(to_plain(network.input), sort_keys=True)
    if job.config.include_preprocessing:
        props["includes_preprocessing"] = "true"
    props |= {
        "version": __version__,
        "source_sha256": job.made_by.parents_sha256[0],
        "exporter": facts["exporter"],
        "parity": f"{relative:.3g}",
    }
    onnx.helper.set_model_props(model, {f"edgekd.{key}": value for key, value in props.items()})
