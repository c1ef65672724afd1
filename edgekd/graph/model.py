"""Reading and writing ONNX files: a file from anywhere is checked before the rest of edgekd trusts it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto
from onnx.checker import ValidationError
from onnx.external_data_helper import load_external_data_for_tensor
from onnx.shape_inference import InferenceError

from edgekd.core.artifact import write_atomic
from edgekd.core.errors import InputError
from edgekd.core.tensor import DTYPES, Dim, DimRange, TensorSpec
from edgekd.graph.experimental import rewrite_experimental

MAX_BYTES = 2**31 - 1  # protobuf's own limit
# What onnx's C++ checker and protobuf's accessors raise on damaged files, as found by fuzzing.
_DAMAGE = (
    ValidationError,
    InferenceError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    RecursionError,
    MemoryError,
    KeyError,
)


def load_onnx(path: Path) -> ModelProto:
    """Read an ONNX file and its external data, and check both.

    Raises:
        InputError: The file is missing, empty, cut short, not ONNX, of a newer version, over 2 GB, damaged, or refers
            to data outside its own folder.
    """
    data = _read(path)
    model = ModelProto()
    try:
        model.ParseFromString(data)
        _check_version(model, path)
        _load_external_data(model, path)
        for tensor in tensors(model):
            _check_tensor(tensor, path)
        for graph in graphs(model.graph):
            rewrite_experimental(graph, opset_of(model))
        onnx.checker.check_model(model)
    except (DecodeError, EncodeError) as err:
        raise InputError(f"{path} is not a complete ONNX file ({_first_line(err)}); copy or export it again") from err
    except _DAMAGE as err:
        raise InputError(f"{path} is a damaged or invalid ONNX file ({_first_line(err)}); export it again") from err
    return model


def save_onnx(model: ModelProto, path: Path) -> None:
    """Write ``model`` to ``path`` with all data inside; equal models give equal bytes.

    Raises:
        InputError: The model is over 2 GB, or the file cannot be written.
    """
    write_atomic(path, to_bytes(model))


def to_bytes(model: ModelProto) -> bytes:
    """Serialize ``model``; equal models give equal bytes. Raises InputError when it is over 2 GB."""
    try:
        return bytes(model.SerializeToString(deterministic=True))
    except (EncodeError, ValueError) as err:
        raise InputError(
            f"the graph cannot be written as one file ({_first_line(err)}); at most 2 GB were expected"
        ) from err


def specs(
    model: ModelProto, ranges: Mapping[str, Sequence[int]] | None = None
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return the signature of a graph, (inputs, outputs); an initializer that is also listed as an input is not one.

    Args:
        model: The graph.
        ranges: Dimension name → (min, opt, max), attached to each tensor that has such a dimension.

    Raises:
        InputError: An input or output is not a plain tensor, or has no known rank.
    """
    named = _named(ranges)
    return input_specs(model, ranges), tuple(_spec(value, named) for value in model.graph.output)


def input_specs(model: ModelProto, ranges: Mapping[str, Sequence[int]] | None = None) -> tuple[TensorSpec, ...]:
    """Return the inputs alone, for a graph whose output shapes are not known yet. Raises as ``specs`` does."""
    named, initializers = _named(ranges), {tensor.name for tensor in model.graph.initializer}
    return tuple(_spec(value, named) for value in model.graph.input if value.name not in initializers)


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs inside ``node``: an If's branches, a Loop's body."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield ``graph`` and every graph inside it, outermost first."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from graphs(inner)


def tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Yield every constant tensor of a model: of its graph, its subgraphs and its functions."""
    holders: list[GraphProto | onnx.FunctionProto] = list(graphs(model.graph))
    for function in model.functions:
        holders.append(function)
        holders.extend(inner for node in function.node for branch in subgraphs(node) for inner in graphs(branch))
    for holder in holders:
        if isinstance(holder, GraphProto):
            yield from holder.initializer
            for sparse in holder.sparse_initializer:
                yield from (sparse.values, sparse.indices)
        for node in holder.node:
            for attribute in node.attribute:
                yield from _attribute_tensors(attribute)


def opset_of(model: ModelProto) -> int:
    """Return the version of the standard operator set a model uses."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def infer_shapes(model: ModelProto) -> ModelProto:
    """Return a copy with all shapes that can be inferred; where inference fails, a plain copy."""
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except _DAMAGE:
        copy = ModelProto()
        copy.CopyFrom(model)
        return copy


def dims_of(value: ValueInfoProto) -> tuple[Dim | None, ...] | None:
    """Return a tensor's shape, None for an unnamed dynamic dimension; None where its rank is unknown."""
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        return None
    dims: list[Dim | None] = []
    for dim in tensor.shape.dim:
        # Unset and 0 both mean "unknown" here: exporters write either.
        size = dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None
        dims.append(dim.dim_param or size)
    return tuple(dims)


def dtype_of(elem_type: int, name: str) -> str:
    """Return numpy's name of an ONNX element type. Raises InputError for one that ``TensorSpec`` cannot hold."""
    try:
        onnx_name = TensorProto.DataType.Name(elem_type).lower()
    except ValueError as err:
        raise InputError(
            f"tensor {name!r} has element type {elem_type}, which onnx {onnx.__version__} does not know; update onnx"
        ) from err
    dtype = {"float": "float32", "double": "float64"}.get(onnx_name, onnx_name)
    if dtype not in DTYPES:
        raise InputError(
            f"tensor {name!r} has element type {onnx_name}; one of {', '.join(sorted(DTYPES))} was expected"
        )
    return str(dtype)


def _named(ranges: Mapping[str, Sequence[int]] | None) -> dict[str, DimRange]:
    return {name: DimRange(*values) for name, values in (ranges or {}).items()}


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise InputError(f"{path} is not a file; an ONNX file was expected")
        if size > MAX_BYTES:
            raise InputError(f"{path} has {size} bytes; at most {MAX_BYTES} (protobuf's limit) can be read")
        data = path.read_bytes()
    except OSError as err:
        raise InputError(f"cannot read {path}: {err.strerror}; give an ONNX file that exists and may be read") from err
    if not data:
        raise InputError(f"{path} is empty; an ONNX file was expected")
    return data


def _check_version(model: ModelProto, path: Path) -> None:
    if model.ir_version < 1 or not model.HasField("graph") or not model.graph.node:
        raise InputError(f"{path} is not an ONNX file: it has no graph of nodes, or no IR version")
    if model.ir_version > onnx.IR_VERSION:
        raise InputError(
            f"{path} has IR version {model.ir_version}; onnx {onnx.__version__} here reads up to "
            f"{onnx.IR_VERSION}: update onnx"
        )
    opset, newest = opset_of(model), onnx.defs.onnx_opset_version()
    if opset > newest:
        raise InputError(
            f"{path} has opset {opset}; onnx {onnx.__version__} here knows up to {newest}: "
            "update onnx, or export with an older opset"
        )


def _load_external_data(model: ModelProto, path: Path) -> None:
    folder, total_bytes = path.parent.resolve(), 0
    for tensor in tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        total_bytes += _external_bytes(folder, location, entries, tensor, path)
        if total_bytes > MAX_BYTES:
            raise InputError(
                f"{path} and its external data are over {MAX_BYTES} bytes; a graph that fits one file was expected"
            )
        load_external_data_for_tensor(tensor, str(folder))
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _external_bytes(folder: Path, location: str, entries: Mapping[str, str], tensor: TensorProto, path: Path) -> int:
    """Check one tensor's external file (in the folder, not a link, long enough) and return the size of its data."""
    reference = f"{path} refers to external data {location!r} for tensor {tensor.name!r}"
    if not location or os.path.isabs(location) or "\\" in location or ".." in Path(location).parts or "\0" in location:
        raise InputError(f"{reference}; only a relative path inside the ONNX file's own folder is followed")
    file = folder / location
    if file.is_symlink() or file.resolve() != file:
        raise InputError(
            f"{reference}, which is a link; only real files inside the ONNX file's own folder are followed"
        )
    if not file.is_file():
        raise InputError(f"{reference}, and there is no such file; put it beside the ONNX file")
    offset, length = int(entries.get("offset", 0)), int(entries.get("length", 0) or file.stat().st_size)
    if offset < 0 or length < 0 or offset + length > file.stat().st_size + (0 if "length" in entries else offset):
        raise InputError(f"{reference}, bytes {offset} to {offset + length}; the file has {file.stat().st_size}")
    return length


def _check_tensor(tensor: TensorProto, path: Path) -> None:
    """Compare a tensor's dims with the data it has: C++ libraries trust the dims and would read beyond the data."""
    if any(dim < 0 for dim in tensor.dims):
        raise InputError(
            f"{path}: tensor {tensor.name!r} has dims {list(tensor.dims)}; sizes of 0 or more were expected"
        )
    size = math.prod(tensor.dims)
    if tensor.HasField("raw_data"):
        found, bits = len(tensor.raw_data) * 8, _BITS.get(tensor.data_type, 0)
        expected = (size * bits + 7) // 8 * 8
    else:
        field = onnx.helper.tensor_dtype_to_field(tensor.data_type)
        per_item = 2 if tensor.data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128) else 1
        packed = 8 // _BITS[tensor.data_type] if _BITS.get(tensor.data_type, 8) < 8 else 1
        found, expected = len(getattr(tensor, field)), -(-size * per_item // packed)
    if found != expected:
        raise InputError(
            f"{path}: tensor {tensor.name!r} has dims {list(tensor.dims)} and data of another size; "
            "the file is damaged, export it again"
        )


def _bits() -> dict[int, int]:
    """Return element type → bits of one element."""
    packed_bits = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
    known_names = TensorProto.DataType.keys()  # INT2 is newer than the oldest onnx that edgekd supports
    known: dict[int, int] = {}
    for name, bits in packed_bits.items():
        if name in known_names:
            known[TensorProto.DataType.Value(name)] = bits
    for value in onnx.helper.get_all_tensor_dtypes():
        if value not in known and value != TensorProto.STRING:
            known[value] = onnx.helper.tensor_dtype_to_np_dtype(value).itemsize * 8
    return known


_BITS = _bits()


def _attribute_tensors(attribute: onnx.AttributeProto) -> Iterator[TensorProto]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    sparse_tensors = list(attribute.sparse_tensors)
    if attribute.HasField("sparse_tensor"):
        sparse_tensors.append(attribute.sparse_tensor)
    for sparse in sparse_tensors:
        yield from (sparse.values, sparse.indices)


def _spec(value: ValueInfoProto, ranges: Mapping[str, DimRange]) -> TensorSpec:
    dims = dims_of(value)
    if dims is None:
        kind = value.type.WhichOneof("value") or "nothing"
        raise InputError(
            f"{value.name!r} is {kind.removesuffix('_type')} of unknown rank; a tensor with a shape was expected"
        )
    shape = tuple(f"{value.name}_d{i}" if dim is None else dim for i, dim in enumerate(dims))
    own = {dim: ranges[dim] for dim in shape if isinstance(dim, str) and dim in ranges}
    return TensorSpec(value.name, shape, dtype_of(value.type.tensor_type.elem_type, value.name), own or None)


def _first_line(err: BaseException) -> str:
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    return (lines[0] if lines else type(err).__name__)[:160]
