"""Jetson Orin Nano 4GB."""

from __future__ import annotations

from edgekd.core.target import PowerMode, Target
from edgekd.targets._jetpack import ORIN_MODES_SOURCE, ORIN_PEAK_SOURCE, ORIN_TENSORRT, TENSORRT_SOURCE

TARGET = Target(
    title="Jetson Orin Nano 4GB",
    sm="8.7",
    sms=4,
    gpu_mhz=625.0,
    memory_gb=4.0,
    memory_gb_per_s=34.0,
    dla_cores=0,
    int8_tops_dense=10.2,
    fp16_tflops_dense=5.1,
    power_modes={
        "7W_AI": PowerMode(sms=4, gpu_mhz=408.0),
        "7W_CPU": PowerMode(sms=4, gpu_mhz=306.0),
        "10W": PowerMode(sms=4, gpu_mhz=625.0),
    },
    tensorrt=ORIN_TENSORRT,
    jetpack="6.2",
    sources=(
        "SMs, memory: module table of the ultralytics NVIDIA Jetson guide; the TPC mask agrees with 4 SMs",
        "unconfirmed: 625 MHz, 34 GB/s, 20 sparse TOPS and the peaks computed from them",
        "unconfirmed: its Super modes (JetPack 6.2) are not listed",
        ORIN_PEAK_SOURCE,
        ORIN_MODES_SOURCE,
        TENSORRT_SOURCE,
    ),
)
