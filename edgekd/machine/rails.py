"""A Jetson's rails: which of them add up to what, and what none of them sees.

Sources: VDD_IN is the total power of the module, VDD_CPU_GPU_CV and VDD_SOC are parts of it (NVIDIA's answer in
forums.developer.nvidia.com/t/200883). AGX Xavier's six sense resistors stand side by side (Jetson AGX Xavier Design
Guide DG-09840-001, figure 5-14). POM_5V_IN is Nano's input (its power documentation, as jtop sums it). AGX Orin's
VDDQ_VDD2_1V8AO: no public source was found that says whether VIN_SYS_5V0 contains it; it is taken to, so that the sum
is of VDD_GPU_SOC, VDD_CPU_CV and VIN_SYS_5V0.
"""

from __future__ import annotations

from collections.abc import Sequence

# The first that is there is the whole: the module's input, or on Thor's developer kit the carrier board's.
_WHOLE = ("VIN", "VDD_IN", "POM_5V_IN")
_PARTS = ("VDDQ_VDD2_1V8AO",)
CARRIER = "VIN"


def total(rails: Sequence[str]) -> tuple[str, ...]:
    """Return the rails whose sum is all that the sensors see."""
    for whole in _WHOLE:
        if whole in rails:
            return (whole,)
    return tuple(rail for rail in rails if rail not in _PARTS)


def sees(rails: Sequence[str]) -> str:
    """Say what the total is of, and what it is not."""
    summed = total(rails)
    if summed == (CARRIER,):
        return "VIN, the developer kit's input: module and carrier board"
    return f"{' + '.join(summed)}, the module's rails: carrier-board loss is not seen"


def is_rail(name: str) -> bool:
    """Whether a channel is one: "NC" is not connected, a sum of shunt voltages is none."""
    return bool(name) and name != "NC" and "sum of" not in name.lower()
