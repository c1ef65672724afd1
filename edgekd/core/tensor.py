"""TensorSpec: the name, shape and dtype of one input or output of a network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekd.core.errors import InputError, IntegrityError

Dim = int | str
DTYPES = frozenset(
    "float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool string".split()
)


@dataclass(frozen=True, slots=True)
class DimRange:
    """Sizes of one named dynamic dimension: its part of a TensorRT optimization profile."""

    min: int
    opt: int
    max: int

    def __post_init__(self) -> None:
        if not 1 <= self.min <= self.opt <= self.max:
            raise InputError(
                f"dimension range [{self.min}, {self.opt}, {self.max}] must satisfy 1 <= min <= opt <= max"
            )


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a network.

    Attributes:
        name: The tensor's name in the graph.
        shape: Sizes; a string is a named dynamic dimension.
        dtype: numpy's name for the element type ("float32").
        ranges: min/opt/max of each dynamic dimension named in ``shape``.
    """

    name: str
    shape: tuple[Dim, ...]
    dtype: str
    ranges: Mapping[str, DimRange] | None = None

    @property
    def is_static(self) -> bool:
        """Whether every dimension is a number."""
        return all(isinstance(dim, int) for dim in self.shape)

    @property
    def picture_layout(self) -> str | None:
        """Either "NCHW" or "NHWC" if shape and dtype look like images of 1 or 3 channels, else None."""
        if len(self.shape) != 4 or self.dtype not in ("float32", "float16", "uint8"):
            return None
        if self.shape[1] in (1, 3):
            return "NCHW"
        return "NHWC" if self.shape[3] in (1, 3) else None

    def at(self, which: str) -> tuple[int, ...]:
        """Return the concrete shape with every dynamic dimension at ``which``: "min", "opt" or "max".

        Raises:
            InputError: A dynamic dimension has no range.
        """
        return tuple(dim if isinstance(dim, int) else getattr(self._range(dim), which) for dim in self.shape)

    def admits(self, shape: Iterable[int]) -> bool:
        """Whether an array of this concrete ``shape`` can be fed. A dimension without a range admits any size."""
        shape = tuple(shape)
        if len(shape) != len(self.shape):
            return False
        for size, dim in zip(shape, self.shape, strict=True):
            if isinstance(dim, int):
                if size != dim:
                    return False
            elif (allowed := (self.ranges or {}).get(dim)) and not allowed.min <= size <= allowed.max:
                return False
        return True

    def nbytes(self, which: str = "opt") -> int:
        """Return the size of one such tensor in bytes, with every dynamic dimension at ``which``."""
        return math.prod(self.at(which)) * np.dtype(self.dtype).itemsize

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data, as manifests hold it."""
        data: dict[str, Any] = {"name": self.name, "shape": list(self.shape), "dtype": self.dtype}
        if self.ranges:
            data["ranges"] = {dim: [r.min, r.opt, r.max] for dim, r in self.ranges.items()}
        return data

    @classmethod
    def from_json(cls, data: Any) -> TensorSpec:
        """Read it from plain data.

        Raises:
            IntegrityError: The data is not a tensor spec.
        """
        try:
            ranges = {str(dim): DimRange(*map(int, r)) for dim, r in dict(data.get("ranges") or {}).items()}
            shape = tuple(dim if isinstance(dim, str) else int(dim) for dim in data["shape"])
            name, dtype = data["name"], data["dtype"]
            if not isinstance(name, str) or dtype not in DTYPES:
                raise ValueError(f"name {name!r}, dtype {dtype!r}")
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, InputError) as err:
            raise IntegrityError(
                f"{str(data)[:120]} is not a tensor: name, shape and dtype were expected ({err})"
            ) from err
        return cls(name, shape, dtype, ranges or None)

    def _range(self, dim: str) -> DimRange:
        if not self.ranges or dim not in self.ranges:
            raise InputError(
                f"dimension {dim!r} of tensor {self.name!r} is dynamic and has no min/opt/max; give --dim {dim}=SIZE"
            )
        return self.ranges[dim]

    def __str__(self) -> str:
        return f"{self.name} {'x'.join(map(str, self.shape)) or 'scalar'} {self.dtype}"
