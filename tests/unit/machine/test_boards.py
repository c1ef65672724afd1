"""What a Jetson reports about itself, on files of boards: boards/README.md says which were recorded."""

from __future__ import annotations

import pytest

from edgekd.core.config import BenchConfig
from edgekd.machine import conditions, jetson, sysfs
from tests.unit.machine.boards.trees import lay_out, write

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
def test_a_board_s_release_mode_and_mask(tmp_path, board, target, l4t, mode, mask):
    found = observed(lay_out(board, tmp_path))
    assert (found.target, found.l4t, found.power_mode, found.tpc_mask) == (target, l4t, mode, mask)
    assert found.is_board


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
    """Thor's GPU zone cannot be read when idle; Orin's reads -256; a trip below 0 means none."""
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


def test_a_power_mode_that_is_not_active_is_a_warning(tmp_path):
    lay_out(SUPER, tmp_path)
    assert "25W caps the GPU at 918 MHz, but its limit is 1020" in jetson.power_mode_warning(tmp_path)
    write(tmp_path, {"sys/class/devfreq/17000000.gpu/max_freq": "918000000"})
    assert jetson.power_mode_warning(tmp_path) == ""
    write(tmp_path, {"var/lib/nvpmodel/status": "pmode:0002"})  # no cap at all
    assert jetson.power_mode_warning(tmp_path) == ""
    assert jetson.power_mode_warning(tmp_path / "none") == ""


@pytest.mark.parametrize(
    ("files", "name", "why"),
    [
        ({}, None, "a container hides"),
        ({"var/lib/nvpmodel/status": "pmode:0002 fmode:quiet"}, None, "mode 2 has no name without /etc/nvpmodel.conf"),
        (
            {"var/lib/nvpmodel/status": "pmode:0009", "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >"},
            None,
            "has no mode 9",
        ),
        ({"var/lib/nvpmodel/status": "pmode:0009", "etc/nvpmodel.conf": "no mode at all"}, None, "has no mode 9"),
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


def test_the_state_of_a_board(tmp_path):
    state = conditions.state(lay_out(SUPER, tmp_path))
    assert state["L4T"] == "36.4.7"
    assert state["power mode"].startswith("25W · power mode 25W caps the GPU")
    assert state["TPC mask"].startswith("0 ")
    assert state["clocks"] == "cpu0 729.6 to 1728 MHz, cpu4 729.6 to 1728 MHz, gpu 1020 to 1020 MHz"
    assert state["temperature"].startswith("cpu-thermal 51.2 °C")


def test_what_a_board_does_not_report_is_unavailable_with_a_reason(tmp_path):
    state = conditions.state(lay_out("nano, L4T 32 (JetPack 4)", tmp_path))
    assert state["L4T"].startswith("unavailable: no /etc/nv_tegra_release")
    assert state["TPC mask"].startswith("unavailable: ")
    assert state["governor"].startswith("unavailable: ")
    assert state["clocks"] == "gpu limit partly unavailable; none is pinned"


def test_an_unnamed_power_mode_is_unavailable(tmp_path):
    write(lay_out(SUPER, tmp_path), {"var/lib/nvpmodel/status": "pmode:0077"})
    assert conditions.state(tmp_path)["power mode"] == "unavailable: nvpmodel.conf has no mode 77"


def test_a_workstation_has_no_lines_of_a_board(tmp_path):
    state = conditions.state(tmp_path)
    assert list(state) == ["governor", "clocks", "temperature"]
    assert all(text.startswith("unavailable: ") for text in state.values())


@pytest.mark.parametrize(
    ("files", "model"),
    [
        ({}, None),
        ({"proc/device-tree/model": "Raspberry Pi 5\0"}, None),
        ({"proc/device-tree/model": "NVIDIA Orin Nano Developer Kit\0"}, None),
        (
            {
                "proc/device-tree/model": "NVIDIA Orin Nano Developer Kit\0",
                "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0",
            },
            "NVIDIA Orin Nano Developer Kit",
        ),
        ({"etc/nv_tegra_release": "# R36 (release)"}, "Jetson"),
    ],
)
def test_what_makes_a_machine_a_jetson(tmp_path, files, model):
    write(tmp_path, files)
    assert jetson.model(tmp_path) == model


def test_modes_of_a_configuration():
    conf = """
< POWER_MODEL ID=0 NAME=MAXN >
CPU_ONLINE CORE_0 1
GPU MAX_FREQ -1
<POWER_MODEL ID=2 NAME=15W>
GPU MIN_FREQ 0
GPU MAX_FREQ 612000000
< POWER_MODEL ID=7 NAME=none >
"""
    assert jetson.modes(conf) == {0: jetson.Mode("MAXN"), 2: jetson.Mode("15W", 612.0), 7: jetson.Mode("none")}
    assert jetson.modes("") == {}


def test_a_limit_within_a_clock_step_of_the_cap_is_active(tmp_path):
    lay_out(SUPER, tmp_path)
    write(tmp_path, {"sys/class/devfreq/17000000.gpu/max_freq": "930000000"})  # 918 MHz and 1.3 %
    assert jetson.power_mode_warning(tmp_path) == ""


@pytest.mark.parametrize(
    ("files", "mhz"),
    [
        ({}, None),
        ({"sys/kernel/nvpmodel_clk_cap/emc": "0"}, None),
        ({"sys/kernel/nvpmodel_clk_cap/emc": "3199000000"}, 3199.0),
        ({"sys/kernel/nvpmodel_clk_cap/emc": "0", "sys/kernel/nvpmodel_emc_cap/emc_iso_cap": "2133000000"}, 2133.0),
    ],
)
def test_the_memory_clock_s_cap(tmp_path, files, mhz):
    write(tmp_path, files)
    assert jetson.emc_max_mhz(tmp_path) == mhz


def test_policies_are_in_the_order_of_their_cores(tmp_path):
    folder = "sys/devices/system/cpu/cpufreq"
    write(tmp_path, {f"{folder}/policy{core}/scaling_cur_freq": f"{core}000" for core in (10, 2, 0)})
    assert [path.name for path in sysfs.policies(tmp_path)] == ["policy0", "policy2", "policy10"]
    assert sysfs.Clocks.of(tmp_path).cpu_mhz() == 10.0


def test_only_some_policies_are_read_between_blocks(tmp_path):
    folder = "sys/devices/system/cpu/cpufreq"
    write(tmp_path, {f"{folder}/policy{core}/scaling_cur_freq": "1000" for core in range(64)})
    assert len(sysfs.Clocks.of(tmp_path).cpu) == 8
    assert sysfs.Clocks.of(tmp_path).gpu_mhz() is None


@pytest.mark.parametrize("name", ["17000000.gpu", "17000000.ga10b", "57000000.gpu", "gpu-gpc-0"])
def test_the_gpu_s_clock_domain_of_each_generation(tmp_path, name):
    for other in ("gpu-nvd-0", "154c0000.nvenc", name):
        write(tmp_path, {f"sys/class/devfreq/{other}/cur_freq": "1000000"})
    assert sysfs.gpu_domain(tmp_path) == tmp_path / "sys/class/devfreq" / name
