"""INA3221, the power monitor of every Jetson module, and the INA238 of Thor's carrier board, through sysfs.

Sources: the kernel's Documentation/hwmon/ina3221.rst and ina238.rst (millivolts, milliamperes, microwatts, microohms,
milliseconds); Texas Instruments' INA3221 data sheet SBOS576 (one step is 8 mV on the bus, 40 uV over the shunt).
JetPack 4's driver is an iio driver: rail_name_N, and in_powerN_input in milliwatts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekd.core.errors import MachineError
from edgekd.core.protocols import Device, PowerSource
from edgekd.machine import rails
from edgekd.machine.sysfs import number, text

MEASURES: tuple[Device, ...] = ("cpu", "gpu")
PRIORITY = 0
JETSON_ONLY = True

_BUS_STEP_V, _SHUNT_STEP_V = 0.008, 40e-6
# Assumed where the driver does not give the shunt: 5 mOhm, as on AGX Xavier, which makes a current step 8 mA.
_SHUNT_OHM = 0.005
# Assumed where the driver does not give the interval: by default the chip converts three channels in turn, each 1.1 ms
# for the shunt and 1.1 ms for the bus.
_REFRESH_S = 0.007


@dataclass(frozen=True, slots=True)
class _Channel:
    """One rail.

    Attributes:
        rail: Its label.
        factors: Files whose product is its power: power itself, or voltage and current.
        unit_w: Watts per unit of that product.
        step_w: The resolution of its power.
        refresh_s: How often the chip measures it.
    """

    rail: str
    factors: tuple[Path, ...]
    unit_w: float
    step_w: float
    refresh_s: float = _REFRESH_S

    def read_w(self) -> float:
        power_w = self.unit_w
        for path in self.factors:
            power_w *= _read_number(path)
        return power_w


class _Rails:
    """All channels of all chips."""

    is_counter = False

    def __init__(self, channels: tuple[_Channel, ...]) -> None:
        self._channels = channels
        self.rails = tuple(channel.rail for channel in channels)
        self.total, self.description = rails.total(self.rails), rails.description(self.rails)
        self.steps = tuple(channel.step_w for channel in channels)
        self.range_j = (0.0,) * len(channels)
        # A total is as fresh as its slowest rail.
        self.refresh_s = max(channel.refresh_s for channel in channels)

    def read(self) -> tuple[float, ...]:
        return tuple(channel.read_w() for channel in self._channels)

    def close(self) -> None:
        """Do nothing: no file stays open."""


def find(root: Path) -> PowerSource:
    """Find every rail that has a name and can be read; see ``core.protocols.SensorModule``.

    Args:
        root: Where ``sys`` is.

    Raises:
        MachineError: There is no such chip, or it may not be read.
    """
    channels = [*_hwmon_channels(root), *_iio_channels(root), *_carrier_channels(root)]
    if not channels:
        raise MachineError(
            "no INA3221 in /sys/bus/i2c/drivers: this is not a Jetson, or a container hides /sys; "
            "start the container with --privileged, or run outside it"
        )
    # A rail that two drivers report is one rail.
    by_rail = {channel.rail: channel for channel in channels}
    source = _Rails(tuple(by_rail.values()))
    try:
        source.read()
    except OSError as err:
        raise MachineError(f"cannot read the INA3221: {err.strerror} ({err.filename}); run as root") from err
    return source


def _hwmon_channels(root: Path) -> list[_Channel]:
    """JetPack 5 and newer: voltage and current of three channels per chip."""
    channels = []
    for folder in sorted((root / "sys/bus/i2c/drivers/ina3221").glob("*/hwmon/hwmon*")):
        interval_ms = number(folder / "update_interval")
        for label in sorted(folder.glob("in[123]_label")):
            channel = label.name[2]
            volts, amperes = folder / f"in{channel}_input", folder / f"curr{channel}_input"
            if not rails.is_rail(text(label)) or number(volts) is None or not amperes.exists():
                continue  # reading a channel that is switched off fails
            shunt_uohm = number(folder / f"shunt{channel}_resistor")
            step_w = _power_step_w(volts, amperes, shunt_uohm * 1e-6 if shunt_uohm else _SHUNT_OHM)
            refresh_s = interval_ms / 1e3 if interval_ms else _REFRESH_S
            channels.append(_Channel(text(label), (volts, amperes), 1e-6, step_w, refresh_s))  # mV x mA = uW
    return channels


def _iio_channels(root: Path) -> list[_Channel]:
    """JetPack 4: power in milliwatts, computed by NVIDIA's driver."""
    channels = []
    for label in sorted((root / "sys/bus/i2c/drivers/ina3221x").glob("*/iio:device*/rail_name_[0-2]")):
        channel = label.name[-1]
        power = label.with_name(f"in_power{channel}_input")
        if not rails.is_rail(text(label)) or not power.exists():
            continue
        volts, amperes = label.with_name(f"in_voltage{channel}_input"), label.with_name(f"in_current{channel}_input")
        channels.append(_Channel(text(label), (power,), 1e-3, _power_step_w(volts, amperes, _SHUNT_OHM)))
    return channels


def _carrier_channels(root: Path) -> list[_Channel]:
    """Thor's developer kit: one INA238 at the carrier board's input, in microwatts."""
    for folder in sorted((root / "sys/bus/i2c/drivers").glob("ina2[03]8*/*/hwmon/hwmon*")):
        power = folder / "power1_input"
        if power.exists():
            return [_Channel(rails.CARRIER, (power,), 1e-6, 1e-6)]
    return []


def _power_step_w(volts: Path, amperes: Path, shunt_ohm: float) -> float:
    """Return the change in power when current and voltage both change by one step.

    Args:
        volts: File with the present millivolts.
        amperes: File with the present milliamperes.
        shunt_ohm: The resistor over which the current is measured.
    """
    now_v, now_a = abs(number(volts) or 0) / 1e3, abs(number(amperes) or 0) / 1e3
    return now_v * _SHUNT_STEP_V / shunt_ohm + now_a * _BUS_STEP_V


def _read_number(path: Path) -> float:
    """Read one number; unlike ``sysfs.number`` it raises OSError if the sensor has gone."""
    try:
        return float(path.read_text())
    except ValueError as err:
        raise OSError(f"{path} holds no number") from err
