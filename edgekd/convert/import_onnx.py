"""Any ONNX file → one that edgekd can work on: static shapes, a recent opset, named nodes, and the same numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto, numpy_helper

from edgekd.convert._default_sizes import candidate_sizes
from edgekd.convert.input_metadata import contract_of, read_metadata, size_dims
from edgekd.core import provenance
from edgekd.core.artifact import Artifact, publish, sha256_of
from edgekd.core.errors import BuildError, InputError, ParityError
from edgekd.core.input_contract import InputContract
from edgekd.core.network_info import NetworkInfo
from edgekd.core.samples import Sample, Samples, SampleSource
from edgekd.core.schema import to_plain
from edgekd.core.tensor import TensorSpec
from edgekd.graph.constants import lift_constants
from edgekd.graph.cost import cost_of
from edgekd.graph.evaluate import Evaluator
from edgekd.graph.model import (
    dims_of,
    dtype_of,
    graphs,
    infer_shapes,
    input_specs,
    load_onnx,
    opset_of,
    specs,
    to_bytes,
)
from edgekd.graph.parity import compare, describe_change, output_kinds, parity_summary, to_facts

Array = NDArray[Any]

MIN_OPSET = 13  # the first with per-channel QuantizeLinear
TOLERANCE = 1e-4
MAX_FEED_ELEMENTS = 2**27  # 512 MiB of float32: more is likelier a typing error than a network's input
_MAX_SAMPLES, _SEED = 2, 0
_ASYMMETRIC_RESIZE_UNTIL = 11  # the opset from which Resize has its coordinate modes

_SAMPLE_RATE_NAMES, _SAMPLE_RATE_HZ = ("sr", "sample_rate", "sampling_rate"), 16000


@dataclass(frozen=True, slots=True)
class _StaticGraph:
    """A graph without dynamic dimensions that runs, and how its sizes were chosen."""

    model: ModelProto
    assumed: Mapping[str, int]
    fixed: Mapping[str, int]


def run(
    path: Path,
    dims: Mapping[str, int],
    samples: SampleSource | None,
    out: Path,
    network: NetworkInfo | None = None,
) -> Artifact:
    """Import the ONNX file at ``path`` and write the result to ``out``.

    Args:
        path: Any ONNX file.
        dims: Size of a dynamic dimension by its name (an unnamed one is ``<input>_d<axis>``), or the value of an
            integer scalar input, which then becomes a constant. Other dimensions get defaults: facts["assumed"].
        samples: Real inputs, used for the parity check where their names are the network's; None for synthetic ones.
        out: The file to write.
        network: What the user says of it. ``input`` holds what is known of its input; it is completed by the file's
            metadata, and what neither says is assumed.

    Returns:
        The artifact; facts: "assumed", "fixed", "opset", "parity", "parity_on", "producer", "layout", "summary".

    Raises:
        InputError: The file cannot be used, or ``dims`` names a dimension that does not exist.
        ParityError: The imported network does not give the original's numbers.
    """
    original = load_onnx(path)
    known = network or NetworkInfo(role="model", title=path.stem)
    made_by = provenance.import_onnx(sha256_of(path), dims, to_plain(known))
    wanted = (known.input or InputContract()).or_else(read_metadata(original))
    static = _fix_dims(original, {**size_dims(input_specs(original), wanted), **dims})
    inputs = input_specs(static.model)
    feeds: SampleSource = synthetic_feeds(inputs, _MAX_SAMPLES, _SEED)
    if samples is not None and set(samples[0].feeds) == {spec.name for spec in inputs}:
        feeds = samples
    expected = _original_outputs(path, original, static, feeds)
    model, opset, parity = _upgrade_opset(static.model, feeds, expected)
    for graph in graphs(model.graph):
        lift_constants(graph)
    _name_nodes(model)
    model = _with_output_shapes(model, expected)
    inputs, outputs = specs(model)
    facts: dict[str, Any] = {
        "assumed": dict(static.assumed),
        "fixed": dict(static.fixed),
        "opset": opset,
        "parity": parity,
        "parity_on": feeds.source,
        "producer": f"{original.producer_name} {original.producer_version}".strip(),
        "layout": {spec.name: spec.picture_layout for spec in inputs if spec.picture_layout},
        "summary": _summary(opset, static, parity),
    }
    contract, assumed = contract_of(original, inputs, known.input)
    described = dataclasses.replace(
        known, cost=dataclasses.asdict(cost_of(model)), input=contract, input_assumed=assumed
    )
    return publish(Artifact("onnx", out, "", inputs, outputs, made_by, facts, described), to_bytes(model))


def _summary(opset: Mapping[str, Any], static: _StaticGraph, parity: Mapping[str, Any]) -> str:
    change = f" → {opset['now']}" if opset["now"] != opset["given"] else ""
    sizes = ", ".join(f"{name}={size}" for name, size in static.assumed.items())
    assumed = f", assumed {sizes} (--dim NAME=SIZE to change)" if sizes else ""
    return f"opset {opset['given']}{change}{assumed}, {parity_summary(parity)}"


def synthetic_feeds(inputs: Sequence[TensorSpec], count: int, seed: int) -> Samples:
    """Make random samples: good for parity checks and timing, refused for calibration.

    Args:
        inputs: Static specs, or specs whose dynamic dimensions have ranges (their ``opt`` is taken).
        count: How many samples.
        seed: The same seed gives the same samples.

    Raises:
        InputError: An input is too large, or of a type that cannot be made up.
    """
    rng = np.random.default_rng(seed)
    arrays = {spec.name: [_synthetic_array(spec, rng) for _ in range(count)] for spec in inputs}
    samples = []
    for index in range(count):
        feeds = {name: of_tensor[index] for name, of_tensor in arrays.items()}
        samples.append(Sample(f"synthetic_{index}", feeds))
    return Samples(tuple(samples), f"synthetic, seed {seed}", "synthetic")


def _synthetic_array(spec: TensorSpec, rng: np.random.Generator) -> Array:
    """Return one array of the spec's optimal shape: floats 0..1, integers and booleans 0 or 1."""
    shape = spec.at("opt")
    if math.prod(shape) > MAX_FEED_ELEMENTS:
        raise InputError(
            f"input {spec} has {math.prod(shape)} elements; at most {MAX_FEED_ELEMENTS} were expected: set a smaller "
            "size with --dim NAME=SIZE"
        )
    if spec.dtype in ("string", "bfloat16"):
        raise InputError(f"input {spec} is of a type edgekd cannot feed; float, integer or bool was expected")
    dtype = np.dtype(spec.dtype)
    if dtype.kind in "iu":
        if spec.name.lower() in _SAMPLE_RATE_NAMES:
            return np.full(shape, _SAMPLE_RATE_HZ, dtype)
        return rng.integers(0, 2, shape).astype(dtype)  # valid in every embedding table, mask and index
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    return rng.random(shape).astype(dtype)


def _fix_dims(original: ModelProto, dims: Mapping[str, int]) -> _StaticGraph:
    """Make every dimension a number, trying default sizes until the network runs."""
    model = ModelProto()
    model.CopyFrom(original)
    _drop_initializer_inputs(model)
    constants = _inputs_to_constants(model, dims)
    dynamic = [dim for spec in input_specs(model) for dim in spec.shape if isinstance(dim, str)]
    names = list(dict.fromkeys(dynamic))  # in order, each once
    unknown = sorted(set(dims) - set(names) - constants)
    if unknown:
        raise InputError(
            f"--dim {unknown[0]}: the network has no such dynamic dimension; it has: {', '.join(names) or 'none'}"
        )
    for name, size in dims.items():
        if name not in constants and size < 1:
            raise InputError(f"--dim {name}={size}; a size of 1 or more was expected")
    problem: Exception | None = None
    for sizes in candidate_sizes(input_specs(model), names, dims):
        try:
            static = _at_sizes(model, sizes)
            Evaluator(static)(synthetic_feeds(input_specs(static), 1, _SEED)[0].feeds)
            assumed = {name: size for name, size in sizes.items() if name not in dims}
            return _StaticGraph(static, assumed, dict(dims))
        except (BuildError, InputError) as err:
            problem = problem or err  # the likeliest sizes fail with the most telling message
    raise InputError(
        f"the network does not run: {problem}" + (f"; set its sizes with --dim {names[0]}=SIZE" if names else "")
    )


def _drop_initializer_inputs(model: ModelProto) -> None:
    """Remove inputs that are weights with a value in the file, as IR versions before 4 list them."""
    given = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name not in given]
    if len(kept) < len(model.graph.input):
        _replace(model.graph.input, kept)
        model.ir_version = max(model.ir_version, 4)  # the first that lets an initializer not be an input


def _inputs_to_constants(model: ModelProto, dims: Mapping[str, int]) -> set[str]:
    """Turn integer scalar inputs that ``dims`` names into initializers, and return their names."""
    chosen = [value for value in model.graph.input if value.name in dims and _is_integer_scalar(value)]
    for value in chosen:
        model.graph.initializer.append(numpy_helper.from_array(_constant(value, dims[value.name]), value.name))
    names = {value.name for value in chosen}
    _replace(model.graph.input, [value for value in model.graph.input if value.name not in names])
    return names


def _is_integer_scalar(value: ValueInfoProto) -> bool:
    return dims_of(value) in ((), (1,)) and _dtype(value).startswith(("int", "uint"))


def _constant(value: ValueInfoProto, number: int) -> Array:
    """Return ``number`` as an array of the input's own shape and dtype: () or (1,)."""
    return np.full([int(dim or 1) for dim in dims_of(value) or ()], number, _dtype(value))


def _dtype(value: ValueInfoProto) -> str:
    return dtype_of(value.type.tensor_type.elem_type, value.name)


def _at_sizes(model: ModelProto, sizes: Mapping[str, int]) -> ModelProto:
    """Return a copy whose inputs have ``sizes``; shapes of inner tensors and outputs are inferred again."""
    static = ModelProto()
    static.CopyFrom(model)
    for value, spec in zip(static.graph.input, input_specs(model), strict=True):
        for dim, known in zip(value.type.tensor_type.shape.dim, spec.shape, strict=True):
            dim.dim_value = sizes[known] if isinstance(known, str) else known
    if sizes:
        for graph in graphs(static.graph):
            del graph.value_info[:]
        for value in static.graph.output:
            value.type.tensor_type.ClearField("shape")
    return infer_shapes(static)


def _original_outputs(
    path: Path, original: ModelProto, static: _StaticGraph, feeds: SampleSource
) -> list[dict[str, Array]]:
    """Run the original file on the feeds; inputs that have become constants are fed their values."""
    evaluate = Evaluator(path)
    initializers = {tensor.name for tensor in original.graph.initializer}
    remaining = {value.name for value in static.model.graph.input}
    constants = {}
    for value in original.graph.input:
        if value.name not in remaining and value.name not in initializers:
            constants[value.name] = _constant(value, static.fixed[value.name])
    return [evaluate({**feeds[index].feeds, **constants}) for index in range(min(len(feeds), _MAX_SAMPLES))]


def _upgrade_opset(
    model: ModelProto, feeds: SampleSource, expected: Sequence[Mapping[str, Array]]
) -> tuple[ModelProto, dict[str, Any], dict[str, Any]]:
    """Raise the opset to ``MIN_OPSET`` if that keeps names and numbers; else leave it, and record the reason.

    Returns:
        The graph; facts about its opset; its parity with the original.
    """
    opset, reason = opset_of(model), ""
    if opset < MIN_OPSET:
        try:
            converted = onnx.version_converter.convert_version(model, MIN_OPSET)
            newer = infer_shapes(_restore_resize_modes(converted, opset))
            newer.ir_version = max(newer.ir_version, model.ir_version)
            return newer, {"given": opset, "now": MIN_OPSET}, _check_parity(newer, feeds, expected)
        except (
            onnx.version_converter.ConvertError,
            RuntimeError,
            ValueError,
            BuildError,
            InputError,
            ParityError,
        ) as err:
            reason = " ".join(str(err).split())[:200]
    facts: dict[str, Any] = {"given": opset, "now": opset}
    if reason:
        facts["reason"] = reason
    return model, facts, _check_parity(model, feeds, expected)


def _restore_resize_modes(model: ModelProto, given_opset: int) -> ModelProto:
    """Write the sampling that Upsample and Resize had before opset 11, which onnx's converter leaves out."""
    if given_opset >= _ASYMMETRIC_RESIZE_UNTIL:
        return model
    modes = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    for graph in graphs(model.graph):
        for node in graph.node:
            if node.op_type != "Resize" or any(a.name == "coordinate_transformation_mode" for a in node.attribute):
                continue
            node.attribute.extend(onnx.helper.make_attribute(key, value) for key, value in modes.items())
    return model


def _check_parity(
    model: ModelProto, feeds: SampleSource, expected: Sequence[Mapping[str, Array]]
) -> dict[str, dict[str, float | None]]:
    """Compare the graph with the original's outputs, and return the worst difference of each output."""
    evaluate = Evaluator(model)
    found = (evaluate(feeds[index].feeds) for index in range(len(expected)))
    kinds = output_kinds(model)
    worst = compare(expected, found, kinds)
    for name, difference in worst.items():
        if not difference.relative <= TOLERANCE:  # written so that NaN fails
            raise ParityError(
                f"importing the graph {describe_change(name, difference, kinds)}; at most {TOLERANCE:g} was expected"
            )
    return to_facts(worst)


def _name_nodes(model: ModelProto) -> None:
    """Give every node of every graph a unique name: recipes and TensorRT's log refer to nodes by name."""
    taken: set[str] = set()
    for graph in graphs(model.graph):
        for index, node in enumerate(graph.node):
            name = node.name or f"{node.op_type}_{index}"
            while name in taken:
                name += "_"
            taken.add(name)
            node.name = name


def _with_output_shapes(model: ModelProto, outputs: Sequence[Mapping[str, Array]]) -> ModelProto:
    """Write the shape that each output had on every sample; a size that differed stays dynamic.

    Args:
        model: The graph.
        outputs: Output name → array, one mapping a sample.
    """
    for value in model.graph.output:
        shapes = [arrays[value.name].shape for arrays in outputs]
        if not shapes or any(len(shape) != len(shapes[0]) for shape in shapes):
            continue
        value.type.tensor_type.shape.ClearField("dim")
        for axis, sizes in enumerate(zip(*shapes, strict=True)):
            dim = value.type.tensor_type.shape.dim.add()
            if len(set(sizes)) == 1:
                dim.dim_value = sizes[0]
            else:
                dim.dim_param = f"{value.name}_d{axis}"
        if not shapes[0]:
            value.type.tensor_type.shape.SetInParent()  # a scalar's shape is there, and empty
    return infer_shapes(model)


def _replace(field: Any, values: Sequence[ValueInfoProto]) -> None:
    copies = [ValueInfoProto.FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(copies)
