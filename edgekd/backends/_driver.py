"""Whether this machine has an NVIDIA driver and a GPU, asked from the driver itself.

Ask before calling a library that assumes a driver: without one TensorRT returns null pointers, and its lean runtime
crashes with a segmentation fault.
"""

from __future__ import annotations

import ctypes

from edgekd.core.errors import MachineError

_DRIVER = "libcuda.so.1"


def require_driver(action: str) -> None:
    """Return if the CUDA driver starts and finds a GPU.

    Args:
        action: What needs the driver, as the subject of the error message ("running a TensorRT engine").

    Raises:
        MachineError: There is no driver, it does not start, or it finds no GPU.
    """
    advice = "run this on a machine with an NVIDIA GPU, or choose another backend (`edgekd doctor` lists them)"
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError as err:
        raise MachineError(
            f"{action} needs an NVIDIA GPU, and this machine has no driver ({_DRIVER}); {advice}"
        ) from err
    status = int(driver.cuInit(0))
    if status != 0:
        raise MachineError(f"{action} needs an NVIDIA GPU, and the driver did not start (cuInit: {status}); {advice}")
    devices = ctypes.c_int(0)
    driver.cuDeviceGetCount(ctypes.byref(devices))
    if devices.value < 1:
        raise MachineError(f"{action} needs an NVIDIA GPU, and the driver finds none; {advice}")
