"""Jetson Orin Nano 8GB."""

from __future__ import annotations

from edgekd.core.target import PowerMode, Target
from edgekd.targets._jetpack import ORIN_MODES_SOURCE, ORIN_PEAK_SOURCE, ORIN_TENSORRT, TENSORRT_SOURCE

TARGET = Target(
    title="Jetson Orin Nano 8GB",
    sm="8.7",
    sms=8,
    gpu_mhz=1020.0,
    memory_gb=8.0,
    memory_gb_per_s=102.0,
    dla_cores=0,
    int8_tops_dense=33.4,
    fp16_tflops_dense=16.7,
    power_modes={
        "7W": PowerMode(sms=4, gpu_mhz=408.0),
        "15W": PowerMode(sms=8, gpu_mhz=625.0),
        "25W": PowerMode(sms=8),
        "MAXN_SUPER": PowerMode(sms=8, gpu_mhz=1020.0),
    },
    tensorrt=ORIN_TENSORRT,
    jetpack="6.2",
    sources=(
        "SMs, memory, headline TOPS: module table of the ultralytics NVIDIA Jetson guide (40 sparse TOPS; 67 as Super)",
        "clock, bandwidth, peaks: the Super modes (JetPack 6.2 and newer); without: 625 MHz, 68 GB/s, 20.5 INT8 TOPS",
        "MAXN_SUPER 1020 MHz: its 67 sparse TOPS follow from it; 15W: 625 MHz is the clock of the 40 TOPS headline",
        "unconfirmed: whether 15W keeps 625 MHz under JetPack 6.2; no source was found for the clock cap of 25W",
        ORIN_PEAK_SOURCE,
        ORIN_MODES_SOURCE,
        TENSORRT_SOURCE,
    ),
)
