"""Power sensors on files and libraries that the test makes: boards, simulated counters, a simulated NVML."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from edgekd.core.errors import MachineError
from edgekd.machine import rails
from edgekd.machine.nvml import Card
from edgekd.machine.sensors import ina3221, nvml, rapl, tegrastats
from tests.unit.machine.boards.trees import lay_out, write, write_tegrastats

SUPER = "orin_nano_8gb super, L4T 36.4.7"
LINES = json.loads((Path(__file__).parent / "boards" / "tegrastats.json").read_text(encoding="utf-8"))


def test_orin_nanos_rails_are_the_recorded_ones(tmp_path):
    source = ina3221.find(lay_out(SUPER, tmp_path))
    assert source.rails == ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")
    assert source.read() == pytest.approx((4.968 * 1.520, 4.960 * 1.784, 4.960 * 0.496))
    assert source.total == ("VDD_IN",)
    assert "excludes carrier-board loss" in source.description
    # 40 uV over 5 mOhm are 8 mA, and the bus is measured in steps of 8 mV.
    assert source.steps[0] == pytest.approx(4.968 * 0.008 + 1.520 * 0.008)
    assert not source.is_counter


@pytest.mark.parametrize(
    ("board", "total", "watts"),
    [
        ("agx_orin, L4T 39.2.0", ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), 2.4 + 0.48 + 4.0),
        ("agx_thor, L4T 38.2.0", ("VIN",), 15.004),
        ("nano, L4T 32 (JetPack 4)", ("POM_5V_IN",), 2.003),
    ],
)
def test_which_rails_make_the_whole(tmp_path, board, total, watts):
    source = ina3221.find(lay_out(board, tmp_path))
    power = dict(zip(source.rails, source.read(), strict=True))
    assert source.total == total
    assert sum(power[rail] for rail in total) == pytest.approx(watts)
    assert ("carrier board" in source.description) == (total == ("VIN",))
    assert "NC" not in source.rails


def test_a_negative_reading_stays_one(tmp_path):
    source = ina3221.find(lay_out("agx_thor, L4T 38.2.0", tmp_path))
    assert dict(zip(source.rails, source.read(), strict=True))["VDD_GPU"] == pytest.approx(-0.392)


def test_xaviers_six_rails_are_added():
    xavier = ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")
    assert rails.total(xavier) == xavier
    assert rails.description(xavier).startswith("GPU + CPU + SOC + CV + VDDRQ + SYS5V")


def test_the_most_inclusive_rail_is_the_total_in_any_order():
    for names in (("VDD_GPU", "VDD_IN", "VIN"), ("VIN", "VDD_IN", "VDD_GPU")):
        assert rails.total(names) == ("VIN",)
    assert rails.total(()) == ()


@pytest.mark.parametrize(
    ("label", "is_rail"),
    [("VDD_IN", True), ("", False), ("NC", False), ("NCP", True), ("sum of shunt voltages", False)],
)
def test_which_labels_name_a_rail(label, is_rail):
    assert rails.is_rail(label) == is_rail


CHIP = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"


def test_a_channel_that_is_off_or_not_connected_is_left_out(tmp_path):
    lay_out(SUPER, tmp_path)
    write(tmp_path, {f"{CHIP}/in3_label": "NC"})
    (tmp_path / CHIP / "in2_input").unlink()
    assert ina3221.find(tmp_path).rails == ("VDD_IN",)
    (tmp_path / CHIP / "curr1_input").unlink()
    with pytest.raises(MachineError, match="no INA3221"):
        ina3221.find(tmp_path)


def test_the_driver_s_shunt_sets_the_step(tmp_path):
    lay_out(SUPER, tmp_path)
    write(tmp_path, {f"{CHIP}/shunt1_resistor": "10000"})  # microohms
    # 40 uV over 10 mOhm are 4 mA.
    assert ina3221.find(tmp_path).steps[0] == pytest.approx(4.968 * 0.004 + 1.520 * 0.008)


def test_rails_that_may_not_be_read_name_the_file(tmp_path, monkeypatch):
    lay_out(SUPER, tmp_path)

    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(ina3221, "_read_number", refused)
    with pytest.raises(MachineError, match=r"Permission denied \(.*in1_input\); run as root"):
        ina3221.find(tmp_path)


def test_update_interval_is_how_often_it_is_read(tmp_path):
    lay_out(SUPER, tmp_path)
    assert ina3221.find(tmp_path).refresh_s == 0.007
    write(tmp_path, {"sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/update_interval": "35\n"})
    assert ina3221.find(tmp_path).refresh_s == 0.035


def test_a_rail_that_vanishes_is_an_error_not_a_zero(tmp_path):
    source = ina3221.find(lay_out(SUPER, tmp_path))
    path = tmp_path / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr1_input"
    path.write_text("")
    with pytest.raises(OSError, match="holds no number"):
        source.read()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        source.read()


def zones(root: Path, **names: str) -> Path:
    """Simulated RAPL counters: zone → its name; every counter reads 5 J of 262144."""
    for zone, name in names.items():
        folder = f"sys/class/powercap/intel-rapl:{zone[1:].replace('_', ':')}"
        files = {"name": name, "energy_uj": "5000000", "max_energy_range_uj": "262143999938"}
        write(root, {f"{folder}/{key}": f"{value}\n" for key, value in files.items()})
    return root


def test_rapl_sums_packages_and_memory_and_nothing_twice(tmp_path):
    # A package contains its cores and graphics, psys everything; memory is beside the package.
    names = {"z0": "package-0", "z0_0": "core", "z0_1": "uncore", "z0_2": "dram", "z1": "package-1", "z2": "psys"}
    source = rapl.find(zones(tmp_path, **names))
    assert source.is_counter
    assert source.total == ("package-0", "package-0 dram", "package-1")
    assert set(source.rails) == {*source.total, "package-0 core", "package-0 uncore", "psys"}
    assert source.read() == (5.0,) * 6
    assert source.range_j[0] == pytest.approx(262143.999938)


def test_rapl_that_only_root_can_read_names_the_command(tmp_path, monkeypatch):
    zones(tmp_path, z0="package-0")
    real = Path.read_text

    def guarded(path, *given, **more):
        if path.name == "energy_uj":  # root, who may run this test, ignores file modes
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *given, **more)

    monkeypatch.setattr(Path, "read_text", guarded)
    with pytest.raises(MachineError, match=r"only root .*chmod a\+r .*energy_uj"):
        rapl.find(tmp_path)


@pytest.mark.parametrize("recorded", LINES, ids=[line["board"] for line in LINES])
def test_a_line_of_each_generation(recorded):
    line = tegrastats.parse(recorded["line"])
    for name in ("cpu_mhz", "gpu_load", "gpu_mhz", "emc_mhz", "ram_mb", "rails_w", "temperatures_c"):
        assert getattr(line, name) == recorded[name], name
    assert list(line.cpu_load) == recorded["cpu_load"]


def test_an_empty_line():
    assert tegrastats.parse("") == tegrastats.Line()


def test_tegrastats_is_read_line_by_line_and_stopped(tmp_path):
    recorded = next(line["line"] for line in LINES if line["board"].startswith("Orin Nano"))
    later = recorded.replace("VDD_IN 9761mW", "VDD_IN 9800mW")
    with contextlib.closing(tegrastats.find(write_tegrastats(tmp_path, recorded, later, "VDD_SOC 1mW/1mW"))) as source:
        assert source.total == ("VDD_IN",)
        assert source.read() == (9.8, 4.238, 1.825)
        with pytest.raises(OSError, match="no longer reports VDD_IN, VDD_CPU_GPU_CV"):
            source.read()
    source.close()


def test_tegrastats_without_rails(tmp_path):
    with pytest.raises(MachineError, match="names no rail"):
        tegrastats.find(write_tegrastats(tmp_path, "RAM 1/2MB"))


@pytest.fixture
def card(simulated_nvml, tmp_path, monkeypatch):
    """Open the simulated card in a state: see ``simulated_nvml``."""

    def open_(state: str = ""):
        monkeypatch.setenv("SIMULATED_NVML", state)
        return nvml.find(tmp_path, simulated_nvml)

    return open_


def test_a_card_with_an_energy_counter(card):
    with contextlib.closing(card()) as source:
        assert source.is_counter
        first, second = source.read(), source.read()
        assert second[0] - first[0] == pytest.approx(0.5)
        assert "energy counter" in source.description
    source.close()


def test_a_card_that_reports_only_power(card):
    with contextlib.closing(card("power")) as source:
        assert (source.is_counter, source.read()) == (False, (250.5,))


def test_a_jetsons_library_answers_not_supported(card):
    with pytest.raises(MachineError, match=r"NVML: Not Supported.*ina3221"):
        card("jetson")


def test_a_driver_that_does_not_answer(card):
    with pytest.raises(MachineError, match="the NVIDIA driver does not answer: No driver"):
        card("dead")


def test_a_card_that_is_lost_while_it_is_read(card, monkeypatch):
    with contextlib.closing(card()) as source:
        monkeypatch.setenv("SIMULATED_NVML", "lost")
        with pytest.raises(OSError, match="GPU is lost"):
            source.read()


def test_rapl_counters_that_hold_no_number(tmp_path):
    zones(tmp_path, z0="package-0")
    write(tmp_path, {"sys/class/powercap/intel-rapl:0/energy_uj": "<unsupported>"})
    with pytest.raises(MachineError, match="cannot read the RAPL counters"):
        rapl.find(tmp_path)


def test_a_rapl_counter_of_unknown_range_is_taken_never_to_wrap(tmp_path):
    zones(tmp_path, z0="package-0")
    (tmp_path / "sys/class/powercap/intel-rapl:0/max_energy_range_uj").unlink()
    assert rapl.find(tmp_path).range_j == (0.0,)


def test_a_tegrastats_that_does_not_start(tmp_path):
    write_tegrastats(tmp_path)
    (tmp_path / "usr/bin/tegrastats").write_bytes(b"\x00 not a program")
    with pytest.raises(MachineError, match="does not start"):
        tegrastats.find(tmp_path)


def test_a_card_s_figures_by_name(simulated_nvml, monkeypatch):
    card = Card(simulated_nvml)
    assert (card.power_mw(), card.temperature_c(), card.clock_mhz()) == (250500, 61.0, 1755.0)
    monkeypatch.setenv("SIMULATED_NVML", "jetson")
    for figure in (card.energy_mj, card.power_mw, card.temperature_c, card.clock_mhz):
        with pytest.raises(OSError, match="Not Supported"):
            figure()
    card.close()
    card.close()


def test_no_driver_names_the_library(tmp_path):
    with pytest.raises(MachineError, match=r"libnvidia-ml\.so\.1"):
        Card(str(tmp_path / "absent.so"))
