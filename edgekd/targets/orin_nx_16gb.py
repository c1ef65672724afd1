"""Jetson Orin NX 16GB."""

from __future__ import annotations

from edgekd.core.target import PowerMode, Target
from edgekd.targets._jetpack import ORIN_MODES_SOURCE, ORIN_PEAK_SOURCE, ORIN_TENSORRT, TENSORRT_SOURCE

TARGET = Target(
    title="Jetson Orin NX 16GB",
    sm="8.7",
    sms=8,
    gpu_mhz=918.0,
    memory_gb=16.0,
    memory_gb_per_s=102.4,
    dla_cores=2,
    int8_tops_dense=30.1,
    fp16_tflops_dense=15.0,
    power_modes={
        "10W": PowerMode(sms=4, gpu_mhz=612.0),
        "15W": PowerMode(sms=4, gpu_mhz=612.0),
        "25W": PowerMode(sms=8, gpu_mhz=408.0),
        "MAXN": PowerMode(sms=8, gpu_mhz=918.0),
    },
    tensorrt=ORIN_TENSORRT,
    jetpack="6.2",
    sources=(
        "SMs, clock, memory, DLA (614 MHz): module table of the ultralytics NVIDIA Jetson guide",
        "headline 100 sparse TOPS, DLA included",
        "the default mode is 15W, with half of the SMs off",
        "unconfirmed: the Super modes of JetPack 6.2 (40W, MAXN_SUPER) are not listed",
        ORIN_PEAK_SOURCE,
        ORIN_MODES_SOURCE,
        TENSORRT_SOURCE,
    ),
)
