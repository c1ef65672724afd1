"""Every power sensor keeps the contract of ``core.protocols.SensorModule``, and so does one in a new file.

The machines are folders: the boards of tests/unit/machine/boards, and one with every simulated sensor.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from edgekd.core import family
from edgekd.core.errors import MachineError
from edgekd.core.protocols import Device
from edgekd.machine import doctor, power
from tests.contract.new_member import new_member
from tests.unit.machine.boards.trees import TREES, lay_out, lay_out_every_sensor, write

NEW = "wall_meter"
NEW_SOURCE = '''
"""A meter at the wall socket: what a new file in edgekd/machine/sensors/ must contain."""

from edgekd.core.errors import MachineError

MEASURES = ("cpu", "gpu")
PRIORITY = -1
JETSON_ONLY = False


class Meter:
    rails = total = ("WALL",)
    description = "the wall socket: everything"
    is_counter = False
    steps = (0.1,)
    range_j = (0.0,)
    refresh_s = 0.5

    def __init__(self, file):
        self.file = file

    def read(self):
        return (float(self.file.read_text()),)

    def close(self):
        pass


def find(root):
    file = root / "dev/wall_meter"
    if not file.exists():
        raise MachineError("no wall meter: /dev/wall_meter is missing; plug it in")
    return Meter(file)
'''
MACHINES = [*TREES, "every sensor", "nothing"]


@pytest.fixture(params=[*family.names(power.FAMILY), NEW])
def name(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param != NEW:
        yield request.param
        return
    with new_member(power.FAMILY, NEW, NEW_SOURCE, tmp_path_factory.mktemp("sensors")):
        yield NEW


@pytest.fixture
def sensor(name: str) -> ModuleType:
    return family.load(power.FAMILY, name)


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param in TREES:
        return lay_out(request.param, tmp_path)
    return lay_out_every_sensor(tmp_path) if request.param == "every sensor" else tmp_path


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no library be found, so that only the files below the root are."""

    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)


def with_meter(root: Path) -> Path:
    write(root, {"dev/wall_meter": "42.5"})
    return root


def test_declares_what_it_measures_and_when_it_is_chosen(sensor: ModuleType) -> None:
    assert sensor.MEASURES
    assert set(sensor.MEASURES) <= {"cpu", "gpu"}
    assert isinstance(sensor.PRIORITY, int)
    assert isinstance(sensor.JETSON_ONLY, bool)


def test_no_two_sensors_of_one_device_have_the_same_priority(sensor: ModuleType, name: str) -> None:
    others = [family.load(power.FAMILY, other) for other in family.names(power.FAMILY) if other != name]
    rivals = [other.PRIORITY for other in others if set(other.MEASURES) & set(sensor.MEASURES)]
    assert sensor.PRIORITY not in rivals


def test_a_missing_sensor_is_an_error_with_a_reason(sensor: ModuleType, tmp_path: Path, no_library: None) -> None:
    with pytest.raises(MachineError, match=r": .") as error:  # what is missing: and why
        sensor.find(tmp_path)
    assert "\n" not in str(error.value)


def test_a_found_sensor_describes_what_it_reads(sensor: ModuleType, machine: Path) -> None:
    try:
        source = sensor.find(with_meter(machine))
    except MachineError:
        return  # this machine lacks it, and find() keeps the contract by saying so
    with contextlib.closing(source):
        assert source.description
        assert "\n" not in source.description
        assert len(set(source.rails)) == len(source.rails) == len(source.steps) == len(source.range_j)
        assert source.total
        assert set(source.total) <= set(source.rails)
        assert source.refresh_s > 0
        assert min(source.steps) >= 0
        values = source.read()
        assert [type(value) for value in values] == [float] * len(source.rails)
        if source.is_counter:
            assert min(source.range_j) >= 0
            assert all(later >= first for first, later in zip(values, source.read(), strict=True))
        else:
            assert set(source.range_j) == {0.0}
    source.close()  # twice is harmless


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_the_sensor_of_lowest_priority_number_is_opened(device: Device, tmp_path: Path, no_library: None) -> None:
    root = lay_out_every_sensor(tmp_path)
    modules = {name: family.load(power.FAMILY, name) for name in family.names(power.FAMILY)}
    found = power.sensors(root)
    sources = {name: source for name, source in found.items() if not isinstance(source, str)}
    for source in sources.values():
        source.close()
    chosen, source = power.open_sensor(device, root)
    source.close()
    fitting = [name for name in sources if device in modules[name].MEASURES]
    assert len(fitting) > 1
    assert chosen == min(fitting, key=lambda name: modules[name].PRIORITY)


@pytest.mark.parametrize("is_jetson", [False, True])
def test_reasons_are_those_of_sensors_the_machine_could_have(is_jetson: bool, tmp_path: Path, no_library: None) -> None:
    if is_jetson:
        write(tmp_path, {"proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0"})
    with pytest.raises(MachineError) as error:
        power.open_sensor("gpu", tmp_path)
    for name in family.names(power.FAMILY):
        module = family.load(power.FAMILY, name)
        expected = "gpu" in module.MEASURES and (is_jetson or not module.JETSON_ONLY)
        assert (f"{name}: " in str(error.value)) == expected, name


def test_a_new_file_needs_no_other(tmp_path: Path) -> None:
    known = family.names(power.FAMILY)
    (tmp_path / "sensors").mkdir()
    with new_member(power.FAMILY, NEW, NEW_SOURCE, tmp_path / "sensors"):
        assert family.names(power.FAMILY) == sorted([*known, NEW])
        name, source = power.open_sensor("gpu", with_meter(lay_out_every_sensor(tmp_path / "machine")))
        assert (name, source.read()) == (NEW, (42.5,))  # its PRIORITY is the lowest
        assert "no wall meter" in str(power.sensors(tmp_path / "none")[NEW])
        assert "no wall meter" in doctor.doctor()["energy"][NEW]["why"]
    assert family.names(power.FAMILY) == known
