"""A foreign ONNX file → one edgekd can work on: static shapes, a usable opset, named nodes, and the same numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto, numpy_helper

from edgekd.core import provenance
from edgekd.core.artifact import Artifact, save_manifest, sha256_of
from edgekd.core.errors import BuildError, InputError, ParityError
from edgekd.core.samples import Samples
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
    save_onnx,
    specs,
)
from edgekd.graph.parity import compare, kinds, moved, said, to_facts

TAKES, GIVES = "onnx", "onnx"

MIN_OPSET = 13  # the first with per-channel QuantizeLinear
TOLERANCE = 1e-4
MAX_FEED_ELEMENTS = 2**27
_FEEDS, _SEED = 2, 0
# Tried in turn until the network runs: what classifiers take; then powers of two, VAD's 512 and 576, a whole second.
_IMAGE_SIZES = (224, 256, 320, 512, 640, 64, 32)
_LENGTHS = (512, 576, 256, 128, 64, 1024, 16000, 16, 1)
_SAMPLE_RATES = ("sr", "sample_rate", "sampling_rate")


@dataclass(frozen=True, slots=True)
class _Opened:
    """A static graph that runs, and how it came to be."""

    model: ModelProto
    assumed: Mapping[str, int]
    fixed: Mapping[str, int]


def run(path: Path, dims: Mapping[str, int], samples: Samples | None, out: Path) -> Artifact:
    """Adopt the ONNX file at ``path`` and write it to ``out``.

    Args:
        path: Any ONNX file.
        dims: Size of a dynamic dimension by its name (an unnamed one is ``<input>_d<axis>``), or the value of an
            integer scalar input, which then becomes a constant. The rest gets defaults: facts["assumed"].
        samples: Real feeds, used for parity where they fit the network; None for synthetic ones.
        out: The file to write.

    Raises:
        InputError: The file is not usable, or ``dims`` names what is not there.
        ParityError: The adopted network does not give the original's numbers.
    """
    original = load_onnx(path)
    opened = _fix_dims(original, dims)
    inputs = input_specs(opened.model)
    feeds = synthetic_feeds(inputs, _FEEDS, _SEED)
    if samples is not None and set(samples.inputs) == {spec.name for spec in inputs}:
        feeds = samples
    expected = _references(path, original, opened, feeds)
    model, opset, parity = _newest_that_agrees(opened.model, feeds, expected)
    for graph in graphs(model.graph):
        lift_constants(graph)
    _name_nodes(model)
    model = _with_output_shapes(model, expected)
    save_onnx(model, out)
    inputs, outputs = specs(model)
    facts: dict[str, Any] = {
        "assumed": dict(opened.assumed),
        "fixed": dict(opened.fixed),
        "opset": opset,
        "parity": parity,
        "parity_on": feeds.source,
        "producer": f"{original.producer_name} {original.producer_version}".strip(),
        "layout": {spec.name: spec.picture_layout for spec in inputs if spec.picture_layout},
        "cost": dataclasses.asdict(cost_of(model)),
        "summary": _summary(opset, opened, parity),
    }
    artifact = Artifact("onnx", out, sha256_of(out), inputs, outputs, provenance.adopt(sha256_of(path), dims), facts)
    save_manifest(artifact)
    return artifact


def _summary(opset: Mapping[str, Any], opened: _Opened, parity: Mapping[str, Any]) -> str:
    now = f"opset {opset['given']}" + (f" → {opset['now']}" if opset["now"] != opset["given"] else "")
    sizes = ", ".join(f"{name}={size}" for name, size in opened.assumed.items())
    assumed = f", assumed {sizes} (--dim NAME=SIZE to change)" if sizes else ""
    return f"{now}{assumed}, {said(parity)}"


def synthetic_feeds(inputs: Sequence[TensorSpec], count: int, seed: int) -> Samples:
    """Make feeds of no meaning: good for parity and timing, refused for calibration.

    Args:
        inputs: Static specs, or ones whose dynamic dimensions have ranges (their ``opt`` is taken).
        count: How many.
        seed: The same seed gives the same feeds.

    Raises:
        InputError: An input is too large, or of a type that cannot be made up.
    """
    rng = np.random.default_rng(seed)
    arrays = {spec.name: np.stack([_made_up(spec, rng) for _ in range(count)]) for spec in inputs}
    return Samples(arrays, tuple(f"synthetic_{i}" for i in range(count)), f"synthetic, seed {seed}")


def _made_up(spec: TensorSpec, rng: np.random.Generator) -> NDArray[Any]:
    shape = spec.at("opt")
    if math.prod(shape) > MAX_FEED_ELEMENTS:
        raise InputError(
            f"input {spec} has {math.prod(shape)} elements; at most {MAX_FEED_ELEMENTS} were expected: give --dim"
        )
    if spec.dtype in ("string", "bfloat16"):
        raise InputError(f"input {spec} is of a type edgekd cannot feed; float, integer or bool was expected")
    dtype = np.dtype(spec.dtype)
    if dtype.kind in "iu":
        if spec.name.lower() in _SAMPLE_RATES:
            return np.full(shape, 16000, dtype)
        return rng.integers(0, 2, shape).astype(dtype)  # 0 and 1 are in range of every embedding, mask and index
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    return rng.random(shape).astype(dtype)


def _fix_dims(original: ModelProto, dims: Mapping[str, int]) -> _Opened:
    """Make every dimension a number, trying defaults until the network runs."""
    model = ModelProto()
    model.CopyFrom(original)
    _drop_initializer_inputs(model)
    constants = _bake_constants(model, dims)
    names = _dynamic_dims(model)
    unknown = sorted(set(dims) - set(names) - constants)
    if unknown:
        raise InputError(
            f"--dim {unknown[0]}: the network has no such dynamic dimension; it has: {', '.join(names) or 'none'}"
        )
    if wrong := {name: size for name, size in dims.items() if name not in constants and size < 1}:
        raise InputError(f"--dim {next(iter(wrong))}={next(iter(wrong.values()))}; a size of 1 or more was expected")
    problem: Exception | None = None
    for sizes in _proposals(input_specs(model), names, dims):
        try:
            static = _at_sizes(model, sizes)
            Evaluator(static)(synthetic_feeds(input_specs(static), 1, _SEED).feeds(0))
            assumed = {name: size for name, size in sizes.items() if name not in dims}
            return _Opened(static, assumed, dict(dims))
        except (BuildError, InputError) as err:
            problem = problem or err
    raise InputError(
        f"the network does not run: {problem}" + (f"; give its sizes: --dim {names[0]}=SIZE" if names else "")
    )


def _drop_initializer_inputs(model: ModelProto) -> None:
    given = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name not in given]
    if len(kept) < len(model.graph.input):
        _replace(model.graph.input, kept)
        model.ir_version = max(model.ir_version, 4)  # the first that lets an initializer not be an input


def _bake_constants(model: ModelProto, dims: Mapping[str, int]) -> set[str]:
    """Turn integer scalar inputs that ``dims`` names into initializers."""
    baked = [
        v
        for v in model.graph.input
        if v.name in dims and dims_of(v) in ((), (1,)) and _dtype(v).startswith(("int", "uint"))
    ]
    for value in baked:
        shape = dims_of(value) or ()
        array = np.full([int(dim or 1) for dim in shape], dims[value.name], _dtype(value))
        model.graph.initializer.append(numpy_helper.from_array(array, value.name))
    names = {value.name for value in baked}
    _replace(model.graph.input, [value for value in model.graph.input if value.name not in names])
    return names


def _dtype(value: ValueInfoProto) -> str:
    return dtype_of(value.type.tensor_type.elem_type, value.name)


def _dynamic_dims(model: ModelProto) -> list[str]:
    """Name every dynamic dimension of the inputs, giving unnamed ones a name in the graph."""
    names = [dim for spec in input_specs(model) for dim in spec.shape if isinstance(dim, str)]
    return list(dict.fromkeys(names))


def _proposals(inputs: Sequence[TensorSpec], names: Sequence[str], dims: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Yield sizes for all ``names``, the likeliest first: batch 1, colour; then other heights, widths, lengths."""
    free = [name for name in names if name not in dims]
    if not free:
        yield {name: dims[name] for name in names}
        return
    roles = {
        dim: _role(spec, axis)
        for spec in reversed(inputs)
        for axis, dim in enumerate(spec.shape)
        if isinstance(dim, str)
    }
    for channels in (3, 1) if "channel" in roles.values() else (3,):
        for image, length in zip(_IMAGE_SIZES + _IMAGE_SIZES[-1:] * 2, _LENGTHS, strict=True):
            by_role = {"batch": 1, "channel": channels, "image": image, "length": length}
            yield {name: dims.get(name, by_role[roles[name]]) for name in names}
            if not {roles[name] for name in free} & {"image", "length"}:
                break


def _role(spec: TensorSpec, axis: int) -> str:
    dim = str(spec.shape[axis]).lower()
    if axis == 0 or "batch" in dim:
        return "batch"
    if len(spec.shape) != 4:
        return "batch" if spec.name.lower() in ("state", "h", "c", "h0", "c0") and axis == 1 else "length"
    channels_last = spec.shape[3] in (1, 3)
    return "channel" if axis == (3 if channels_last else 1) else "image"


def _at_sizes(model: ModelProto, sizes: Mapping[str, int]) -> ModelProto:
    """Return a copy whose inputs have ``sizes``; what older shapes the file tells of inner tensors is forgotten."""
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


def _references(path: Path, original: ModelProto, opened: _Opened, feeds: Samples) -> list[dict[str, NDArray[Any]]]:
    """Run the original file itself on the feeds, its baked-in scalars fed as they were inputs."""
    evaluate = Evaluator(path)
    given = {tensor.name for tensor in original.graph.initializer}
    now = {value.name for value in opened.model.graph.input}
    baked = {
        value.name: np.full([int(d or 1) for d in dims_of(value) or ()], opened.fixed[value.name], _dtype(value))
        for value in original.graph.input
        if value.name not in now and value.name not in given
    }
    return [evaluate({**feeds.feeds(i), **baked}) for i in range(min(len(feeds), _FEEDS))]


def _newest_that_agrees(
    model: ModelProto, feeds: Samples, expected: Sequence[Mapping[str, NDArray[Any]]]
) -> tuple[ModelProto, dict[str, Any], dict[str, Any]]:
    """Bring the opset to ``MIN_OPSET`` if that keeps names and numbers, else leave it and say why.

    Returns:
        The graph, facts about its opset, its parity with the original.
    """
    opset, reason = opset_of(model), ""
    if opset < MIN_OPSET:
        try:
            newer = infer_shapes(_mend_resizes(onnx.version_converter.convert_version(model, MIN_OPSET), opset))
            newer.ir_version = max(newer.ir_version, model.ir_version)
            return newer, {"given": opset, "now": MIN_OPSET}, _parity(newer, feeds, expected)
        except (
            onnx.version_converter.ConvertError,
            RuntimeError,
            ValueError,
            BuildError,
            InputError,
            ParityError,
        ) as err:
            reason = " ".join(str(err).split())[:200]
    facts = {"given": opset, "now": opset} | ({"reason": reason} if reason else {})
    return model, facts, _parity(model, feeds, expected)


def _mend_resizes(model: ModelProto, given_opset: int) -> ModelProto:
    """Give Resize the sampling that Upsample and Resize had before opset 11, which onnx's converter forgets."""
    for graph in graphs(model.graph) if given_opset < 11 else ():
        for node in graph.node:
            if node.op_type == "Resize" and not any(a.name == "coordinate_transformation_mode" for a in node.attribute):
                asymmetric = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
                node.attribute.extend(onnx.helper.make_attribute(key, value) for key, value in asymmetric.items())
    return model


def _parity(model: ModelProto, feeds: Samples, expected: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, Any]:
    evaluate = Evaluator(model)
    found = (evaluate(feeds.feeds(i)) for i in range(len(expected)))
    kinds_of = kinds(model)
    worst = compare(expected, found, kinds_of)
    for name, apart in worst.items():
        if not apart.relative <= TOLERANCE:
            raise ParityError(f"adopting the graph {moved(name, apart, kinds_of)}; at most {TOLERANCE:g} was expected")
    return to_facts(worst)


def _name_nodes(model: ModelProto) -> None:
    """Give every node of every graph a name of its own: recipes and TensorRT's log speak of nodes by name."""
    taken: set[str] = set()
    for graph in graphs(model.graph):
        for index, node in enumerate(graph.node):
            name = node.name or f"{node.op_type}_{index}"
            while name in taken:
                name += "_"
            taken.add(name)
            node.name = name


def _with_output_shapes(model: ModelProto, seen: Sequence[Mapping[str, NDArray[Any]]]) -> ModelProto:
    """Write into each output the shape it had on every feed; where it differed, the dimension stays dynamic."""
    for value in model.graph.output:
        shapes = [run_of[value.name].shape for run_of in seen]
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
            value.type.tensor_type.shape.SetInParent()
    return infer_shapes(model)


def _replace(field: Any, values: Sequence[ValueInfoProto]) -> None:
    copies = [ValueInfoProto.FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(copies)
