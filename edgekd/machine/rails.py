"""A Jetson's power rails: which of them add up to the module's total, and what the total leaves out.

Sources: VDD_IN is the module's total power, VDD_CPU_GPU_CV and VDD_SOC are parts of it (NVIDIA's answer in
forums.developer.nvidia.com/t/200883). AGX Xavier's six sense resistors are in parallel branches, so their rails add
up (Jetson AGX Xavier Design Guide DG-09840-001, figure 5-14). POM_5V_IN is Nano's input (its power documentation; jtop
sums it the same way). AGX Orin's VDDQ_VDD2_1V8AO: no public source says whether VIN_SYS_5V0 contains it. It is assumed
to, so the sum is VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0.
"""

from __future__ import annotations

from collections.abc import Sequence

# What Thor's carrier board measures: the developer kit's input.
CARRIER = "VIN"
# Rails that are a total by themselves, the most inclusive first: the carrier board's input, then the module's.
_TOTALS = (CARRIER, "VDD_IN", "POM_5V_IN")
_PARTS = ("VDDQ_VDD2_1V8AO",)


def total(rails: Sequence[str]) -> tuple[str, ...]:
    """Return the rails whose sum is everything that the sensors measure."""
    for whole in _TOTALS:
        if whole in rails:
            return (whole,)
    return tuple(rail for rail in rails if rail not in _PARTS)


def description(rails: Sequence[str]) -> str:
    """Describe what the total of these rails covers and what it leaves out."""
    summed = total(rails)
    if summed == (CARRIER,):
        return f"{CARRIER}, the developer kit's input: module and carrier board"
    return f"{' + '.join(summed)}, the module's rails; excludes carrier-board loss"


def is_rail(name: str) -> bool:
    """Return whether a channel's label names a rail: "NC" is not connected, "sum of shunt voltages" is no rail."""
    return bool(name) and name != "NC" and "sum of" not in name.lower()
