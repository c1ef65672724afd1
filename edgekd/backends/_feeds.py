"""Checks a session's feeds: every input by its name, in its dtype and in a shape that its spec allows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekd.core.errors import InputError, nearest
from edgekd.core.protocols import Feeds
from edgekd.core.tensor import TensorSpec


class FeedCheck:
    """``check_feeds`` for sessions that run thousands of times: correct feeds of static shape take a microsecond.

    Args:
        inputs: The engine's inputs.
    """

    def __init__(self, inputs: Sequence[TensorSpec]) -> None:
        self._inputs = inputs
        # bfloat16 and strings have no numpy dtype of their own, and dynamic shapes no single shape: check_feeds.
        is_simple = all(spec.is_static and spec.dtype not in ("string", "bfloat16") for spec in inputs)
        self._expected = tuple((spec.name, spec.shape, np.dtype(spec.dtype)) for spec in inputs) if is_simple else None

    def __call__(self, feeds: Feeds) -> None:
        """Raise as ``check_feeds`` does."""
        if not self._is_exact(feeds):
            check_feeds(feeds, self._inputs)

    def _is_exact(self, feeds: Feeds) -> bool:
        if self._expected is None or len(feeds) != len(self._expected):
            return False
        for name, shape, dtype in self._expected:
            array = feeds.get(name)
            # "is" on types and dtypes: cheaper than isinstance and ==, and a miss only costs the slow check.
            if type(array) is not np.ndarray or array.shape != shape or array.dtype is not dtype:
                return False
        return True


def check_feeds(feeds: Feeds, inputs: Sequence[TensorSpec]) -> None:
    """Return if an engine's inputs allow these feeds.

    Args:
        feeds: Input name → array.
        inputs: The engine's inputs.

    Raises:
        InputError: A name is missing or unknown, or an array has another dtype or shape; the message names the input.
    """
    names = [spec.name for spec in inputs]
    for name in feeds:
        if name not in names:
            raise InputError(f"unknown input {name!r}{nearest(name, names)}; the engine takes {', '.join(names)}")
    for spec in inputs:
        if spec.name not in feeds:
            raise InputError(f"input {spec.name!r} was not fed; the engine takes {', '.join(map(str, inputs))}")
        array = feeds[spec.name]
        if not isinstance(array, np.ndarray) or _dtype_name(array) != spec.dtype:
            found = _dtype_name(array) if isinstance(array, np.ndarray) else type(array).__name__
            raise InputError(f"input {spec.name!r} was fed {found}; an array of {spec.dtype} was expected")
        if not spec.admits(array.shape):
            ranges = "".join(f", {dim} in {r.min}..{r.max}" for dim, r in (spec.ranges or {}).items())
            raise InputError(f"input {spec.name!r} was fed shape {list(array.shape)}; {spec}{ranges} was expected")


def _dtype_name(array: np.ndarray) -> str:
    # Strings come as Python objects, bytes or unicode.
    return "string" if array.dtype.kind in "OSU" else array.dtype.name
