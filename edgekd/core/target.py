"""Target: one board, in numbers. A file of ``edgekd/targets/`` has one as ``TARGET``, every number with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PowerMode:
    """One nvpmodel mode. Modes go by name, since their numbers change between releases.

    Attributes:
        sms: Streaming multiprocessors that stay powered.
        gpu_mhz: GPU clock cap; None where the mode sets none.
    """

    sms: int
    gpu_mhz: float | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A board.

    Attributes:
        title: Its product name.
        sm: CUDA compute capability, such as "8.7".
        sms: Streaming multiprocessors.
        gpu_mhz: Highest GPU clock.
        memory_gb: Memory, shared by CPU and GPU (10^9 bytes, as sold).
        memory_gb_per_s: Peak memory bandwidth.
        dla_cores: Deep-learning accelerators.
        int8_tops_dense, fp16_tflops_dense: GPU peaks without sparsity.
        power_modes: nvpmodel's name of a mode → what it leaves on.
        tensorrt: JetPack release → the TensorRT it ships.
        jetpack: The release that is assumed unless the user names another.
        sources: Where the numbers come from, a line each; one that starts with "unconfirmed:" lists doubtful ones.
    """

    title: str
    sm: str
    sms: int
    gpu_mhz: float
    memory_gb: float
    memory_gb_per_s: float
    dla_cores: int
    int8_tops_dense: float
    fp16_tflops_dense: float
    power_modes: Mapping[str, PowerMode]
    tensorrt: Mapping[str, str]
    jetpack: str
    sources: tuple[str, ...]

    @property
    def opset(self) -> int:
        """The newest ONNX opset that the TensorRT of ``jetpack`` reads."""
        return opset_for(self.tensorrt[self.jetpack])


# First TensorRT release (major, minor) → the newest opset its ONNX parser is documented to read.
# Source: onnx-tensorrt's docs/operators.md at 8.0, 8.4 GA, 8.6, 9.0, 10.0, 10.1 and 10.15, a copy of it at 11.2, and
# the release notes of TensorRT 11.5. No document was found for 10.2 to 10.14, which include 10.3 (JetPack 6) and 10.13
# (JetPack 7): they get the 20 of 10.0.
_OPSETS = (((11, 5), 25), ((10, 15), 24), ((10, 0), 20), ((9, 0), 19), ((8, 4), 17), ((8, 0), 13))
_OLDEST_OPSET = 13


def opset_for(tensorrt: str) -> int:
    """Return the newest ONNX opset that a TensorRT release ("10.3.0") reads."""
    release = tuple(int(part) for part in tensorrt.split(".")[:2])
    for first, opset in _OPSETS:
        if release >= first:
            return opset
    return _OLDEST_OPSET
