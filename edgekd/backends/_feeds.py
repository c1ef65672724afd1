"""What may be fed to a session: every input, by its name, in its dtype and a shape its spec admits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekd.core.errors import InputError, nearest
from edgekd.core.protocols import Feeds
from edgekd.core.tensor import TensorSpec


class FeedCheck:
    """``check_feeds`` for a session that is run thousands of times: feeds that are plainly right cost a microsecond."""

    def __init__(self, inputs: Sequence[TensorSpec]) -> None:
        self._inputs = inputs
        # bfloat16 and strings have no numpy dtype of their own: they take the long way.
        numeric = all(spec.is_static and spec.dtype not in ("string", "bfloat16") for spec in inputs)
        self._plain = tuple((spec.name, spec.shape, np.dtype(spec.dtype)) for spec in inputs) if numeric else None

    def __call__(self, feeds: Feeds) -> None:
        """Refuse feeds as ``check_feeds`` does."""
        if self._plain is not None and len(feeds) == len(self._plain):
            for name, shape, dtype in self._plain:
                array = feeds.get(name)
                if type(array) is not np.ndarray or array.shape != shape or array.dtype is not dtype:
                    break
            else:
                return
        check_feeds(feeds, self._inputs)


def check_feeds(feeds: Feeds, inputs: Sequence[TensorSpec]) -> None:
    """Refuse feeds that an engine's inputs do not admit.

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
    return "string" if array.dtype.kind in "OSU" else array.dtype.name
