"""Whether this machine has an NVIDIA driver and a GPU, asked of the driver itself before any library that assumes it.

TensorRT without a driver answers with null pointers, and its lean runtime with a segmentation fault: ask first.
"""

from __future__ import annotations

import ctypes

from edgekd.core.errors import MachineError

_DRIVER = "libcuda.so.1"


def require_driver(wanted_by: str) -> None:
    """Return if the CUDA driver starts and sees a GPU.

    Args:
        wanted_by: What needs it, first words of the message ("TensorRT").

    Raises:
        MachineError: There is no driver, it does not start, or it sees no GPU.
    """
    otherwise = "run this on a machine with an NVIDIA GPU, or choose the backend 'onnxruntime'"
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError as err:
        raise MachineError(
            f"{wanted_by} needs an NVIDIA GPU, and this machine has no driver ({_DRIVER}); {otherwise}"
        ) from err
    status = int(driver.cuInit(0))
    if status != 0:
        raise MachineError(
            f"{wanted_by} needs an NVIDIA GPU, and the driver did not start (cuInit: {status}); {otherwise}"
        )
    devices = ctypes.c_int(0)
    driver.cuDeviceGetCount(ctypes.byref(devices))
    if devices.value < 1:
        raise MachineError(f"{wanted_by} needs an NVIDIA GPU, and the driver sees none; {otherwise}")
