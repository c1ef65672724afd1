"""Damaged copies of files, for tests: bytes changed, values replaced by others. Seeded, so that runs repeat."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

_ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**70, 1.5, 1e308, float("inf"), float("nan"), "", "x", "1", "\ud800", [], [[]],
    {}, {"": 0}, [None], [1, "a"], ["float32"], {"name": 1}, [0], [-5],
)  # fmt: skip


def texts(original: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield ``count`` damaged copies of a text file: bytes flipped, cut, repeated or inserted."""
    dice = random.Random(seed)
    for _ in range(count):
        data = bytearray(original)
        for _ in range(dice.randint(1, 4)):
            at, to = sorted(dice.randrange(len(data) + 1) for _ in range(2))
            change = dice.randrange(5)
            if change == 0 and data:
                data[min(at, len(data) - 1)] = dice.randrange(256)
            elif change == 1:
                del data[at:to]
            elif change == 2:
                data[at:at] = data[at : min(to, at + 40)]
            elif change == 3:
                data[at : at + 1] = dice.choice([b"\n", b'"', b"=", b"[", b"{", b"9999999999", b"-", b"nan", b"\x00"])
            else:
                del data[to:]
        yield bytes(data)


def values(original: Any, count: int, seed: int) -> Iterator[str]:
    """Yield ``count`` copies of plain data as JSON, each with one value replaced, removed or added."""
    dice = random.Random(seed)
    for _ in range(count):
        data = copy.deepcopy(original)
        spots = list(_spots(data))
        holder, key = dice.choice(spots)
        change = dice.randrange(4)
        if change == 0:
            del holder[key]
        elif change == 1 and isinstance(holder, dict):
            holder["surplus"] = dice.choice(_ODD)
        else:
            holder[key] = dice.choice(_ODD)
        yield json.dumps(data)


def _spots(data: Any) -> Iterator[tuple[Any, Any]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in list(items):
        yield data, key
        yield from _spots(value)
