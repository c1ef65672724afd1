"""Jetson AGX Orin 32GB."""

from __future__ import annotations

from edgekd.core.target import PowerMode, Target
from edgekd.targets._jetpack import ORIN_MODES_SOURCE, ORIN_PEAK_SOURCE, ORIN_TENSORRT, TENSORRT_SOURCE

TARGET = Target(
    title="Jetson AGX Orin 32GB",
    sm="8.7",
    sms=14,
    gpu_mhz=930.0,
    memory_gb=32.0,
    memory_gb_per_s=204.8,
    dla_cores=2,
    int8_tops_dense=53.3,
    fp16_tflops_dense=26.7,
    power_modes={
        "15W": PowerMode(sms=6, gpu_mhz=408.0),
        "30W": PowerMode(sms=8, gpu_mhz=612.0),
        "40W": PowerMode(sms=14, gpu_mhz=816.0),
        "MAXN": PowerMode(sms=14, gpu_mhz=930.0),
    },
    tensorrt=ORIN_TENSORRT,
    jetpack="6.2",
    sources=(
        "SMs, memory, DLA: module table of the ultralytics NVIDIA Jetson guide (200 sparse TOPS, DLA included)",
        "the default mode is 30W",
        "unconfirmed: 930 MHz and the peaks computed from it",
        ORIN_PEAK_SOURCE,
        ORIN_MODES_SOURCE,
        TENSORRT_SOURCE,
    ),
)
