"""Doctor: plain data about this machine, its sensors and its backends, whatever fails to load."""

from __future__ import annotations

import json

import pytest

from edgekd.core import family
from edgekd.core.errors import MissingDependency
from edgekd.machine import doctor, jetson, power


class Sensor:
    rails = ("GPU", "CPU")
    description = "simulated rails"
    closed = 0

    def close(self):
        self.closed += 1


def test_it_returns_plain_data_with_every_member():
    found = doctor.doctor()
    assert json.loads(json.dumps(found)) == found
    assert set(found["backends"]) == set(family.names("backends"))
    assert set(found["energy"]) == set(family.names(power.FAMILY))
    assert found["cores"] >= 1


def test_a_sensor_is_described_and_closed(monkeypatch):
    sensor = Sensor()
    monkeypatch.setattr(power, "sensors", lambda: {"here": sensor, "missing": "no such chip"})
    assert doctor.doctor()["energy"] == {
        "here": {"why": None, "description": "simulated rails; rails GPU, CPU"},
        "missing": {"why": "no such chip", "description": ""},
    }
    assert sensor.closed == 1


@pytest.fixture
def failing_load(monkeypatch):
    """Let every backend fail to load with an error, and no sensor be there."""

    def fail_with(error):
        def load(of, name):
            raise error

        monkeypatch.setattr(power, "sensors", dict)
        monkeypatch.setattr(family, "load", load)

    return fail_with


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MissingDependency("backends/x needs 'x',\n which is missing"), "backends/x needs 'x', which is missing"),
        (ImportError("undefined symbol"), "undefined symbol"),
        (OSError("libx.so.1: cannot open"), "libx.so.1: cannot open"),
    ],
)
def test_a_backend_that_does_not_load_has_its_reason_in_one_line(failing_load, error, reason):
    failing_load(error)
    for facts in doctor.doctor()["backends"].values():
        assert facts == {"loads": False, "why": reason, "caveat": "", "versions": {}}


def test_an_unexpected_error_is_not_hidden(failing_load):
    failing_load(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        doctor.doctor()


@pytest.mark.parametrize("model", ["NVIDIA Jetson AGX Orin", None])
def test_the_board_s_name_or_none(monkeypatch, model):
    monkeypatch.setattr(jetson, "model", lambda root: model)
    assert doctor.doctor()["board"] == model
