"""Jetson AGX Orin 64GB."""

from __future__ import annotations

from edgekd.core.target import PowerMode, Target
from edgekd.targets._jetpack import ORIN_MODES_SOURCE, ORIN_PEAK_SOURCE, ORIN_TENSORRT, TENSORRT_SOURCE

TARGET = Target(
    title="Jetson AGX Orin 64GB",
    sm="8.7",
    sms=16,
    gpu_mhz=1300.0,
    memory_gb=64.0,
    memory_gb_per_s=204.8,
    dla_cores=2,
    int8_tops_dense=85.2,
    fp16_tflops_dense=42.6,
    power_modes={
        "15W": PowerMode(sms=6, gpu_mhz=408.0),
        "30W": PowerMode(sms=8, gpu_mhz=612.0),
        "50W": PowerMode(sms=16, gpu_mhz=816.0),
        "MAXN": PowerMode(sms=16, gpu_mhz=1300.0),
    },
    tensorrt=ORIN_TENSORRT,
    jetpack="6.2",
    sources=(
        "SMs, clock, memory, DLA (1.6 GHz): module table of the ultralytics NVIDIA Jetson guide",
        "headline 275 sparse TOPS: GPU 170, DLA 105",
        "the default mode is 30W, with half of the SMs off",
        "unconfirmed: 15W leaves 6 SMs on by the mask, 4 by NVIDIA's table of TOPS per mode",
        ORIN_PEAK_SOURCE,
        ORIN_MODES_SOURCE,
        TENSORRT_SOURCE,
    ),
)
