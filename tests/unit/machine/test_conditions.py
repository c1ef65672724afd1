"""The conditions of a machine, read from folders that the test makes."""

from __future__ import annotations

import os
import platform

import numpy as np
import pytest

from edgekd.core.config import BenchConfig
from edgekd.machine.conditions import observe
from tests.unit.machine.boards.trees import write

X86 = "processor\t: 0\nmodel name\t: Some  CPU @ 2.70GHz\n\nprocessor\t: 1\nmodel name\t: Some  CPU @ 2.70GHz\n"
ARM = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n"


def at(root, device="cpu", threads=0):
    return observe(BenchConfig(threads=threads), ("numpy",), device=device, root=root)


@pytest.mark.parametrize(
    ("files", "target", "processor", "governor"),
    [
        ({"proc/cpuinfo": X86}, "workstation", "Some CPU @ 2.70GHz", None),
        ({"proc/cpuinfo": ARM}, "workstation", "Arm implementer 0x41 part 0xd42", None),
        ({}, "workstation", "unknown", None),
        (
            {"proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0"},
            "NVIDIA Jetson Orin Nano Developer Kit",
            "NVIDIA Jetson Orin Nano Developer Kit",
            None,
        ),
        (
            {"proc/cpuinfo": ARM, "etc/nv_tegra_release": "# R36 (release)\n"},
            "Jetson",
            "Arm implementer 0x41 part 0xd42",
            None,
        ),
        ({"proc/cpuinfo": ARM, "proc/device-tree/model": "Raspberry Pi 5\0"}, "workstation", None, None),
        (
            {
                "proc/cpuinfo": X86,
                "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
                "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance\n",
            },
            "workstation",
            None,
            "performance+powersave",
        ),
    ],
)
def test_target_processor_and_governor_come_from_files(tmp_path, files, target, processor, governor):
    write(tmp_path, files)
    found = at(tmp_path)
    assert (found.target, found.governor) == (target, governor)
    assert processor in (None, found.processor)


def test_a_gpu_backend_names_the_gpu(tmp_path):
    write(
        tmp_path, {"proc/cpuinfo": X86, "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA H100\n"}
    )
    assert at(tmp_path, "gpu").processor == "NVIDIA H100"
    assert at(tmp_path, "cpu").processor == "Some CPU @ 2.70GHz"


def test_threads_zero_means_every_core(tmp_path):
    assert at(tmp_path).threads == at(tmp_path).cores
    assert at(tmp_path, threads=3).threads == 3


def test_versions_and_clock_are_recorded_but_not_the_host_s_name():
    config = BenchConfig("null", scenario="offline", streams=2)
    found = observe(config, ("numpy", "no-such-library"), batch=2)
    assert found.libraries == {"no-such-library": "unknown", "numpy": np.__version__}
    assert found.clock == "time.perf_counter_ns"
    assert (found.batch, found.scenario, found.streams) == (2, "offline", 2)
    assert found.cores == len(os.sched_getaffinity(0))
    assert platform.node() not in repr(found) or len(platform.node()) < 4
    assert not observe(config, ("numpy",)).differs_from(observe(config, ("numpy",)))
