"""INA3221, the power monitor of every Jetson module, and the INA238 of Thor's carrier board, through sysfs.

Sources: the kernel's Documentation/hwmon/ina3221.rst and ina238.rst (millivolts, milliamperes, microwatts, microohms,
milliseconds); Texas Instruments' INA3221 data sheet SBOS576 (a step is 8 mV of the bus, 40 uV over the shunt). JetPack
4's own driver stands in iio: rail_name_N and in_powerN_input in milliwatts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekd.core.errors import MachineError
from edgekd.core.protocols import PowerSource
from edgekd.machine import rails
from edgekd.machine.sysfs import number, text

SEES = ("cpu", "gpu")
RANK = 0
OF_A_BOARD = True

_STEP_V, _STEP_SHUNT_V = 0.008, 40e-6
# Where the driver tells none: 5 mOhm, as on AGX Xavier; the step in current is then 8 mA.
_SHUNT_OHM = 0.005
# Where the driver tells none: at its default a channel takes 1.1 ms for the shunt and as long for the bus, of three.
_REFRESH_S = 0.007


@dataclass(frozen=True, slots=True)
class _Channel:
    """One rail: files whose product is its power, and what a unit of that product is in watts."""

    rail: str
    factors: tuple[Path, ...]
    unit_w: float
    step_w: float
    refresh_s: float = _REFRESH_S

    def read_w(self) -> float:
        power = self.unit_w
        for path in self.factors:
            power *= _number(path)
        return power


class _Rails:
    """All channels of all chips."""

    counts = False

    def __init__(self, channels: tuple[_Channel, ...]) -> None:
        self._channels = channels
        self.rails = tuple(channel.rail for channel in channels)
        self.total, self.sees = rails.total(self.rails), rails.sees(self.rails)
        self.steps = tuple(channel.step_w for channel in channels)
        self.range_j = (0.0,) * len(channels)
        self.refresh_s = max(channel.refresh_s for channel in channels)

    def read(self) -> tuple[float, ...]:
        return tuple(channel.read_w() for channel in self._channels)

    def close(self) -> None:
        """Nothing is held."""


def find(root: Path) -> PowerSource:
    """Find every rail that is named and can be read."""
    found = {channel.rail: channel for channel in (*_hwmon(root), *_iio(root), *_carrier(root))}
    if not found:
        raise MachineError(
            "no INA3221 in /sys/bus/i2c/drivers: this is no Jetson, or a container hides its /sys; "
            "run it with --privileged, or outside"
        )
    source = _Rails(tuple(found.values()))
    try:
        source.read()
    except OSError as err:
        raise MachineError(
            f"the INA3221 is there and may not be read: {err.strerror} ({err.filename}); be root"
        ) from err
    return source


def _hwmon(root: Path) -> list[_Channel]:
    """JetPack 5 and newer: voltage and current of three channels a chip."""
    channels = []
    for folder in sorted((root / "sys/bus/i2c/drivers/ina3221").glob("*/hwmon/hwmon*")):
        interval_ms = number(folder / "update_interval")
        for label in sorted(folder.glob("in[123]_label")):
            channel = label.name[2]
            volts, amperes = folder / f"in{channel}_input", folder / f"curr{channel}_input"
            if not rails.is_rail(text(label)) or number(volts) is None or not amperes.exists():
                continue  # a channel that is switched off answers with an error
            shunt_ohm = (number(folder / f"shunt{channel}_resistor") or _SHUNT_OHM * 1e6) * 1e-6
            step_w = _power_step(abs(number(volts) or 0) / 1e3, abs(number(amperes) or 0) / 1e3, shunt_ohm)
            refresh_s = interval_ms / 1e3 if interval_ms else _REFRESH_S
            channels.append(_Channel(text(label), (volts, amperes), 1e-6, step_w, refresh_s))
    return channels


def _iio(root: Path) -> list[_Channel]:
    """JetPack 4: power in milliwatts, worked out by NVIDIA's own driver."""
    channels = []
    for label in sorted((root / "sys/bus/i2c/drivers/ina3221x").glob("*/iio:device*/rail_name_[0-2]")):
        channel = label.name[-1]
        power = label.with_name(f"in_power{channel}_input")
        volts, amperes = (label.with_name(f"in_{what}{channel}_input") for what in ("voltage", "current"))
        if not rails.is_rail(text(label)) or not power.exists():
            continue
        step_w = _power_step(abs(number(volts) or 0) / 1e3, abs(number(amperes) or 0) / 1e3, _SHUNT_OHM)
        channels.append(_Channel(text(label), (power,), 1e-3, step_w))
    return channels


def _carrier(root: Path) -> list[_Channel]:
    """Thor's developer kit: one INA238 at the carrier board's input, in microwatts."""
    folders = sorted((root / "sys/bus/i2c/drivers").glob("ina2[03]8*/*/hwmon/hwmon*"))
    powers = [path for folder in folders if (path := folder / "power1_input").exists()]
    return [_Channel(rails.CARRIER, (path,), 1e-6, 1e-6) for path in powers[:1]]


def _power_step(volts: float, amperes: float, shunt_ohm: float) -> float:
    """Return by how much the power moves when current and voltage move by a step each, watts."""
    return volts * _STEP_SHUNT_V / shunt_ohm + amperes * _STEP_V


def _number(path: Path) -> float:
    """Read one number as it is: a sensor that has gone raises OSError."""
    try:
        return float(path.read_text())
    except ValueError as err:
        raise OSError(f"{path} holds no number") from err
