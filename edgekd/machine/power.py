"""Which power and energy sensors this machine has, and the best one for a backend."""

from __future__ import annotations

from pathlib import Path

from edgekd.core import family
from edgekd.core.errors import MachineError
from edgekd.core.protocols import Device, PowerSource
from edgekd.machine import jetson

FAMILY = "machine.sensors"


def sensors(root: Path = Path("/")) -> dict[str, PowerSource | str]:
    """Open every sensor of ``edgekd/machine/sensors/``.

    Args:
        root: Where ``proc``, ``sys``, ``etc`` and ``usr`` are.

    Returns:
        File name → the sensor, which the caller closes, or the reason why there is none.
    """
    found: dict[str, PowerSource | str] = {}
    for name in family.names(FAMILY):
        try:
            found[name] = family.load(FAMILY, name).find(root)
        except MachineError as err:
            found[name] = str(err)
    return found


def open_sensor(device: Device, root: Path = Path("/")) -> tuple[str, PowerSource]:
    """Open the best sensor for engines that run on ``device``.

    Args:
        device: Whose power is measured.
        root: Where ``proc``, ``sys``, ``etc`` and ``usr`` are.

    Returns:
        The sensor's file in ``edgekd/machine/sensors/``, and the sensor, which the caller closes.

    Raises:
        MachineError: There is none: the reason of each sensor that this kind of machine could have.
    """
    is_jetson = jetson.model(root) is not None
    modules = {name: family.load(FAMILY, name) for name in family.names(FAMILY)}
    candidates = sorted((module.PRIORITY, name) for name, module in modules.items() if device in module.MEASURES)
    reasons = []
    for _, name in candidates:
        try:
            return name, modules[name].find(root)
        except MachineError as err:
            # A workstation's user can do nothing about a missing INA3221.
            if is_jetson or not modules[name].JETSON_ONLY:
                reasons.append(f"{name}: {err}")
    raise MachineError("; ".join(reasons))
