"""Which operators an ONNX file holds, read from its bytes: a board has the engine library but not the onnx package.

Source: protocolbuffers wire format (varint, length-delimited) and onnx.proto's field numbers: ModelProto.graph 7,
GraphProto.node 1, NodeProto.op_type 4 and attribute 5, AttributeProto.g 6 and graphs 11; ModelProto.metadata_props 14.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_FIXED_BYTES = {1: 8, 5: 4}


def op_counts(path: Path) -> dict[str, int]:
    """Count the nodes of a well-formed ONNX file by operator, those of subgraphs included, most frequent first."""
    counts: Counter[str] = Counter()
    for field, graph in _messages(memoryview(path.read_bytes())):
        if field == 7:
            _count_graph(graph, counts)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def append_metadata(path: Path, key: str, value: str) -> None:
    """Add one ``metadata_props`` entry to an ONNX file: repeated fields of a protobuf message may simply follow it."""
    entry = _field(1, key.encode()) + _field(2, value.encode())
    with path.open("ab") as file:
        file.write(_field(14, entry))


def _count_graph(graph: memoryview, counts: Counter[str]) -> None:
    for field, node in _messages(graph):
        if field != 1:
            continue
        for part, data in _messages(node):
            if part == 4:
                counts[bytes(data).decode()] += 1
            elif part == 5:
                for kind, subgraph in _messages(data):
                    if kind in (6, 11):
                        _count_graph(subgraph, counts)


def _messages(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield (field number, bytes) of each length-delimited field."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 2:
            size, at = _varint(data, at)
            yield tag >> 3, data[at : at + size]
            at += size
        elif wire == 0:
            _, at = _varint(data, at)
        else:
            at += _FIXED_BYTES[wire]


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
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
