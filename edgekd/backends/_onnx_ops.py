"""The operators of an ONNX file, read from its bytes: a board has an engine library but not the onnx package.

Source: Protocol Buffers' wire format (varint, length-delimited) and onnx.proto's field numbers: ModelProto.graph 7,
GraphProto.node 1, NodeProto.op_type 4 and attribute 5, AttributeProto.g 6 and graphs 11; ModelProto.metadata_props 14.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

# Wire types: 0 varint, 1 fixed 64 bit, 2 length-delimited, 5 fixed 32 bit.
_FIXED_BYTES = {1: 8, 5: 4}
# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_NODE = 1
_NODE_OP_TYPE, _NODE_ATTRIBUTE = 4, 5
_ATTRIBUTE_SUBGRAPHS = (6, 11)
_ENTRY_KEY, _ENTRY_VALUE = 1, 2


def op_counts(path: Path) -> dict[str, int]:
    """Count the nodes of a well-formed ONNX file by operator, including subgraphs, most frequent first."""
    counts: Counter[str] = Counter()
    for field, graph in _messages(memoryview(path.read_bytes())):
        if field == _MODEL_GRAPH:
            _count_graph(graph, counts)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def append_metadata(path: Path, key: str, value: str) -> None:
    """Add one ``metadata_props`` entry to an ONNX file.

    A protobuf message may end with further entries of a repeated field, so the file is not parsed.
    """
    entry = _field(_ENTRY_KEY, key.encode()) + _field(_ENTRY_VALUE, value.encode())
    with path.open("ab") as file:
        file.write(_field(_MODEL_METADATA, entry))


def _count_graph(graph: memoryview, counts: Counter[str]) -> None:
    for field, node in _messages(graph):
        if field != _GRAPH_NODE:
            continue
        for node_field, data in _messages(node):
            if node_field == _NODE_OP_TYPE:
                counts[bytes(data).decode()] += 1
            elif node_field == _NODE_ATTRIBUTE:
                for attribute_field, subgraph in _messages(data):
                    if attribute_field in _ATTRIBUTE_SUBGRAPHS:
                        _count_graph(subgraph, counts)


def _messages(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield (field number, bytes) of each length-delimited field."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7  # the low three bits are the wire type, the others the field number
        if wire == 2:
            size, at = _varint(data, at)
            yield tag >> 3, data[at : at + size]  # a view: an ONNX file may be hundreds of megabytes
            at += size
        elif wire == 0:
            _, at = _varint(data, at)
        else:
            at += _FIXED_BYTES[wire]


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number at ``at``, seven bits per byte with the lowest first, and the position behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # the high bit marks that another byte follows
            return value, at


def _field(number: int, data: bytes) -> bytes:
    return _encode_varint(number << 3 | 2) + _encode_varint(len(data)) + data


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
