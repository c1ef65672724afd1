"""What a Jetson tells of itself, on files laid out as boards have them: see boards/README.md for what was recorded."""

from __future__ import annotations

import pytest

from edgekd.core.config import BenchConfig
from edgekd.machine import conditions, jetson, sysfs
from tests.unit.machine.boards.trees import TREES, lay_out, write

SUPER = "orin_nano_8gb super, L4T 36.4.7"


def observed(root):
    return conditions.observe(BenchConfig("null", threads=1), (), root=root)


@pytest.mark.parametrize(
    ("board", "target", "l4t", "mode", "mask"),
    [
        ("orin_nano_8gb, L4T 35.3.1", "NVIDIA Orin Nano Developer Kit", "35.3.1", "7W", 252),
        (SUPER, "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "36.4.7", "25W", 0),
        ("agx_orin, L4T 39.2.0", "NVIDIA Jetson AGX Orin Developer Kit", "39.2.0", None, None),
        ("agx_thor, L4T 38.2.0", "NVIDIA Jetson AGX Thor Developer Kit", "38.2.0", "120W", None),
        ("nano, L4T 32 (JetPack 4)", "NVIDIA Jetson Nano Developer Kit", None, "5W", None),
    ],
)
def test_a_board_tells_its_release_mode_by_name_and_mask(tmp_path, board, target, l4t, mode, mask):
    seen = observed(lay_out(board, tmp_path))
    assert (seen.target, seen.l4t, seen.power_mode, seen.tpc_mask) == (target, l4t, mode, mask)
    assert seen.is_board


def test_every_tree_is_tested():
    assert len(TREES) == 5


@pytest.mark.parametrize(
    ("board", "limits"),
    [
        ("orin_nano_8gb, L4T 35.3.1", {"gpu_min": 306.0, "gpu_max": 408.0}),
        ("agx_thor, L4T 38.2.0", {"gpu_min": 315.0, "gpu_max": 1575.0}),
        ("nano, L4T 32 (JetPack 4)", {"gpu_max": 640.0}),
        (
            SUPER,
            {
                **{f"cpu{core}_{end}": mhz for core in (0, 4) for end, mhz in (("min", 729.6), ("max", 1728.0))},
                "gpu_min": 1020.0,
                "gpu_max": 1020.0,
                "emc_max": 3199.0,
            },
        ),
    ],
)
def test_clock_limits(tmp_path, board, limits):
    assert observed(lay_out(board, tmp_path)).clock_limits_mhz == limits


def test_a_clock_whose_limits_meet_is_pinned(tmp_path):
    lay_out(SUPER, tmp_path)
    assert sysfs.pinned_mhz(sysfs.clock_limits_mhz(tmp_path)) == {"gpu": 1020.0}
    assert sysfs.pinned_mhz({"cpu0_min": 5.0, "cpu0_max": 5.0, "cpu4_min": 4.0, "cpu4_max": 5.0}) == {}
    assert sysfs.pinned_mhz({"gpu_max": 640.0}) == {}


def test_present_clocks_and_temperatures(tmp_path):
    lay_out(SUPER, tmp_path)
    clocks = sysfs.Clocks.of(tmp_path)
    assert (clocks.cpu_mhz(), clocks.gpu_mhz()) == (1728.0, 1020.0)
    thermometer = sysfs.thermometer(tmp_path)
    # Not the 52 °C of tj-thermal; and the throttling trip, not the one that switches off.
    assert (thermometer.read_c(), thermometer.trip_c) == (51.25, 99.0)
    assert sysfs.temperatures_c(tmp_path) == {"cpu-thermal": 51.25, "gpu-thermal": 50.468, "tj-thermal": 52.0}


def test_a_sensor_that_is_off_is_no_temperature(tmp_path):
    """Thor's GPU zone cannot be read at rest; Orin's say -256; a trip below 0 is none."""
    zone = "sys/class/thermal/thermal_zone"
    write(
        lay_out("agx_thor, L4T 38.2.0", tmp_path),
        {
            f"{zone}1/type": "cpu-thermal",
            f"{zone}1/temp": "-256000",
            f"{zone}1/trip_point_0_type": "passive",
            f"{zone}1/trip_point_0_temp": "-274000",
        },
    )
    thermometer = sysfs.thermometer(tmp_path)
    assert len(thermometer.files) == 2
    assert (thermometer.read_c(), thermometer.trip_c) == (None, None)
    assert sysfs.temperatures_c(tmp_path) == {}


def test_a_power_mode_that_is_not_in_force_is_said(tmp_path):
    lay_out(SUPER, tmp_path)
    assert "power mode 25W caps the GPU at 918 MHz, but its limit is 1020" in jetson.unkept(tmp_path)
    write(tmp_path, {"sys/class/devfreq/17000000.gpu/max_freq": "918000000"})
    assert jetson.unkept(tmp_path) == ""
    write(tmp_path, {"var/lib/nvpmodel/status": "pmode:0002"})  # no cap at all
    assert jetson.unkept(tmp_path) == ""
    assert jetson.unkept(tmp_path / "none") == ""


@pytest.mark.parametrize(
    ("files", "name", "why"),
    [
        ({}, None, "a container hides it"),
        ({"var/lib/nvpmodel/status": "pmode:0002 fmode:quiet"}, None, "mode 2 has no name without /etc/nvpmodel.conf"),
        (
            {"var/lib/nvpmodel/status": "pmode:0009", "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >"},
            None,
            "names no mode 9",
        ),
        (
            {
                "var/lib/nvpmodel/status": "pmode:0003",
                "var/lib/nvpmodel/conf_file_path": "/etc/nvpmodel/nvpmodel_p3767_0001.conf\n",
                "etc/nvpmodel/nvpmodel_p3767_0001.conf": "< POWER_MODEL ID=3 NAME=20W >\nGPU MAX_FREQ 408000000\n",
                "etc/nvpmodel.conf": "< POWER_MODEL ID=3 NAME=of another board >",
            },
            "20W",
            "",
        ),
    ],
)
def test_a_mode_without_a_name_is_none_with_a_reason(tmp_path, files, name, why):
    write(tmp_path, files)
    mode, reason = jetson.mode(tmp_path)
    assert (mode.name if mode else None) == name
    assert why in reason


def test_numbers_in_files_that_hold_none(tmp_path):
    write(tmp_path, {"sys/devices/gpu.0/tpc_pg_mask": "0xf0\n", "etc/nv_tegra_release": "# nothing\n", "x": "<nil>"})
    assert jetson.tpc_mask(tmp_path) == 240
    assert jetson.l4t(tmp_path) is None
    assert sysfs.number(tmp_path / "x") is None


def test_doctor_says_what_it_is_told_and_why_not(tmp_path):
    state = conditions.state(lay_out(SUPER, tmp_path / "board"))
    assert state["L4T"] == "36.4.7"
    assert state["power mode"].startswith("25W · power mode 25W caps the GPU")
    assert state["TPC mask"] == "0 (bits of TPCs that are off)"
    assert state["clocks"] == "cpu0 729.6 to 1728 MHz, cpu4 729.6 to 1728 MHz, gpu 1020 to 1020 MHz"
    assert state["temperature"].startswith("cpu-thermal 51.2 °C")
    bare = conditions.state(lay_out("nano, L4T 32 (JetPack 4)", tmp_path / "nano"))
    assert bare["L4T"].startswith("not told: /etc/nv_tegra_release is missing")
    assert bare["clocks"] == "gpu partly told; none is pinned"
    assert set(conditions.state(tmp_path / "pc")) == {"governor", "clocks", "temperature"}
