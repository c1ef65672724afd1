"""Which power and energy sensors this machine has, and the best one for a backend."""

from __future__ import annotations

from pathlib import Path

from edgekd.core import family
from edgekd.core.errors import MachineError
from edgekd.core.protocols import Device, PowerSource
from edgekd.machine import jetson

FAMILY = "machine.sensors"


def sensors(root: Path = Path("/")) -> dict[str, PowerSource | str]:
    """Return every file of ``edgekd/machine/sensors/`` → its sensor, which the caller closes, or why there is none."""
    found: dict[str, PowerSource | str] = {}
    for name in family.names(FAMILY):
        try:
            found[name] = family.load(FAMILY, name).find(root)
        except MachineError as err:
            found[name] = str(err)
    return found


def open_sensor(device: Device, root: Path = Path("/")) -> tuple[str, PowerSource]:
    """Open the best sensor for engines that run on ``device``: (file of ``edgekd/machine/sensors/``, sensor).

    Raises:
        MachineError: There is none; the reason of every reader that could have been.
    """
    on_a_board = jetson.model(root) is not None
    modules = {name: family.load(FAMILY, name) for name in family.names(FAMILY)}
    fitting = sorted((m.RANK, name) for name, m in modules.items() if device in m.SEES)
    reasons = []
    for _, name in fitting:
        try:
            return name, modules[name].find(root)
        except MachineError as err:
            reasons += [f"{name}: {err}"] if on_a_board or not modules[name].OF_A_BOARD else []
    raise MachineError("; ".join(reasons))
