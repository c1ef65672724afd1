"""The TensorRT of each JetPack release, and the sources that all Orin boards share."""

from __future__ import annotations

ORIN_TENSORRT = {"5.1": "8.5.2", "6.0": "8.6.2", "6.1": "10.3.0", "6.2": "10.3.0", "7.2": "10.16.2"}
THOR_TENSORRT = {"7.0": "10.13.3", "7.1": "10.13.3", "7.2": "10.16.2"}

TENSORRT_SOURCE = (
    "TensorRT per JetPack: OE4T/meta-tegra recipe branches; L4T to JetPack: jetson_stats jetson_variables.py"
)
ORIN_PEAK_SOURCE = (
    "dense peaks: computed as SMs x 4096 INT8 op/clock (2048 FP16 FLOP/clock) x GPU clock; twice that, the sparse "
    "figure, matches NVIDIA's headline without its DLA share"
)
ORIN_MODES_SOURCE = (
    "SMs and GPU caps per mode: NVIDIA's nvpmodel files of L4T 35/36 (TPC_PG_MASK), as carried by LineageOS; "
    "where they differ, the board's own tpc_pg_mask is right"
)
