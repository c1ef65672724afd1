"""Jetson AGX Thor T5000."""

from __future__ import annotations

from edgekd.core.target import PowerMode, Target
from edgekd.targets._jetpack import TENSORRT_SOURCE, THOR_TENSORRT

TARGET = Target(
    title="Jetson AGX Thor T5000",
    sm="11.0",
    sms=20,
    gpu_mhz=1575.0,
    memory_gb=128.0,
    memory_gb_per_s=273.0,
    dla_cores=0,
    int8_tops_dense=517.0,
    fp16_tflops_dense=258.0,
    power_modes={
        "120W": PowerMode(sms=20),
        "MAXN": PowerMode(sms=20, gpu_mhz=1575.0),
    },
    tensorrt=THOR_TENSORRT,
    jetpack="7.1",
    sources=(
        "SMs, clock, DLA 0, compute capability 11.0: a board's own record (R39.2.0, CUDA 13.2, TensorRT 10.16.2)",
        "memory and bandwidth: vendor announcement; 261 to 263 GB/s were measured reading",
        "FP16 dense 258 TFLOPS: Hugging Face hardware page; headline 2070 TFLOPS is FP4 with sparsity",
        "unconfirmed: INT8 dense, taken as twice FP16; the clock cap of 120W; modes below 120W are not listed",
        TENSORRT_SOURCE,
    ),
)
