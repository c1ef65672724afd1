"""Device memory, one stream and events, by pycuda. It loads libcuda at import: call ``require_driver`` before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pycuda.driver as cuda
from numpy.typing import NDArray

from edgekd.core.tensor import TensorSpec


class Buffer:
    """Page-locked host memory and device memory for one tensor, both grown when a larger shape comes."""

    def __init__(self, spec: TensorSpec) -> None:
        self._dtype = np.dtype(spec.dtype)
        self._host: Any = None
        self._device: Any = None
        self.array: NDArray[Any] = np.empty(0, self._dtype)

    def resize(self, shape: tuple[int, ...]) -> None:
        """Make ``array``, a view of the host memory, have ``shape``."""
        size = int(np.prod(shape, dtype=np.int64))
        if self._host is None or self._host.size < size:
            # A tensor without elements still needs an address that is not null.
            self._host = cuda.pagelocked_empty(max(size, 1), self._dtype)
            self._device = cuda.mem_alloc(self._host.nbytes)
        self.array = self._host[:size].reshape(shape)

    @property
    def device_address(self) -> int:
        """Where the tensor lies on the device."""
        return int(self._device)

    @property
    def host_address(self) -> int:
        """Where the tensor lies on the host (TensorRT reads shape tensors there)."""
        return int(self._host.ctypes.data)

    def upload(self, stream: Any) -> None:
        """Queue the copy host → device."""
        if self.array.nbytes:
            cuda.memcpy_htod_async(self._device, self.array, stream)

    def download(self, stream: Any) -> None:
        """Queue the copy device → host."""
        if self.array.nbytes:
            cuda.memcpy_dtoh_async(self.array, self._device, stream)


class Device:
    """The first GPU's primary context, which TensorRT uses too, and one stream."""

    def __init__(self) -> None:
        cuda.init()
        self._context = cuda.Device(0).retain_primary_context()
        self._context.push()
        self.stream = cuda.Stream()

    def mark(self) -> Any:
        """Queue an event that holds the time at which the stream reaches it."""
        event = cuda.Event()
        event.record(self.stream)
        return event

    def wait(self) -> None:
        """Return when the stream is idle."""
        self.stream.synchronize()

    def close(self) -> None:
        """Leave the context; its memory goes with the buffers."""
        self._context.pop()


def between_ms(start: Any, end: Any) -> float:
    """Return the milliseconds between two reached events."""
    return float(end.time_since(start))
