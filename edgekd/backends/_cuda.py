"""Device memory, one stream and events, by pycuda. Importing it loads libcuda: call ``require_driver`` before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pycuda.driver as cuda
from numpy.typing import NDArray

from edgekd.core.tensor import TensorSpec


class Buffer:
    """Page-locked host memory and device memory for one tensor; both grow when a larger shape is needed.

    Attributes:
        array: View of the host memory in the present shape.
    """

    def __init__(self, spec: TensorSpec) -> None:
        self._dtype = np.dtype(spec.dtype)
        self._host: Any = None
        self._device: Any = None
        self.array: NDArray[Any] = np.empty(0, self._dtype)

    def resize(self, shape: tuple[int, ...]) -> None:
        """Give ``array`` the shape ``shape``; its content is undefined afterwards."""
        size = int(np.prod(shape, dtype=np.int64))
        if self._host is None or self._host.size < size:
            # TensorRT rejects null addresses, also for a tensor without elements.
            # The copies below are asynchronous only from and to page-locked memory.
            self._host = cuda.pagelocked_empty(max(size, 1), self._dtype)
            self._device = cuda.mem_alloc(self._host.nbytes)
        self.array = self._host[:size].reshape(shape)

    @property
    def device_address(self) -> int:
        """The tensor's address on the device."""
        return int(self._device)

    @property
    def host_address(self) -> int:
        """The tensor's address on the host, where TensorRT reads shape tensors."""
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
    """The first GPU's primary context, which TensorRT uses too, and one stream.

    Attributes:
        stream: All work is queued here.
    """

    def __init__(self) -> None:
        cuda.init()
        # Not a context of our own: TensorRT allocates in the primary one, and addresses are valid in one context only.
        self._context = cuda.Device(0).retain_primary_context()
        self._context.push()
        self.stream = cuda.Stream()

    def mark(self) -> Any:
        """Queue and return an event, which records the time at which the stream reaches it."""
        event = cuda.Event()
        event.record(self.stream)
        return event

    def wait(self) -> None:
        """Block until the stream is idle."""
        self.stream.synchronize()

    def close(self) -> None:
        """Leave the context; device memory is freed with the buffers."""
        self._context.pop()


def between_ms(start: Any, end: Any) -> float:
    """Return the milliseconds between two events that the stream has reached."""
    return float(end.time_since(start))
