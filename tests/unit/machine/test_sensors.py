"""Power readers on files and libraries the test makes: trees of boards, simulated counters, a simulated NVML."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest

from edgekd.core import family
from edgekd.core.errors import MachineError
from edgekd.machine import power, rails
from edgekd.machine.sensors import ina3221, nvml, rapl, tegrastats
from tests.unit.machine.boards.trees import lay_out, write

SUPER = "orin_nano_8gb super, L4T 36.4.7"
LINES = json.loads((Path(__file__).parent / "boards" / "tegrastats.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", family.names(power.FAMILY))
def test_every_reader_says_why_it_finds_nothing(name, tmp_path):
    module = family.load(power.FAMILY, name)
    assert set(module.SEES) <= {"cpu", "gpu"}
    assert isinstance(module.RANK, int)
    with pytest.raises(MachineError, match=r"no .*: |there is no NVIDIA driver"):
        module.find(tmp_path)


def test_orin_nanos_rails_are_the_recorded_ones(tmp_path):
    source = ina3221.find(lay_out(SUPER, tmp_path))
    assert source.rails == ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")
    assert source.read() == pytest.approx((4.968 * 1.520, 4.960 * 1.784, 4.960 * 0.496))
    assert source.total == ("VDD_IN",)
    assert "carrier-board loss is not seen" in source.sees
    # 40 uV over 5 mOhm are 8 mA, and the bus is told in steps of 8 mV.
    assert source.steps[0] == pytest.approx(4.968 * 0.008 + 1.520 * 0.008)
    assert not source.counts


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
    assert ("carrier board" in source.sees) == (total == ("VIN",))
    assert "NC" not in source.rails


def test_a_negative_reading_stays_one(tmp_path):
    source = ina3221.find(lay_out("agx_thor, L4T 38.2.0", tmp_path))
    assert dict(zip(source.rails, source.read(), strict=True))["VDD_GPU"] == pytest.approx(-0.392)


def test_xaviers_six_rails_stand_side_by_side():
    xavier = ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")
    assert rails.total(xavier) == xavier


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
    """Simulated RAPL counters: zone → its name; every counter stands at 5 J of 262144."""
    for zone, name in names.items():
        folder = f"sys/class/powercap/intel-rapl:{zone[1:].replace('_', ':')}"
        files = {"name": name, "energy_uj": "5000000", "max_energy_range_uj": "262143999938"}
        write(root, {f"{folder}/{key}": f"{value}\n" for key, value in files.items()})
    return root


def test_rapl_sums_packages_and_memory_and_nothing_twice(tmp_path):
    names = {"z0": "package-0", "z0_0": "core", "z0_1": "uncore", "z0_2": "dram", "z1": "package-1", "z2": "psys"}
    source = rapl.find(zones(tmp_path, **names))
    assert source.counts
    assert source.total == ("package-0", "package-0 dram", "package-1")
    assert set(source.rails) == {*source.total, "package-0 core", "package-0 uncore", "psys"}
    assert source.read() == (5.0,) * 6
    assert source.range_j[0] == pytest.approx(262143.999938)


def test_rapl_that_is_roots_alone_says_what_to_do(tmp_path, monkeypatch):
    zones(tmp_path, z0="package-0")
    real = Path.read_text

    def guarded(path, *given, **more):
        if path.name == "energy_uj":  # whoever runs this test may be root, whom no file mode stops
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *given, **more)

    monkeypatch.setattr(Path, "read_text", guarded)
    with pytest.raises(MachineError, match=r"root's alone .*chmod a\+r .*energy_uj"):
        rapl.find(tmp_path)


@pytest.mark.parametrize("told", LINES, ids=[told["board"] for told in LINES])
def test_a_line_of_each_generation(told):
    line = tegrastats.parse(told["line"])
    for name in ("cpu_mhz", "gpu_load", "gpu_mhz", "emc_mhz", "ram_mb", "rails_w", "temperatures_c"):
        assert getattr(line, name) == told[name], name
    assert list(line.cpu_load) == told["cpu_load"]


def test_a_line_that_says_nothing():
    assert tegrastats.parse("") == tegrastats.Line()


def _program(root: Path, *lines: str) -> Path:
    """A simulated tegrastats: a program that prints these lines and waits."""
    path = root / "usr/bin/tegrastats"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines) + "exec sleep 60\n")
    path.chmod(0o755)
    return root


def test_tegrastats_is_read_line_by_line_and_ended(tmp_path):
    recorded = next(told["line"] for told in LINES if told["board"].startswith("Orin Nano"))
    later = recorded.replace("VDD_IN 9761mW", "VDD_IN 9800mW")
    with contextlib.closing(tegrastats.find(_program(tmp_path, recorded, later, "VDD_SOC 1mW/1mW"))) as source:
        assert source.total == ("VDD_IN",)
        assert source.read() == (9.8, 4.238, 1.825)
        with pytest.raises(OSError, match="no longer tells VDD_IN, VDD_CPU_GPU_CV"):
            source.read()
    source.close()


def test_tegrastats_without_rails(tmp_path):
    with pytest.raises(MachineError, match="names no rail"):
        tegrastats.find(_program(tmp_path, "RAM 1/2MB"))


@pytest.fixture
def card(simulated_nvml, tmp_path):
    """Open the simulated card; what it is to say is the first letter of an environment variable."""

    def open_(says: str = ""):
        os.environ["SIMULATED_NVML"] = says
        return nvml.find(tmp_path, simulated_nvml)

    yield open_
    os.environ.pop("SIMULATED_NVML", None)


def test_a_card_with_an_energy_counter(card):
    with contextlib.closing(card()) as source:
        assert source.counts
        first, second = source.read(), source.read()
        assert second[0] - first[0] == pytest.approx(0.5)
        assert "energy counter" in source.sees
    source.close()


def test_a_card_that_tells_power_alone(card):
    with contextlib.closing(card("power")) as source:
        assert (source.counts, source.read()) == (False, (250.5,))


def test_a_jetsons_library_answers_not_supported(card):
    with pytest.raises(MachineError, match=r"NVML says: Not Supported to power \(a Jetson"):
        card("jetson")


def test_a_driver_that_does_not_answer(card):
    with pytest.raises(MachineError, match="the NVIDIA driver does not answer: No driver"):
        card("dead")


def test_a_card_that_is_lost_while_it_is_read(card):
    with contextlib.closing(card()) as source:
        os.environ["SIMULATED_NVML"] = "lost"
        with pytest.raises(OSError, match="GPU is lost"):
            source.read()
